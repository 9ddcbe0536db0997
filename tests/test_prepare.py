"""``mfcli prepare``: what it writes, what it refuses, and what it says."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from mfcli.config.download import DownloadConfig
from mfcli.config.prepare import PrepareConfig
from mfcli.download import download
from mfcli.errors import DataError, UsageError
from mfcli.prepare import PreparedSummary, histogram, prepare
from mfcli.progress import Progress
from tests.conftest import Listening, Runner
from tests.inputs import put

PARTS = ("train", "val", "test")
TWELVE = "user,item,rating,timestamp\n" + "".join(
    f"{u},{i},{(u + i) % 5 + 1},{10 * u + i}\n" for u in (3, 1, 20) for i in (9, 7, 8, 5)
)


def run(folder: Path, content: str = TWELVE, progress: Progress | None = None, **options: Any) -> PreparedSummary:
    defaults = {
        "dir": folder / "artifacts",
        "ratings": (put(folder, "ratings.csv", content),),
        "validation_fraction": 0.0,
    }
    return prepare(PrepareConfig(**defaults | options), progress)


def parts(folder: Path, names: tuple[str, ...] = PARTS) -> pd.DataFrame:
    """The ratings in all parts that there are, with their original ids, as plain pandas reads them."""
    data = folder / "artifacts" / "data"
    users, items = pd.read_parquet(data / "users.parquet"), pd.read_parquet(data / "items.parquet")
    frame = pd.concat([pd.read_parquet(data / f"{n}.parquet") for n in names if (data / f"{n}.parquet").exists()])
    frame["user"] = users["id"].to_numpy()[frame["user"]]
    frame["item"] = items["id"].to_numpy()[frame["item"]]
    return frame


def rows(folder: Path, *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in parts(folder, names or PARTS).itertuples(index=False)]


# ── what it writes ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_files_hold_the_documented_columns(tmp_path: Path) -> None:
    items = put(tmp_path, "items.csv", 'item,title,genres\n7,"Net, The (1995)",Drama\n9,B,\n')
    run(tmp_path, items=items, validation_fraction=0.25)
    data = tmp_path / "artifacts" / "data"
    kinds = {"user": "int32", "item": "int32", "rating": "float", "timestamp": "int64"}
    for name in PARTS:
        assert {f.name: str(f.type) for f in pq.read_schema(data / f"{name}.parquet")} == kinds
    users = pq.read_table(data / "users.parquet").to_pydict()
    assert users["index"] == [0, 1, 2]
    assert users["id"] == [1, 3, 20]
    assert users["ratings"] == [4, 4, 4]
    assert sum(users["train_ratings"]) == 6
    table = pq.read_table(data / "items.parquet").to_pydict()
    assert list(table) == ["index", "id", "title", "genres", "year", "ratings", "train_ratings", "features"]
    assert table["id"] == [5, 7, 8, 9]
    assert table["title"] == ["", "The Net (1995)", "", "B"]
    assert table["genres"] == ["", "Drama", "", ""]
    assert table["year"] == [None, 1995, None, None]


def test_the_split_is_the_articles_row_for_row(tmp_path: Path) -> None:
    content = "userId,movieId,rating\n" + "".join(f"u{k % 17},{k % 23},{k % 10 / 2}\n" for k in range(17 * 23))
    run(tmp_path, content)
    train, test = train_test_split(pd.read_csv(tmp_path / "ratings.csv"), test_size=0.2, random_state=1234)
    assert rows(tmp_path, "train") == [tuple(row) for row in train.itertuples(index=False)]
    assert rows(tmp_path, "test") == [tuple(row) for row in test.itertuples(index=False)]


def test_the_summary_says_what_was_made(tmp_path: Path) -> None:
    done = run(tmp_path, "user,item,rating,ts\na,x,1,1\na,y,2,2\nb,x,4,3\nb,z,5,4\nc,x,4.5,5\n", split="time")
    assert (done.dataset, done.users, done.items, done.ratings) == ("ratings.csv", 3, 3, 5)
    assert (done.train, done.val, done.test) == (4, 0, 1)
    assert done.density == pytest.approx(5 / 9)
    assert (done.mean, done.minimum, done.maximum) == (pytest.approx(3.3), 1.0, 5.0)
    assert done.histogram == {"1": 1, "2": 1, "4": 1, "4.5": 1, "5": 1}
    assert (done.test_users_unseen, done.test_items_unseen, done.test_ratings_unseen) == (1, 0, 1)
    assert (done.user_ids, done.item_ids, done.left_out) == ("string", "string", {})
    stage = json.loads((tmp_path / "artifacts" / "data" / "stage.json").read_text())
    assert stage["results"]["histogram"] == done.histogram
    assert not (tmp_path / "artifacts" / "data" / "val.parquet").exists()


def test_without_timestamps_there_is_no_such_column(tmp_path: Path) -> None:
    run(tmp_path, "a,x,1\nb,x,2\nc,x,3\n", no_header=True)
    assert pq.read_schema(tmp_path / "artifacts" / "data" / "train.parquet").names == ["user", "item", "rating"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.5, 4, 4, 5], {"0.5": 1, "4": 2, "5": 1}),
        ([1234567, 1234568], {"1234567": 1, "1234568": 1}),
        (list(range(0, 21)), {f"{2 * k + 1}": 2 for k in range(9)} | {"19": 3}),
        ([k * 1.6e37 for k in range(21)], None),
    ],
    ids=["stars", "close", "bins", "huge"],
)
def test_the_histogram_counts_every_rating(values: list[float], expected: dict[str, int] | None) -> None:
    counts = histogram(*np.unique(np.array(values, np.float32), return_counts=True))
    assert sum(counts.values()) == len(values)
    assert expected is None or counts == expected


# ── features ─────────────────────────────────────────────────────────────────────────────────────────────────────────

ITEMS = "item,title,genres,pages,blurb\n5,A (1990),Drama|War,10,a\n7,B (1990),War,10,b\n8,C,Drama,,c\n6,D,Opera,20,d\n"
USERS = "user,gender,age\n1,F,20\n3,M,20\n20,F,30\n21,M,30\n"


def features(folder: Path, side: str) -> dict[Any, list[str]]:
    """Original id -> features, as plain pyarrow reads them."""
    table = pq.read_table(folder / "artifacts" / "data" / f"{side}.parquet")
    return dict(zip(table["id"].to_pylist(), table["features"].to_pylist(), strict=True))


def test_any_further_column_of_items_and_users_makes_features(tmp_path: Path) -> None:
    heard = Listening()
    done = run(tmp_path, items=put(tmp_path, "items.csv", ITEMS), users=put(tmp_path, "u.csv", USERS), progress=heard)
    assert features(tmp_path, "items") == {
        5: ["genres=Drama", "genres=War", "pages=10", "year=1990"],
        7: ["genres=War", "pages=10", "year=1990"],
        8: ["genres=Drama"],
        9: [],
    }
    assert features(tmp_path, "users") == {1: ["gender=F", "age=20"], 3: ["age=20"], 20: ["gender=F"]}
    assert (done.item_features, done.items_described) == ({"genres": 2, "pages": 1, "year": 1}, 3)
    assert (done.user_features, done.users_described) == ({"gender": 1, "age": 1}, 3)
    assert "no item features are made of blurb (nearly every row has its own)" in heard.notes
    assert not heard.warnings
    stage = json.loads((tmp_path / "artifacts" / "data" / "stage.json").read_text())
    assert stage["results"]["item_features"] == done.item_features
    assert set(stage["inputs"]) == {"ratings", "items", "users"}


def test_features_are_chosen_by_the_names_of_their_columns(tmp_path: Path) -> None:
    files = {"items": put(tmp_path, "items.csv", ITEMS), "users": put(tmp_path, "users.csv", USERS)}
    done = run(tmp_path, **files, item_features="pages, Year", user_features="none")
    assert (done.item_features, done.user_features) == ({"pages": 1, "year": 1}, {})
    assert features(tmp_path, "items")[5] == ["pages=10", "year=1990"]
    assert pq.read_table(tmp_path / "artifacts/data/items.parquet")["genres"].to_pylist()[0] == "Drama|War"
    with pytest.raises(DataError, match="no features can be made of 'actor': the columns are genres, pages"):
        run(tmp_path, **files, item_features="actor")


def test_features_change_nothing_of_the_ratings_and_see_none_of_them(tmp_path: Path) -> None:
    """The parts are the same bytes with and without; the features are the same for other ratings and another split."""
    files = {"items": put(tmp_path, "items.csv", ITEMS), "users": put(tmp_path, "users.csv", USERS)}
    names = [f"artifacts/data/{part}.parquet" for part in PARTS]
    run(tmp_path, validation_fraction=0.2)
    without = [(tmp_path / name).read_bytes() for name in names]
    run(tmp_path, validation_fraction=0.2, **files)
    assert [(tmp_path / name).read_bytes() for name in names] == without
    made = [features(tmp_path, side) for side in ("users", "items")]
    other = "".join(f"{u},{i},{(3 * u + i) % 7}\n" for u in (20, 3, 1) for i in (8, 5, 9, 7))
    run(tmp_path, f"user,item,rating\n{other}", seed=7, test_fraction=0.5, **files)
    assert [features(tmp_path, side) for side in ("users", "items")] == made


def test_users_that_nobody_knows_draw_a_warning(tmp_path: Path) -> None:
    heard = Listening()
    run(tmp_path, users=put(tmp_path, "users.csv", "user,age\nx,1\ny,1\n"), progress=heard)
    assert heard.warnings == ["the users file says nothing of any user of the ratings"]


def test_synthetic_data_have_the_features_that_were_planted(artifacts: Path) -> None:
    results = json.loads((artifacts / "data" / "stage.json").read_text())["results"]
    assert results["user_features"] == {"age": 6, "gender": 2}
    assert results["item_features"]["genres"] == 12
    assert results["users_described"] == results["users"]
    assert results["items_described"] == results["items"]


ML_100K = {
    "u.data": "1\t1\t3\t9\n2\t2\t4\t9\n3\t1\t5\t9\n4\t2\t5\t9\n",
    "u.genre": "Drama|0\nWar|1\n",
    "u.item": "1|A (1995)|01-Jan-1995||x|0|1\n2|B (1995)|01-Jan-1995||x|1|1\n",
    "u.user": "1|24|M|writer|85711\n2|24|F|writer|85999\n3|53|F|other|01234\n4|53|M|other|01299\n",
}
ML_1M = {
    "ratings.dat": "1::1::3::9\n2::2::4::9\n3::1::5::9\n4::2::5::9\n",
    "movies.dat": "1::A (1995)::War\n2::B (1995)::Drama|War\n",
    "users.dat": "1::M::25::12::85711\n2::F::25::12::85999\n3::F::50::0::01234\n4::M::50::0::01299\n",
}


@pytest.mark.parametrize(
    ("name", "files", "users", "first"),
    [
        ("ml-100k", ML_100K, "u.user", ["age=24-52", "gender=M", "occupation=writer", "zip=8"]),
        ("ml-1m", ML_1M, "users.dat", ["gender=M", "age=25-49", "occupation=12", "zip=8"]),
    ],
)
def test_movielens_as_published_has_users(
    name: str, files: dict[str, str], users: str, first: list[str], tmp_path: Path
) -> None:
    """They may be absent from a folder of one's own."""
    for file, text in files.items():
        put(tmp_path, file, text)
    again = {"dir": tmp_path / "artifacts", "name": name, "source": tmp_path, "force": True}
    download(DownloadConfig(**again))
    config = PrepareConfig(dir=tmp_path / "artifacts", name=name, validation_fraction=0.0)
    done = prepare(config)
    assert features(tmp_path, "users")[1] == first
    assert (done.user_features["occupation"], done.users_described) == (2, 4)
    (tmp_path / users).unlink()
    download(DownloadConfig(**again))
    assert prepare(config).user_features == {}


