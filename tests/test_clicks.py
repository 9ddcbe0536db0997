"""Clicks from files, and ratings taken for clicks: read, summed, refused where they cannot be; and the whole chain."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import mfcli
from mfcli.artifacts import Artifacts
from mfcli.config.prepare import PrepareConfig
from mfcli.config.train import TrainConfig
from mfcli.data.prepared import PARTS, Prepared
from mfcli.errors import DataError, UsageError
from mfcli.prepare import prepare
from mfcli.train import train
from tests.conftest import run_mfcli

LOG = "user,item,plays,day\na,x,3,1\na,y,1,2\nb,x,10,3\na,x,4.5,4\nc,y,2,5\nc,z,1,6\nd,x,1,7\nd,z,1,8\ne,y,1,9\n"


def file(folder: Path, text: str = LOG, name: str = "log.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def weights(folder: Path, **options: Any) -> dict[tuple[str, str], float]:
    """What is in the data, all parts together, after preparing with these options."""
    prepare(PrepareConfig(dir=folder / "artifacts", **options))
    prepared = Prepared(Artifacts(folder / "artifacts").data.record())
    assert prepared.feedback == "clicks"
    users, items = (table["id"].to_pylist() for table in (prepared.users, prepared.items))
    parts = [prepared.part(name) for name in PARTS if prepared.has(name)]
    return {
        (str(users[u]), str(items[i])): float(w)
        for part in parts
        for u, i, w in zip(part.users, part.items, part.ratings, strict=True)
    }


def test_a_line_is_a_click_and_what_is_there_twice_is_summed(tmp_path: Path) -> None:
    found = weights(tmp_path, clicks=(file(tmp_path),))
    assert len(found) == 8
    assert found["a", "x"] == 2
    assert set(found.values()) == {1, 2}


@pytest.mark.parametrize("column", ["plays", "3"])
def test_weights_are_those_of_a_column_by_name_or_by_number(tmp_path: Path, column: str) -> None:
    found = weights(tmp_path, clicks=(file(tmp_path),), weights=column)
    assert (found["a", "x"], found["b", "x"], found["e", "y"]) == (7.5, 10, 1)


def test_a_file_without_names_of_columns(tmp_path: Path) -> None:
    bare = "1 7 5\n1 8 2\n2 7 1\n3 8 9\n3 7 1\n"
    found = weights(tmp_path, clicks=(file(tmp_path, bare, "bare.txt"),), weights="3")
    assert (found["1", "7"], found["3", "8"]) == (5, 9)
    pairs = "\n".join(line.rsplit(" ", 1)[0] for line in bare.splitlines())
    assert set(weights(tmp_path, clicks=(file(tmp_path, pairs, "pairs.txt"),)).values()) == {1}


def test_a_table_of_counts(tmp_path: Path) -> None:
    table = pa.table({"uid": [1, 1, 2, 3, 3], "song_id": ["a", "b", "a", "b", "c"], "n": [3, 1, 2, 2, 7]})
    pq.write_table(table, tmp_path / "plays.parquet")
    assert weights(tmp_path, clicks=(tmp_path / "plays.parquet",), weights="n")["3", "c"] == 7


def test_ratings_taken_for_clicks(tmp_path: Path) -> None:
    ratings = file(tmp_path, "user,item,rating\na,x,5\na,y,2\nb,x,3.5\nb,y,4\nc,x,1\nc,y,4\nd,x,4\n", "r.csv")
    assert set(weights(tmp_path, ratings=(ratings,), as_clicks=True).values()) == {1}
    liked = weights(tmp_path, ratings=(ratings,), as_clicks=True, at_least=3.5)
    assert set(liked) == {("a", "x"), ("b", "x"), ("b", "y"), ("c", "y"), ("d", "x")}
    with pytest.raises(DataError, match=r"no rating is 6 or more: lower --at-least"):
        weights(tmp_path, ratings=(ratings,), as_clicks=True, at_least=6.0)


def test_what_is_left_out_is_told_by_its_reason(tmp_path: Path, mfcli: Any) -> None:
    """The 4.5 of b is a duplicate, a's 2 and c's 1 are below 3, and then y has one click."""
    content = "a,x,5\na,y,2\na,z,5\nb,y,4\nb,y,4.5\nc,x,4\nc,z,4\nc,y,1\nd,x,4\nd,z,4\n"
    file(tmp_path, "user,item,rating\n" + content, "r.csv")
    options = "--ratings", "r.csv", "--as-clicks", "--at-least", "3", "--min-item-ratings", "2"
    done = mfcli("prepare", *options)
    assert re.search("left out +2 below --at-least, 1 duplicates, 1 of users or items with too few\n", done.stdout)
    assert "weights" not in done.stdout, "all are 1"
    told = json.loads(mfcli("prepare", *options, "--duplicates", "last", "--json").stdout)
    assert list(told["left_out"].items()) == [
        ("duplicates", 1),
        ("below --at-least", 2),
        ("of users or items with too few", 1),
    ]


def test_clicks_that_weigh_nothing_are_left_out_with_a_warning(tmp_path: Path, mfcli: Any) -> None:
    file(tmp_path, LOG + "f,x,0,9\n")
    done = mfcli("prepare", "--clicks", "log.csv", "--weights", "plays", "--json")
    assert "warning: left out 1 clicks of weight 0" in done.stderr
    result = json.loads(done.stdout)
    assert (result["feedback"], result["ratings"], result["users"]) == ("clicks", 8, 5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("user,item,plays\na,x,1\nb,x,-3\n", r"line 3: the weight -3 of a click is below 0"),
        ("user,item,plays\na,x,1\nb,x,many\n", r"line 3: the weight 'many' is not a number"),
        ("user,item,plays\na,x,1\nb,x,\n", r"line 3: the weight is empty"),
        ("user,item,plays\na,x,0\nb,x,0\n", r"every click weighs 0: does --weights name the right column\?"),
        ("user,item,n\na,x,1\nb,x,2\n", r"line 1: there is no column 'plays' for --weights \(columns: user, item, n\)"),
        ("1 2 3\n1 3 3\n", r"no column 'plays' for --weights: columns without names have numbers"),
        ("who,item,plays\na,x,1\n", r"no column looks like the user .*: name them with --columns USER,ITEM"),
    ],
)
def test_bad_clicks_are_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        weights(tmp_path, clicks=(file(tmp_path, text),), weights="plays")


def test_a_file_without_ratings_given_as_ratings_is_told_where_to_go(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a file without ratings goes to --clicks"):
        prepare(PrepareConfig(dir=tmp_path / "artifacts", ratings=(file(tmp_path),)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clicks": ("a",), "ratings": ("b",)}, "--clicks and --ratings exclude each other"),
        ({"clicks": ("a",), "as_clicks": True}, "--clicks and --as-clicks exclude each other"),
        ({"clicks": ("a",), "wide": True}, "--clicks and --wide exclude each other"),
        ({"clicks": ("a",), "name": "ml-1m"}, "--clicks and the data set 'ml-1m' exclude each other"),
        ({"weights": "n"}, "--weights goes with --clicks FILE"),
        ({"at_least": 3.0}, "--at-least goes with --as-clicks"),
    ],
)
def test_options_that_contradict_each_other(options: dict[str, Any], message: str) -> None:
    for name in ("clicks", "ratings"):
        if name in options:
            options = options | {name: tuple(map(Path, options[name]))}
    with pytest.raises(UsageError, match=message):
        PrepareConfig(**options)


@pytest.mark.parametrize("solver", ["adam", "als", "gibbs"])
def test_solvers_of_ratings_refuse_clicks_and_ratings_that_are_all_alike(tmp_path: Path, solver: str) -> None:
    place = {"dir": tmp_path / "artifacts"}
    prepare(PrepareConfig(**place, clicks=(file(tmp_path),)))
    with pytest.raises(UsageError, match=f"--solver {solver} learns from ratings.*train with --solver ials"):
        train(TrainConfig(**place, solver=solver))  # type: ignore[arg-type]
    prepare(PrepareConfig(**place, ratings=(file(tmp_path, "user,item,rating\na,x,1\na,y,1\nb,x,1\nc,y,1\n"),)))
    with pytest.raises(DataError, match=r"all \d training ratings are 1.*--as-clicks, and train with --solver ials"):
        train(TrainConfig(**place, solver=solver))  # type: ignore[arg-type]


def test_ials_refuses_ratings(artifacts: Path) -> None:
    with pytest.raises(UsageError, match=r"--solver ials learns from clicks, and the data are ratings: .*--as-clicks"):
        train(TrainConfig(dir=artifacts, solver="ials"))


@pytest.fixture(scope="module")
def clicked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with artifacts after prepare and train on made-up plays: two tastes, of one half of the songs each."""
    folder, rng = tmp_path_factory.mktemp("clicked"), np.random.default_rng(0)
    lines = ["user,item,plays"]
    for user in range(80):
        liked = rng.choice(20, 12, replace=False) + 20 * (user % 2)
        lines += [f"u{user},song{item},{rng.integers(1, 9)}" for item in liked]
        lines += [f"u{user},song{item},1" for item in rng.choice(40, 2, replace=False) if item not in liked]
    (folder / "plays.csv").write_text("\n".join(lines))
    (folder / "songs.csv").write_text("item,title\n" + "\n".join(f"song{n},Song number {n}" for n in range(40)))
    steps = (
        ("prepare", "--clicks", "plays.csv", "--weights", "plays", "--items", "songs.csv"),
        ("train", "--solver", "ials", "--factors", 8),
    )
    for step in steps:
        done = run_mfcli(*step, cwd=folder)
        assert done.returncode == 0, done.stderr
    return folder


