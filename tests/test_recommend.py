"""Recommendations against a brute-force computation on the files, and every way of asking for them."""

import csv
import functools
import io
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file

from mfcli.artifacts import Artifacts
from mfcli.checkpoint import FILE as CHECKPOINT
from mfcli.config.common import RankBy
from mfcli.config.recommend import RecommendConfig
from mfcli.config.train import TrainConfig
from mfcli.data.formats import Block, CsvWriter
from mfcli.errors import ArtifactError, DataError, UsageError
from mfcli.models import model_file
from mfcli.models import ranking as module
from mfcli.models.exposure import Exposure
from mfcli.models.fold_in import fold_in
from mfcli.models.model import FactorModel
from mfcli.models.newcomer import NewcomerPrior
from mfcli.progress import Progress
from mfcli.recommend import answered, output_format, recommend
from tests.conftest import Runner, clean_environment, run_mfcli

PARTS = ("train", "val", "test")


def rows(folder: Path, **options: Any) -> list[dict[str, Any]]:
    """What is recommended, as one list."""
    return rows_of(blocks(RecommendConfig(dir=folder, **options)))


def blocks(config: RecommendConfig, progress: Progress | None = None) -> Iterator[Block]:
    """What is recommended, as it comes."""
    _, answer = answered(config, progress or Progress())
    return answer.blocks


def rows_of(blocks: Iterable[Block]) -> list[dict[str, Any]]:
    return [dict(zip(block, values, strict=True)) for block in blocks for values in zip(*block.values(), strict=True)]