# ── duplicates and minimums ──────────────────────────────────────────────────────────────────────────────────────────

TWICE = [("a", "x", 1.0, 30), ("a", "y", 2.0, 10), ("a", "x", 4.0, 20), ("b", "x", 3.0, 10), ("a", "x", 2.5, 30)]


@pytest.mark.parametrize(
    ("policy", "timed", "expected"),
    [
        ("last", True, [("a", "x", 2.5, 30), ("a", "y", 2.0, 10), ("b", "x", 3.0, 10)]),
        ("mean", True, [("a", "x", 2.5, 30), ("a", "y", 2.0, 10), ("b", "x", 3.0, 10)]),
        ("last", False, [("a", "x", 2.5), ("a", "y", 2.0), ("b", "x", 3.0)]),
        ("mean", False, [("a", "x", 2.5), ("a", "y", 2.0), ("b", "x", 3.0)]),
    ],
)
def test_duplicates_are_settled(policy: str, timed: bool, expected: list[Any], tmp_path: Path) -> None:
    columns = 4 if timed else 3
    lines = [",".join(map(str, row[:columns])) for row in TWICE]
    done = run(tmp_path, "\n".join(lines), no_header=True, duplicates=policy)
    assert sorted(rows(tmp_path)) == expected
    assert done.left_out == {"duplicates": 2}