def test_training_tells_loss_and_ndcg_and_no_rmse(clicked: Path) -> None:
    done = run_mfcli("train", "--solver", "ials", "--factors", 8, "--run", "again", cwd=clicked)
    assert re.search(r"round  1/30  train loss 0\.\d{4}  val NDCG@10 0\.\d{4}  .*best", done.stderr)
    assert "train loss" in done.stdout
    assert "val NDCG@10" in done.stdout
    assert "RMSE" not in done.stdout + done.stderr
    history = [json.loads(line) for line in (clicked / "artifacts/runs/again/history.jsonl").read_text().splitlines()]
    assert max(epoch["validation_ndcg"] for epoch in history) > 0.3
    assert history[-1]["train_loss"] < history[0]["train_loss"]
    result = json.loads(run_mfcli("train", "--resume", "--run", "again", "--json", cwd=clicked).stdout)
    assert (result["train_rmse"], result["validation_rmse"]) == (None, None)
    assert result["validation_ndcg"] == history[result["best_epoch"] - 1]["validation_ndcg"]


def test_evaluation_of_clicks_ranks_and_says_nothing_of_rmse(clicked: Path) -> None:
    shown = run_mfcli("evaluate", cwd=clicked)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "RMSE" not in shown.stdout
    assert "all items without a training click of the user's" in shown.stdout
    assert "relevant is what they clicked" in shown.stdout
    result = json.loads(run_mfcli("evaluate", "--json", cwd=clicked).stdout)
    assert (result["feedback"], result["rmse"], result["passed"]) == ("clicks", None, None)
    (lists,) = result["ranking"]["lists"]
    assert lists["n"] == 10
    assert lists["run"]["NDCG"] > 1.5 * lists["popular"]["NDCG"]
    more = json.loads(run_mfcli("evaluate", "--top", "5,20", "--rank-by", "rating", "--json", cwd=clicked).stdout)
    assert [one["n"] for one in more["ranking"]["lists"]] == [5, 20]
    often = run_mfcli("evaluate", "--relevant", 1, cwd=clicked).stdout
    assert "relevant is what they clicked with a weight of 1 or more." in often