@functools.cache
def part(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_parquet(folder / "data" / f"{name}.parquet")


def rated(folder: Path) -> pd.DataFrame:
    return pd.concat([part(folder, name) for name in PARTS])


def the_model(folder: Path) -> FactorModel:
    return model_file.from_bytes((folder / "runs" / "default" / "model.safetensors").read_bytes())


@functools.cache
def ratings_and_scores(folder: Path, rank_by: str) -> tuple[np.ndarray, np.ndarray]:
    """Every user's unclipped prediction and score for every item, from the bytes of the run's files."""
    run = folder / "runs" / "default"
    model, exposure = (
        {name: array.astype(np.float64) for name, array in load_file(run / f"{name}.safetensors").items()}
        for name in ("model", "exposure")
    )
    train = part(folder, "train")["rating"].astype(np.float64)
    ratings = model["user_factors"] @ model["item_factors"].T + train.mean()
    ratings += model["user_biases"][:, None] + model["item_biases"]
    met = exposure["user_vectors"] @ exposure["item_vectors"].T
    liked = np.exp(0.4 * (ratings - train.mean()) / train.std(ddof=0))
    return ratings, {"rating": ratings, "exposure": met, "likely": (met + np.hypot(met, 1e-3)) / 2 * liked}[rank_by]


def brute_force(
    folder: Path, user: int, n: int, *, include_seen: bool = False, rank_by: str = "likely"
) -> list[dict[str, Any]]:
    """The n items with the highest scores that user row ``user`` has not rated, item by item."""
    users, items, seen = part(folder, "users"), part(folder, "items"), rated(folder)
    ratings, scores = (table[user] for table in ratings_and_scores(folder, rank_by))
    hidden = set() if include_seen else set(seen["item"][seen["user"] == user])
    best = sorted((i for i in range(len(items)) if i not in hidden), key=lambda i: (-scores[i], i))[:n]
    low, high = part(folder, "train")["rating"].min(), part(folder, "train")["rating"].max()
    return [
        {
            "user": users["id"][user],
            "rank": rank,
            "item": items["id"][i],
            "title": items["title"][i],
            "genres": items["genres"][i],
            "prediction": pytest.approx(float(np.clip(ratings[i], low, high)), abs=1e-5),
            "score": pytest.approx(float(scores[i]), rel=1e-4),
            "ranked_by": rank_by,
        }
        for rank, i in enumerate(best, start=1)
    ]


@pytest.mark.parametrize("rank_by", ["likely", "rating", "exposure"])
@pytest.mark.parametrize("include_seen", [False, True])
def test_the_top_items_are_those_of_a_brute_force_search(finished: Path, include_seen: bool, rank_by: RankBy) -> None:
    ids = part(finished, "users")["id"]
    for user in (0, 17, len(ids) - 1):
        got = rows(finished, user=(str(ids[user]),), n=7, include_seen=include_seen, rank_by=rank_by)
        assert got == brute_force(finished, user, 7, include_seen=include_seen, rank_by=rank_by)
        assert all(row["title"] and row["genres"] for row in got)


def test_every_user_gets_the_best_of_what_they_have_not_rated_in_any_part(finished: Path) -> None:
    got, users = rows(finished, all_users=True, n=5), part(finished, "users")
    assert got == [row for user in range(len(users)) for row in brute_force(finished, user, 5)]
    ids = {"user": users["id"], "item": part(finished, "items")["id"]}
    seen = {
        (ids["user"][u], ids["item"][i]) for u, i in zip(*(rated(finished)[n] for n in ("user", "item")), strict=True)
    }
    assert not seen & {(row["user"], row["item"]) for row in got}


@pytest.mark.parametrize("at_once", [1, 200, 1000])
def test_all_users_come_in_blocks_that_fit_into_memory(
    finished: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    whole = rows(finished, all_users=True, n=4)
    scored: list[int] = []
    scores = FactorModel.scores

    def counting(self: FactorModel, users: np.ndarray) -> np.ndarray:
        scored.append(len(users))
        return scores(self, users)

    monkeypatch.setattr(FactorModel, "scores", counting)
    monkeypatch.setattr(module, "SCORES_AT_ONCE", at_once)
    coming = blocks(RecommendConfig(dir=finished, all_users=True, n=4))
    first = next(coming)
    n_items = len(part(finished, "items"))
    assert scored == [max(1, at_once // n_items)], "nothing is computed before it is asked for"
    got = rows_of([first, *coming])
    assert sum(scored) == len(part(finished, "users"))
    assert max(scored) * n_items <= max(at_once, n_items)
    assert got == whole, "to the last digit"


def test_more_items_than_there_are_is_all_that_are_left(finished: Path) -> None:
    user = part(finished, "users")["id"][0]
    unrated = len(part(finished, "items")) - int((rated(finished)["user"] == 0).sum())
    got = rows(finished, user=(str(user),), n=10**6)
    assert [row["rank"] for row in got] == list(range(1, unrated + 1))


def test_users_come_in_the_order_asked_for_and_each_once(finished: Path, tmp_path: Path) -> None:
    a, b, c = (str(one) for one in part(finished, "users")["id"][[5, 2, 9]])
    (tmp_path / "ids").write_text(f"\ufeff{c}\n\n  {b} \r\n{c}\n", "utf-8")
    got = rows(finished, user=(a, b, a), users_from=str(tmp_path / "ids"), n=1)
    assert [str(row["user"]) for row in got] == [a, b, c]


def test_users_are_read_from_standard_input_too(finished: Path, tmp_path: Path) -> None:
    ids = [str(one) for one in part(finished, "users")["id"][:3]]
    (tmp_path / "ids").write_text("\n".join(ids))
    options = ("recommend", "-n", 2, "--format", "csv", "--users-from")
    by_file = run_mfcli(*options, tmp_path / "ids", cwd=finished.parent)
    by_pipe = run_mfcli(*options, "-", cwd=finished.parent, input="\n".join(ids))
    assert by_file.stdout == by_pipe.stdout
    assert [row["user"] for row in csv.DictReader(io.StringIO(by_pipe.stdout))] == [i for i in ids for _ in range(2)]


def test_a_list_of_nobody_is_an_empty_result(finished: Path) -> None:
    done = run_mfcli("recommend", "--users-from", "-", "--format", "json", cwd=finished.parent, input="\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")


@pytest.mark.parametrize("asked", [("--user", "nobody"), ("--user", "01"), ("--user", ""), ("--users-from", "no-file")])
def test_an_unknown_user_is_exit_4_in_one_line(mfcli: Runner, finished: Path, asked: tuple[str, str]) -> None:
    done = mfcli("recommend", *asked, "--output", "out.csv", cwd=finished.parent)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (4, "", 1)
    assert not (finished.parent / "out.csv").exists()


def test_the_message_on_an_unknown_user_says_how_to_list_the_known_ones(finished: Path) -> None:
    with pytest.raises(DataError, match=r"no user 'nobody' in the data: known are 1, 2, .*recommend --list users"):
        rows(finished, user=("nobody",))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "whom to recommend to"),
        ({"all_users": True, "user": ("1",)}, "--all-users excludes"),
        ({"all_users": True, "users_from": "-"}, "--all-users excludes"),
        ({"user": ("1",), "save": True, "output": Path("x.csv")}, "--save and --output exclude"),
    ],
)
def test_options_that_contradict_each_other_are_refused(finished: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        rows(finished, **options)


# ── somebody new ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_somebody_new_is_folded_in(finished: Path, tmp_path: Path) -> None:
    items, model = part(finished, "items"), the_model(finished)
    picked, given = np.array([3, 40, 11], np.int32), np.array([5, 1, 4.5], np.float32)
    lines = [f"{items['id'][i]},{r}" for i, r in zip(picked, given, strict=True)]
    (tmp_path / "mine.csv").write_text("\n".join(["item,rating", *lines]) + "\n")
    got = rows(finished, ratings=tmp_path / "mine.csv", n=5)
    penalties = NewcomerPrior.of_penalties(model.n_factors, l2=1.0, bias_l2=0.3)
    assert model.newcomer is not None
    np.testing.assert_array_equal(model.newcomer.precision, penalties.precision)
    assert not model.newcomer.mean.any()
    ratings = fold_in(model, picked, given).model.scores(np.array([0]))[0]
    exposure = Exposure.from_bytes((finished / "runs" / "default" / "exposure.safetensors").read_bytes())
    met = exposure.with_newcomer(picked, given).scores(np.array([0]))[0]
    scores = (met + np.hypot(met, 1e-3)) / 2 * np.exp(0.4 * (ratings - model.mean) / exposure.std)
    best = [i for i in np.argsort(-scores, kind="stable") if i not in picked][:5]
    assert [row["item"] for row in got] == items["id"][best].tolist()
    assert [row["prediction"] for row in got] == pytest.approx(ratings[best].clip(0.5, 5).tolist(), abs=1e-5)
    assert [row["score"] for row in got] == pytest.approx(scores[best].tolist(), rel=1e-4)
    assert {row["user"] for row in got} == {"new"}
    assert rows(finished, ratings=tmp_path / "mine.csv", n=10**6, include_seen=True)[-1]["rank"] == len(items)


def test_the_taste_of_somebody_new_counts(finished: Path, tmp_path: Path) -> None:
    """Who likes what another dislikes is told something else."""
    items = part(finished, "items")["id"][:20]
    for name, liked in (("a", 0), ("b", 1)):
        lines = [f"{item},{5 if place % 2 == liked else 0.5}" for place, item in enumerate(items)]
        (tmp_path / name).write_text("item,rating\n" + "\n".join(lines))
    first, second = (rows(finished, ratings=tmp_path / name, n=10) for name in "ab")
    assert [row["item"] for row in first] != [row["item"] for row in second]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("item,rating\nno-such-item,5\n", "no rating in it can be used"),
        ("item,rating\n{item},five\n", "line 2"),
        ("item,rating\n{item},inf\n", "line 2"),
        ("", "the file is empty"),
    ],
)
def test_ratings_of_somebody_new_that_cannot_be_used(
    finished: Path, tmp_path: Path, content: str, message: str
) -> None:
    (tmp_path / "mine.csv").write_text(content.format(item=part(finished, "items")["id"][0]))
    with pytest.raises(DataError, match=message):
        rows(finished, ratings=tmp_path / "mine.csv")


