"""Clicks from files, and ratings taken for clicks: read, summed, refused where they cannot be; and the whole chain."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mfcli.artifacts import Artifacts
from mfcli.config import PrepareConfig, TrainConfig
from mfcli.data.prepared import PARTS, Prepared
from mfcli.errors import DataError, UsageError
from mfcli.prepare import prepare
from mfcli.train import train

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


def test_clicks_that_weigh_nothing_are_left_out_with_a_warning(tmp_path: Path, mfcli: Any) -> None:
    file(tmp_path, LOG + "f,x,0,9\n")
    done = mfcli("prepare", "--clicks", "log.csv", "--weights", "plays", "--json")
    assert "warning: left out 1 clicks that weigh 0" in done.stderr
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