def test_features_with_decimal_commas_are_hinted_at_and_read(tmp_path: Path) -> None:
    items = put(tmp_path, "i.csv", "item;title;price\n" + "".join(f"{n};t{n};{n // 2},5\n" for n in range(80)))
    ratings = "user;item;rating\n" + "".join(f"{n % 5};{n};{n % 4},5\n" for n in range(80))
    heard = Listening()
    assert run(tmp_path, ratings.replace(",", "."), heard, items=items).item_features == {"price": 40}
    assert any(
        "price of the items: are these numbers with a decimal comma? --decimal ," in one for one in heard.warnings
    )
    heard = Listening()
    assert run(tmp_path, ratings, heard, items=items, decimal=",").item_features["price"] < 20
    assert not any("comma" in one for one in heard.warnings)


def test_a_downloaded_data_set_draws_no_hint_at_an_option_that_it_does_not_take(tmp_path: Path) -> None:
    put(tmp_path, "movies.csv", "movieId,title,genres\n" + "".join(f'{n},t,"{n // 2},5"\n' for n in range(80)))
    put(tmp_path, "ratings.csv", "userId,movieId,rating,timestamp\n" + "".join(f"{n % 5},{n},3,1\n" for n in range(80)))
    download(DownloadConfig(dir=tmp_path / "artifacts", name="ml-latest-small", source=tmp_path))
    heard = Listening()
    done = prepare(PrepareConfig(dir=tmp_path / "artifacts", validation_fraction=0.0), heard)
    assert done.item_features == {"genres": 40}
    assert not any("--decimal" in one for one in heard.warnings)