# ── where to and in what form ────────────────────────────────────────────────────────────────────────────────────────


def test_somebody_new_may_tell_what_they_are_instead_of_ratings(finished: Path, tmp_path: Path) -> None:
    young, old = (rows(finished, user_attributes=(f"gender=F,age={age}",), n=80) for age in ("18-24", "45-54"))
    assert {row["user"] for row in young} == {"new"}
    assert len(young) == len(old) == 80, "nothing is hidden of somebody who has rated nothing"
    assert [row["prediction"] for row in young] != [row["prediction"] for row in old]
    (tmp_path / "mine.csv").write_text("item,rating\n3,5\n7,1\n")
    told = rows(finished, ratings=tmp_path / "mine.csv", user_attributes=("age=45-54", "gender=F"))
    untold = rows(finished, ratings=tmp_path / "mine.csv")
    assert [row["prediction"] for row in told] != [row["prediction"] for row in untold]


@pytest.mark.parametrize(
    ("told", "error", "message"),
    [
        ("age", UsageError, "--user-attributes: 'age' is not NAME=VALUE"),
        ("shoes=43", DataError, "there is no attribute 'shoes': features were made of age, gender"),
        ("gender=maybe", DataError, "--user-attributes: no user in the data has gender=maybe"),
    ],
)
def test_attributes_that_cannot_be_used_are_refused(
    finished: Path, told: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        rows(finished, user_attributes=(told,))


def test_attributes_need_a_run_that_has_learnt_from_some(artifacts: Path, mfcli: Runner) -> None:
    assert mfcli("train", "--run", "bare", "--side", "exposure", "--epochs", 1, "--factors", 2).returncode == 0
    with pytest.raises(UsageError, match="--user-attributes: run 'bare' has not learnt from features of users"):
        rows(artifacts, run="bare", user_attributes=("age=18-24",))


@pytest.fixture(scope="module")
def in_every_format(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("formats")
    names = {"csv": "a.csv", "jsonl": "a.jsonl", "json": "a.json", "parquet": "a.parquet", "table": "a.txt"}
    for kind, name in names.items():
        config = RecommendConfig(dir=finished, all_users=True, n=3, output=folder / name)
        done = recommend(config, io.BytesIO())
        assert (done.asked, done.rows, done.path) == (120, 360, folder / name)
        assert output_format(config) == kind
    return {kind: folder / name for kind, name in names.items()}


def test_the_formats_hold_the_same_rows(finished: Path, in_every_format: dict[str, Path]) -> None:

    def rounded(row: dict[str, Any]) -> dict[str, Any]:
        return row | {"prediction": round(row["prediction"], 4), "score": float(f"{row['score']:.9g}")}

    expected = [rounded(row) for row in rows(finished, all_users=True, n=3)]
    assert json.loads(in_every_format["json"].read_text()) == expected
    assert [json.loads(line) for line in in_every_format["jsonl"].read_text().splitlines()] == expected
    table = pq.read_table(in_every_format["parquet"]).to_pylist()
    assert [rounded(row) for row in table] == expected
    with in_every_format["csv"].open(newline="") as file:
        as_text = [
            {name: str(value) for name, value in row.items()}
            | {"prediction": f"{row['prediction']:.4f}", "score": f"{row['score']:.9g}"}
            for row in expected
        ]
        assert list(csv.DictReader(file)) == as_text
    text = in_every_format["table"].read_text()
    assert text.count("user ") == len(part(finished, "users"))
    assert all(row["title"] in text for row in expected)


def test_standard_output_gets_what_a_file_gets(finished: Path, in_every_format: dict[str, Path]) -> None:
    done = run_mfcli("recommend", "--all-users", "-n", 3, "--format", "csv", cwd=finished.parent)
    assert done.stdout == in_every_format["csv"].read_text()
    assert done.stderr == ""
    stdout = io.BytesIO()
    recommend(RecommendConfig(dir=finished, all_users=True, n=3, format="csv", output=Path("-")), stdout)
    assert stdout.getvalue().decode() == done.stdout


def test_json_is_one_document_and_excludes_other_formats(finished: Path) -> None:
    user = str(part(finished, "users")["id"][0])
    done = run_mfcli("recommend", "--user", user, "-n", 2, "--json", cwd=finished.parent)
    assert [row["rank"] for row in json.loads(done.stdout)] == [1, 2]
    done = run_mfcli("recommend", "--user", user, "--json", "--format", "csv", cwd=finished.parent)
    assert (done.returncode, done.stdout) == (2, "")


def test_an_ending_that_names_no_format_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="give --format"):
        output_format(RecommendConfig(all_users=True, output=Path("out.doc")))
    assert output_format(RecommendConfig(all_users=True, output=Path("out.doc"), format="csv")) == "csv"
    assert output_format(RecommendConfig(all_users=True)) == "table"


def test_an_output_file_appears_whole_or_not_at_all(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.csv"
    out.write_text("what was there before")

    def half(self: CsvWriter, block: Block) -> None:
        self.file.write(b"half of it")
        raise DataError("half-way")

    monkeypatch.setattr(CsvWriter, "write", half)
    with pytest.raises(DataError, match="half-way"):
        recommend(RecommendConfig(dir=finished, all_users=True, output=out), io.BytesIO())
    assert out.read_text() == "what was there before"
    assert list(tmp_path.iterdir()) == [out]


def test_parquet_is_not_shown_on_a_terminal(finished: Path) -> None:
    class Screen(io.BytesIO):
        def isatty(self) -> bool:
            return True

    config = RecommendConfig(dir=finished, all_users=True, format="parquet")
    with pytest.raises(UsageError, match="a terminal cannot show it"):
        recommend(config, Screen())


def test_save_puts_them_into_the_run(artifacts: Path, mfcli: Runner) -> None:
    done = mfcli("recommend", "--all-users", "--save", "-n", 2)
    assert (done.returncode, done.stdout) == (0, "")
    saved = (artifacts / "runs" / "default" / "recommendations.csv").read_text()
    assert len(saved.splitlines()) == 1 + 2 * len(part(artifacts, "users"))
    Artifacts(artifacts).run("default").record().check()


def test_a_reader_that_has_enough_ends_it_quietly(finished: Path) -> None:
    command = f"{sys.executable} -m mfcli recommend --all-users -n 1000 --format csv | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=finished.parent,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.splitlines()[0] == "user,rank,item,title,genres,prediction,score,ranked_by"
    assert done.stdout.splitlines()[1] in ("0", "141")
    assert done.stderr == ""


# ── ids that are text, models without biases ─────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def of_texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Users and items called by text, one user who has rated everything; a plain model without biases."""
    from mfcli.train import train

    folder = tmp_path_factory.mktemp("texts")
    pairs = [(u, i) for u in ("ann", "bob", "[eve]") for i in ("tt1", "tt2", "007", "x y") if (u, i) != ("bob", "007")]
    pairs = [(u, i) for u, i in pairs if (u, i) not in (("[eve]", "tt1"), ("[eve]", "tt2"))]
    lines = [f"{u},{i},{place % 5 + 1}" for place, (u, i) in enumerate(pairs)]
    (folder / "own.csv").write_text("\n".join(["user,item,rating", *lines]) + "\n")
    (folder / "titles.csv").write_text('item,title,genres\ntt1,"One, Two",A|B\n007,[bold]Bond[/bold],\n')
    options = ("--ratings", "own.csv", "--items", "titles.csv", "--validation-fraction", 0)
    done = run_mfcli("prepare", *options, cwd=folder)
    assert done.returncode == 0, done.stderr
    train(TrainConfig(dir=folder / "artifacts", epochs=2, factors=2, biases=False))
    return folder / "artifacts"


def test_ids_may_be_text(of_texts: Path) -> None:
    (row,) = rows(of_texts, user=("bob",), n=5)
    assert (row["user"], row["item"], row["title"], row["genres"]) == ("bob", "007", "[bold]Bond[/bold]", "")
    (first, second) = rows(of_texts, user=("[eve]",))
    assert {first["item"], second["item"]} == {"tt1", "tt2"}
    assert rows(of_texts, user=("ann",)) == [], "ann has rated everything"


def test_titles_and_ids_are_never_markup(of_texts: Path) -> None:
    done = run_mfcli("recommend", "--user", "bob", "--user", "[eve]", cwd=of_texts.parent)
    assert "[bold]Bond[/bold]" in done.stdout
    assert "user [eve]" in done.stdout
    assert "\x1b" not in done.stdout


def test_text_ids_in_parquet(of_texts: Path, tmp_path: Path) -> None:
    recommend(RecommendConfig(dir=of_texts, all_users=True, output=tmp_path / "a.parquet"), io.BytesIO())
    assert pq.read_table(tmp_path / "a.parquet").to_pylist() == rows(of_texts, all_users=True)


def test_a_run_that_is_not_there_or_not_finished_says_what_to_do(artifacts: Path) -> None:
    with pytest.raises(ArtifactError, match=r"run `mfcli train --run nope"):
        rows(artifacts, user=("1",), run="nope")
    (artifacts / "runs" / "default" / "stage.json").unlink()
    (artifacts / "runs" / "default" / CHECKPOINT).touch()
    with pytest.raises(ArtifactError, match=r"run 'default' is not finished: run `mfcli train .*--resume`"):
        rows(artifacts, user=("1",))