def test_a_list_shows_scores_and_no_ratings(clicked: Path) -> None:
    shown = run_mfcli("recommend", "--user", "u0", cwd=clicked).stdout
    assert "score" in shown
    assert "rating" not in shown
    rows = run_mfcli("recommend", "--user", "u0", "-n", 5, "--format", "jsonl", cwd=clicked).stdout.splitlines()
    listed = [json.loads(row) for row in rows]
    assert "prediction" not in listed[0]
    assert [one["score"] for one in listed] == sorted((one["score"] for one in listed), reverse=True)
    assert sum(int(one["item"].removeprefix("song")) < 20 for one in listed) >= 4, "u0 plays songs 0 to 19"


@pytest.mark.parametrize("rank_by", ["likely", "rating", "exposure"])
@pytest.mark.parametrize(
    "text",
    [
        "item\nsong21\nsong23\nsong30\n",
        "song21\nsong23\nsong30\n",
        "title,rating\nSong number 21,1\nSong number 23,5\n",
    ],
)
def test_somebody_new_is_told_by_what_they_clicked(clicked: Path, rank_by: str, text: str) -> None:
    done = run_mfcli(
        "recommend", "--ratings", "-", "--rank-by", rank_by, "-n", 5, "--format", "jsonl", cwd=clicked, input=text
    )
    assert (done.returncode, done.stderr) == (0, "")
    items = [json.loads(row)["item"] for row in done.stdout.splitlines()]
    assert len(items) == 5
    assert not {"song21", "song23"} & set(items)
    assert sum(int(item.removeprefix("song")) >= 20 for item in items) >= 4