def test_last_is_the_last_in_time_and_mean_is_of_all(tmp_path: Path) -> None:
    content = "a,x,5,20\na,x,1,30\na,x,3,10\nb,x,4,1\n"
    run(tmp_path, content, no_header=True, duplicates="last")
    assert sorted(rows(tmp_path)) == [("a", "x", 1.0, 30), ("b", "x", 4.0, 1)]
    run(tmp_path, content.replace("5,20", "8,20"), no_header=True, duplicates="mean")
    assert sorted(rows(tmp_path)) == [("a", "x", 4.0, 30), ("b", "x", 4.0, 1)]


def test_a_duplicate_is_named_with_both_lines(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        run(tmp_path, "user,item,rating\n\n7,x,1\n8,x,2\n7,x,3\n")
    path = tmp_path / "ratings.csv"
    assert str(caught.value).startswith(f"{path}, line 5: user 7 has rated item x before ({path}, line 3)")


def test_minimums_are_applied_until_nothing_falls_below_them(tmp_path: Path) -> None:
    # c has one rating and goes; then y has one and goes; then b has one and goes. a and d, who share u and v, stay.
    content = "a,u,1\na,v,2\nd,u,3\nd,v,4\nb,u,5\nb,y,1\nc,y,2\n"
    done = run(tmp_path, content, no_header=True, min_user_ratings=2, min_item_ratings=2)
    assert sorted(rows(tmp_path)) == [("a", "u", 1.0), ("a", "v", 2.0), ("d", "u", 3.0), ("d", "v", 4.0)]
    assert (done.users, done.items, sum(done.left_out.values())) == (2, 2, 3)


def test_minimums_that_leave_nothing_are_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no rating is left"):
        run(tmp_path, min_item_ratings=4)


# ── test ratings of one's own, and folds ─────────────────────────────────────────────────────────────────────────────


def test_ones_own_test_ratings_are_the_test_part(tmp_path: Path) -> None:
    own = put(tmp_path, "u1.test", "1,2,5\n9,2,4\n")
    listening = Listening()
    done = run(tmp_path, "1,1,3\n1,3,4\n2,1,5\n", listening, no_header=True, test=own)
    assert rows(tmp_path, "train") == [(1, 1, 3.0), (1, 3, 4.0), (2, 1, 5.0)]
    assert rows(tmp_path, "test") == [(1, 2, 5.0), (9, 2, 4.0)]
    assert (done.test_users_unseen, done.test_items_unseen, done.test_ratings_unseen) == (1, 1, 2)
    assert listening.warnings == []


def test_ids_are_strings_as_soon_as_one_file_says_so(tmp_path: Path) -> None:
    run(tmp_path, "1,1,3\n2,1,4\n", no_header=True, test=put(tmp_path, "own.csv", "1,a,5\n"))
    assert rows(tmp_path) == [(1, "1", 3.0), (2, "1", 4.0), (1, "a", 5.0)]


def test_test_ratings_that_are_trained_on_are_warned_of(tmp_path: Path) -> None:
    listening = Listening()
    run(tmp_path, "1,1,3\n2,1,4\n", listening, no_header=True, test=put(tmp_path, "own.csv", "1,1,5\n1,2,5\n"))
    assert listening.warnings == ["1 of the 2 test ratings are also given to train on"]


def test_a_duplicate_in_ones_own_test_is_named_with_its_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"own.csv, line 2: user 1 has rated item 2 before \(.*own.csv, line 1\)"):
        run(tmp_path, "1,1,3\n", no_header=True, test=put(tmp_path, "own.csv", "1,2,5\n1,2,4\n"))


def test_the_folds_together_test_every_rating_once(tmp_path: Path) -> None:
    tested: list[tuple[Any, ...]] = []
    for fold in (1, 2, 3):
        run(tmp_path, folds=3, fold=fold)
        assert len(rows(tmp_path)) == 12
        tested += rows(tmp_path, "test")
    assert sorted(tested) == sorted(set(rows(tmp_path)))


def test_the_columns_of_the_items_are_told(mfcli: Runner, tmp_path: Path) -> None:
    put(tmp_path, "r.csv", TWELVE)
    put(tmp_path, "books.csv", "book_id,original_title,title\n7,A,B\n")
    done = mfcli("prepare", "--ratings", "r.csv", "--items", "books.csv")
    assert "read 1 items of books.csv: item = book_id, title = title" in done.stderr


def test_what_is_known_of_how_many_items_is_told(tmp_path: Path) -> None:
    listening = Listening()
    run(tmp_path, progress=listening, items=put(tmp_path, "items.csv", "item,title\n9,A\n"))
    assert any(note.startswith("the items file says nothing of ") for note in listening.notes)


def test_a_part_without_ratings_is_passed_over_and_told(mfcli: Runner, tmp_path: Path) -> None:
    put(tmp_path, "a.csv", TWELVE)
    put(tmp_path, "b.csv", "item;user;rating;timestamp\n")
    done = mfcli("prepare", "--ratings", "b.csv", "--ratings", "a.csv")
    assert done.returncode == 0
    assert "b.csv: there are no ratings in it" in done.stderr
    put(tmp_path, "b.csv", "item;user;rating;when\n7;700;4;9\n")
    done = mfcli("prepare", "--ratings", "a.csv", "--ratings", "b.csv")
    assert "but of b.csv: user = user, item = item, rating = rating\n" in done.stderr
    assert "timestamps are left out: b.csv has no column of them" in done.stderr


def test_titles_of_other_items_are_warned_of(tmp_path: Path) -> None:
    listening = Listening()
    run(tmp_path, progress=listening, items=put(tmp_path, "items.csv", "item,title\n1000,A\n"))
    assert listening.warnings == ["the items file says nothing of any item of the ratings"]


@pytest.mark.parametrize("option", ["columns", "separator", "no_header", "test", "items"])
def test_options_for_ones_own_ratings_need_them(option: str, tmp_path: Path) -> None:
    value = {"no_header": True, "test": tmp_path, "items": tmp_path}.get(option, "x")
    with pytest.raises(UsageError, match="goes with --ratings"):
        prepare(PrepareConfig(dir=tmp_path, **{option: value}))  # type: ignore[arg-type]


ID = st.one_of(st.integers(-5, 5).map(str), st.sampled_from(["a", "é", "x,y", 'q"', "01"]))