def test_several_newcomers(clicked: Path) -> None:
    text = "user,item\nann,song21\nann,song22\nbob,song3\nbob,song4\n"
    done = run_mfcli("recommend", "--ratings", "-", "-n", 3, "--format", "jsonl", cwd=clicked, input=text)
    rows = [json.loads(row) for row in done.stdout.splitlines()]
    assert [row["user"] for row in rows] == ["ann"] * 3 + ["bob"] * 3


def test_pairs_and_similar_items_work_as_for_ratings(clicked: Path) -> None:
    pairs = "user,item\nu0,song3\nu0,song33\nnobody,song3\n"
    rows = run_mfcli("recommend", "--pairs", "-", "--format", "jsonl", cwd=clicked, input=pairs).stdout.splitlines()
    mine, others, nobodys = (json.loads(row)["prediction"] for row in rows)
    assert mine > others
    assert nobodys == 0
    similar = run_mfcli("recommend", "--similar-to", "song3", "-n", 3, "--format", "jsonl", cwd=clicked)
    items = [json.loads(row)["item"] for row in similar.stdout.splitlines()]
    assert all(int(item.removeprefix("song")) < 20 for item in items)


def test_figures_of_clicks_are_those_that_need_no_ratings(clicked: Path) -> None:
    assert run_mfcli("train", "--solver", "ials", "--factors", 4, "--run", "small", cwd=clicked).returncode == 0
    done = run_mfcli("plot", "--compare", "small", "--format", "svg", cwd=clicked)
    assert done.returncode == 0, done.stderr
    folder = clicked / "artifacts/runs/default/plots"
    assert {path.stem for path in folder.glob("*.svg")} == {"learning-curves", "item-map", "compare"}
    curves = (folder / "learning-curves.svg").read_text()
    assert "validation NDCG@10" in curves
    assert "RMSE" not in curves


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        (("recommend", "--user", "u0", "--with-std"), 2, "--with-std: run 'default' learnt from clicks"),
        (("recommend", "--user", "u0", "--rank-by", "lower-bound"), 2, "--rank-by lower-bound: run 'default' learnt"),
        (("evaluate", "--max-rmse", "1"), 2, "--max-rmse: run 'default' learnt from clicks, and predicts no ratings"),
        (("train",), 2, "--solver adam learns from ratings, and the data are clicks: train with --solver ials"),
        (("train", "--solver", "ials", "--biases"), 2, "--biases is for --solver adam, als or gibbs, not for ials"),
    ],
)
def test_what_clicks_cannot_tell_is_refused_in_one_line(
    clicked: Path, command: tuple[str, ...], code: int, message: str
) -> None:
    done = run_mfcli(*command, cwd=clicked)
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_clicks_in_python(clicked: Path) -> None:
    run = mfcli.load(clicked / "artifacts")
    listed = run.recommend("u0", n=3)
    assert "prediction" not in listed.columns
    person = run.fold_in({"song21": 4, "Song number 23": 1})
    assert sum(int(item.removeprefix("song")) >= 20 for item in person.recommend(5)["item"]) >= 4
    assert run.predict("u0", ["song3", "song33"])["prediction"].is_monotonic_decreasing