@settings(max_examples=30, deadline=None)
@given(
    pairs=st.lists(st.tuples(ID, ID), min_size=12, max_size=40, unique=True),
    validation=st.sampled_from([0.0, 0.2]),
    seed=st.integers(0, 99),
)
def test_ids_and_ratings_come_back_from_the_files(
    pairs: list[tuple[str, str]], validation: float, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp()
    frame = pd.DataFrame(pairs, columns=["user", "item"]).assign(rating=np.arange(len(pairs)) / 2)
    run(folder, frame.to_csv(index=False), validation_fraction=validation, seed=seed)
    back = [(str(user), str(item), rating) for user, item, rating in rows(folder)]
    assert sorted(back) == sorted(frame.itertuples(index=False, name=None))
    ids = pd.read_parquet(folder / "artifacts" / "data" / "users.parquet")["id"].tolist()
    assert ids == sorted(set(ids))


# ── the command ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_command_prints_its_results_as_one_json_document(mfcli: Runner, tmp_path: Path) -> None:
    done = mfcli("prepare", "--ratings", put(tmp_path, "ratings.csv", TWELVE), "--json")
    assert done.returncode == 0
    assert done.stderr == (
        "read 12 ratings in 13 lines of ratings.csv: user = user, item = item, rating = rating, timestamp = timestamp, "
        "from 1970-01-01 to 1970-01-01\n"
    )
    results = json.loads(done.stdout)
    assert (results["ratings"], results["train"], results["val"], results["test"]) == (12, 8, 1, 3)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--ratings", "none.csv"], 4, "none.csv: No such file or directory"),
        (["--ratings", "empty"], 4, "empty: there is no file to read in this folder"),
        (["good.csv"], 2, "no data set is called 'good.csv': a file of your own is given by --ratings good.csv"),
        (["./good.csv"], 2, "'./good.csv' is no name of a data set: a file of ratings goes to --ratings"),
        (["--ratings", "-", "--test", "-"], 2, "standard input can be read but once"),
        (["--ratings", "good.csv", "--encoding", "klingon"], 2, "--encoding: no encoding is called 'klingon'"),
        (["--ratings", "good.csv", "--wide", "--columns", "1,2,3"], 2, "--wide and --columns exclude each other"),
        (["--ratings", "good.csv", "--item-columns", "1,2"], 2, "--item-columns goes with --items FILE"),
        (["--ratings", "bad.csv"], 4, "bad.csv, line 3: the rating 'x' is not a number"),
        (["--ratings", "good.csv", "--duplicates", "first"], 2, "--duplicates: 'first' is not one of"),
        (["--ratings", "good.csv", "--folds", "3"], 2, "--folds and --fold belong together"),
        (["--ratings", "good.csv", "ml-1m"], 2, "--ratings and the data set 'ml-1m' exclude each other"),
        ([], 3, "there are no data under artifacts/raw yet"),
    ],
)
def test_a_failure_is_one_line_and_changes_nothing(
    arguments: list[str], code: int, message: str, mfcli: Runner, tmp_path: Path
) -> None:
    put(tmp_path, "good.csv", TWELVE)
    put(tmp_path, "bad.csv", "user,item,rating\n1,2,3\n1,3,x\n")
    (tmp_path / "empty").mkdir()
    done = mfcli("prepare", *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(f"mfcli: error: {message}")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "artifacts" / "data").exists()


def test_a_failure_leaves_the_previous_result(tmp_path: Path) -> None:
    run(tmp_path)
    before = {p.name: p.read_bytes() for p in (tmp_path / "artifacts" / "data").iterdir()}
    with pytest.raises(DataError):
        run(tmp_path, "user,item,rating\n1,2,x\n")
    run(tmp_path)
    assert {p.name: p.read_bytes() for p in (tmp_path / "artifacts" / "data").iterdir()} == before


@pytest.mark.parametrize(
    ("name", "files"),
    [
        (
            "ml-100k",
            {
                "u.data": "1\t31\t3\t11\n2\t31\t4\t12\n1\t5\t2\t13\n2\t5\t1\t14\n3\t5\t1\t15\n",
                "u.item": "5|unknown||||1|0\n31|Misérables, Les (1995)|01-Jan-1995||http://x|0|1\n",
                "u.genre": "unknown|0\nDrama|1\n\n",
            },
        ),
        (
            "ml-1m",
            {
                "ratings.dat": "1::31::3::11\n2::31::4::12\n1::5::2::13\n2::5::1::14\n3::5::1::15\n",
                "movies.dat": "5::unknown::unknown\n31::Misérables, Les (1995)::Drama\n",
            },
        ),
    ],
)
def test_a_downloaded_data_set_in_its_own_layout(
    name: str, files: dict[str, str], mfcli: Runner, tmp_path: Path
) -> None:
    (tmp_path / "published").mkdir()
    for file, content in files.items():
        (tmp_path / "published" / file).write_bytes(content.encode("latin-1"))
    done = mfcli("download", name, "--from", "published")
    assert done.returncode == 0, done.stderr
    prepare(PrepareConfig(dir=tmp_path / "artifacts", validation_fraction=0.0))
    expected = [(1, 5, 2.0, 13), (1, 31, 3.0, 11), (2, 5, 1.0, 14), (2, 31, 4.0, 12), (3, 5, 1.0, 15)]
    assert sorted(rows(tmp_path)) == expected
    items = pd.read_parquet(tmp_path / "artifacts" / "data" / "items.parquet")
    assert items["title"].tolist() == ["unknown", "Les Misérables (1995)"]
    assert items["genres"].tolist() == ["unknown", "Drama"]


@pytest.mark.parametrize(("split", "warned"), [("time", True), ("latest", False)])
def test_a_test_part_of_users_who_are_new_draws_a_warning_with_their_share(
    tmp_path: Path, mfcli: Runner, split: str, warned: bool
) -> None:
    """Users 0 to 4 rate one after the other, five times each; the latest two fifths are all of users 3 and 4."""
    ratings = "".join(f"{n // 5},{n % 5},{n % 3},{n}\n" for n in range(25))
    put(tmp_path, "ratings.csv", f"user,item,rating,time\n{ratings}")
    done = mfcli("prepare", "--ratings", "ratings.csv", "--split", split, "--test-fraction", 0.44)
    assert done.returncode == 0, done.stderr
    warning = "warning: 91% of the test ratings are of users without a training rating"
    assert [warning in line for line in done.stderr.splitlines()] == [False, warned][: 1 + warned]


# ── the real ratings ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_ml_latest_small(real_data: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(real_data / "ml-latest-small.zip") as file:
        file.extractall(tmp_path)
    source = tmp_path / "ml-latest-small"
    done = prepare(
        PrepareConfig(dir=tmp_path / "artifacts", ratings=(source / "ratings.csv",), items=source / "movies.csv")
    )
    assert (done.ratings, done.users, done.items) == (100_836, 610, 9_724)
    assert (done.train, done.val, done.test) == (72_601, 8_067, 20_168)
    assert done.histogram["4"] == 26_818
    everything = pd.read_csv(source / "ratings.csv")
    _, test = train_test_split(everything, test_size=0.2, random_state=1234)
    assert np.array_equal(parts(tmp_path, ("test",)).to_numpy(), test.to_numpy())
    items = pd.read_parquet(tmp_path / "artifacts" / "data" / "items.parquet").set_index("id")
    assert (items["title"] != "").all()
    assert items.loc[2571, "title"] == "The Matrix (1999)"


def test_ml_1m(real_data: Path, tmp_path: Path) -> None:
    done = prepare(
        PrepareConfig(
            dir=tmp_path / "artifacts",
            ratings=(real_data / "ml-1m-ratings.csv.gz",),
            items=real_data / "ml-1m-movies.dat",
            test_fraction=0.1,
            validation_fraction=0.0,
            seed=1,
        )
    )
    assert (done.ratings, done.users, done.items) == (1_000_209, 6_040, 3_706)
    assert (done.train, done.val, done.test) == (900_188, 0, 100_021)
    assert done.histogram == {"1": 56_174, "2": 107_557, "3": 261_197, "4": 348_971, "5": 226_310}


def test_the_folder_at_hand_has_a_name(mfcli: Runner, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "ratings.csv").write_text("user,item,rating\n1,1,4\n1,2,3\n2,1,5\n2,2,1\n")
    done = mfcli("prepare", "--ratings", ".", "--validation-fraction", 0, cwd=folder)
    assert done.stdout.startswith("mine in artifacts/data\n")
    assert done.stderr.startswith("read 4 ratings in 5 lines of mine: ")


def test_what_is_too_little_to_cut_says_what_can_be_done(mfcli: Runner, tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("1,1,4\n2,1,3\n")
    for options, remedy in (((), "--validation-fraction 0"), (("--test-fraction", 0.9), "--split none")):
        done = mfcli("prepare", "--ratings", "r.csv", "-q", *options)
        assert (done.returncode, done.stderr.count("\n"), remedy in done.stderr) == (4, 1, True)
