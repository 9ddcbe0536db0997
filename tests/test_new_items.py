"""Items that nobody has rated: read, predicted by their features, and in every answer."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mfcli
from mfcli.artifacts import Artifacts
from mfcli.config.prepare import PrepareConfig
from mfcli.config.recommend import RecommendConfig
from mfcli.config.train import TrainConfig
from mfcli.data.new_items import read_new_items
from mfcli.data.prepared import Prepared
from mfcli.errors import DataError, UsageError
from mfcli.models.baselines import bias_model
from mfcli.models.metrics import coverage, rmse
from mfcli.models.new_items import with_new_items
from mfcli.models.run import TrainedRun, open_run
from mfcli.prepare import prepare
from mfcli.train import train
from tests.conftest import Runner
from tests.test_recommend import blocks, rows_of

USERS, ITEMS, NEW, KINDS = 120, 100, 20, 6
RNG = np.random.default_rng(3)
OF_KIND = np.arange(ITEMS + NEW) % KINDS
VECTORS = RNG.normal(0, 0.6, (KINDS, 3))[OF_KIND] + RNG.normal(0, 0.15, (ITEMS + NEW, 3))
TASTES = np.column_stack([RNG.normal(size=(USERS, 2)), np.ones(USERS)])
TABLE = np.clip(3 + TASTES @ VECTORS.T + RNG.normal(0, 0.3, (USERS, ITEMS + NEW)), 0.5, 5.5)
"""Ratings of all items; the last are new. What an item is like is mostly what its kind is like."""


def write_items(path: Path, items: range, first: int = 0) -> Path:
    """An items file: item i is called so, or ``first`` more, and is of a kind and a colour."""
    frame = pd.DataFrame({"item": np.array(items) + first, "title": [f"Item {i} (1999)" for i in items]})
    frame["genres"] = [f"kind{OF_KIND[i]}" for i in items]
    frame["colour"] = ["red" if i % 2 else "blue" for i in items]
    frame.to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Artifacts with runs als, adam and gibbs. The last two of the items are in the test part alone."""
    folder = tmp_path_factory.mktemp("planted")
    users, items = np.nonzero(np.random.default_rng(0).random((USERS, ITEMS)) < 0.5)
    frame = pd.DataFrame({"user": users, "item": items, "rating": TABLE[users, items].round(2)})
    frame[items < ITEMS - 2].to_csv(folder / "train.csv", index=False)
    frame[items >= ITEMS - 2].to_csv(folder / "test.csv", index=False)
    known = write_items(folder / "items.csv", range(ITEMS))
    write_items(folder / "new.csv", range(ITEMS, ITEMS + NEW))
    ratings, test = folder / "train.csv", folder / "test.csv"
    prepare(PrepareConfig(dir=folder, ratings=(ratings,), test=test, items=known, validation_fraction=0))
    options: dict[str, dict[str, Any]] = {"als": {}, "adam": {"batch": 500}, "gibbs": {"burn_in": 5, "samples": 20}}
    for solver, given in options.items():
        train(TrainConfig(dir=folder, run=solver, solver=solver, factors=3, **given))  # type: ignore[arg-type]
    return folder


def opened(planted: Path, solver: str, file: str = "new.csv") -> TrainedRun:
    trained = open_run(Artifacts(planted), solver, "likely")
    return with_new_items(trained, read_new_items(planted / file, trained.prepared, pytest.fail))


@pytest.mark.parametrize("solver", ["als", "adam", "gibbs"])
def test_new_items_are_predicted_by_their_features(planted: Path, solver: str) -> None:
    trained = opened(planted, solver)
    users, items = (index.ravel() for index in np.indices((USERS, NEW)))
    truth = TABLE[users, ITEMS + items]
    predicted = trained.model.predict(users, ITEMS + items)
    part = trained.prepared.part("train")
    assert rmse(truth, predicted) < 0.6 * rmse(truth, bias_model(part).predict(users, ITEMS + items))
    deviations = trained.model.deviations(users, ITEMS + items)
    assert (deviations is not None) == (solver == "gibbs")
    if deviations is not None:
        assert 0.63 < coverage(truth, predicted, deviations, 1) < 0.80


@pytest.mark.parametrize("solver", ["adam", "gibbs"])
def test_an_item_is_predicted_alike_be_it_new_or_in_the_data_without_a_training_rating(
    planted: Path, solver: str
) -> None:
    write_items(planted / "again.csv", range(ITEMS - 2, ITEMS), first=1000)
    model, users = opened(planted, solver, "again.csv").model, np.arange(USERS)
    for cold, new in ((ITEMS - 2, ITEMS), (ITEMS - 1, ITEMS + 1)):
        old, again = np.full(USERS, cold), np.full(USERS, new)
        np.testing.assert_allclose(model.predict(users, again), model.predict(users, old), atol=2e-3)
        if solver == "gibbs":
            np.testing.assert_allclose(model.deviations(users, again), model.deviations(users, old), rtol=2e-3)


def rows(folder: Path, **options: Any) -> list[dict[str, Any]]:
    return rows_of(blocks(RecommendConfig(dir=folder, items_new=folder / "new.csv", **options)))


@pytest.mark.parametrize("rank_by", ["likely", "exposure", "rating", "lower-bound"])
def test_new_items_are_ranked_with_the_others(planted: Path, rank_by: Any) -> None:
    """Best first, each once; and the ranking among the new ones alone is that of the whole list."""
    whole = rows(planted, run="gibbs", user=("7",), n=999, rank_by=rank_by, with_std=True)
    assert [row["rank"] for row in whole] == list(range(1, len(whole) + 1))
    assert np.all(np.diff([row["score"] for row in whole]) <= 0)
    new = [row["item"] for row in whole if row["item"] >= ITEMS]
    assert sorted(new) == list(range(ITEMS, ITEMS + NEW))
    given = str(planted / "new.csv")
    alone = rows(planted, run="gibbs", user=("7",), n=999, rank_by=rank_by, items_from=given)
    assert [row["item"] for row in alone] == new
    of_kind = rows(planted, run="gibbs", user=("7",), n=999, rank_by=rank_by, genre=("kind2",), year="1999")
    assert [row["item"] for row in of_kind] == [row["item"] for row in whole if row["genres"] == "kind2"]


def test_a_kind_that_is_met_more_is_expected_to_be_met_more(planted: Path) -> None:
    """What rated items of a kind have of exposure on average, by the root of their ratings."""
    trained = opened(planted, "als")
    assert trained.exposure is not None
    counts = trained.model.counts.items[:ITEMS]
    exposures = trained.exposure.scores(np.arange(USERS)).mean(0)
    of_kinds = [np.average(exposures[:ITEMS][m], weights=np.sqrt(counts[m])) for k in range(KINDS) if any(m := of(k))]
    found = [exposures[ITEMS:][OF_KIND[ITEMS:] == kind].mean() for kind in range(KINDS)]
    assert np.corrcoef(of_kinds, found)[0, 1] > 0.9


def of(kind: int) -> np.ndarray:
    """(ITEMS,) which of the known items are of a kind."""
    return OF_KIND[:ITEMS] == kind


def test_somebody_new_gets_new_items_and_may_have_rated_one(planted: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.csv"
    mine.write_text(f"item,rating\n1,5\n7,5\n{ITEMS},4\n")
    listed = rows(planted, run="adam", ratings=mine, n=999, why=True)
    assert {row["item"] for row in listed} == set(range(ITEMS + NEW)) - {1, 7, ITEMS}
    assert all("Item 100" not in row["why"] for row in listed), "it tells nothing of what else is met"


def test_pairs_and_the_list_of_items_know_them(planted: Path, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.csv"
    pairs.write_text(f"user,item\n3,{ITEMS + 1}\n3,5\nnobody,{ITEMS}\n3,nothing\n")
    found = rows(planted, run="gibbs", pairs=str(pairs), with_std=True)
    assert [row["known"].as_py() for row in found] == ["user", "both", "none", "user"]
    assert found[0]["prediction"] == opened(planted, "gibbs").model.predict(np.array([3]), np.array([ITEMS + 1]))[0]
    new = [row for row in rows(planted, run="als", list="items") if row["item"] >= ITEMS]
    assert len(new) == NEW
    assert new[0] == {
        "item": ITEMS,
        "title": f"Item {ITEMS} (1999)",
        "genres": f"kind{OF_KIND[ITEMS]}",
        "ratings": 0,
        "train_ratings": 0,
    }


def test_in_python_they_are_in_every_answer(planted: Path) -> None:
    run = mfcli.load(planted, "als", items_new=planted / "new.csv")
    listed = run.recommend(7, n=999, rank_by="rating")
    assert set(listed["item"]) >= set(range(ITEMS, ITEMS + NEW))
    same = rows(planted, run="als", user=("7",), n=999, rank_by="rating")
    assert listed["item"].tolist() == [row["item"] for row in same]
    assert run.fold_in({1: 5}).predict([ITEMS])["prediction"].notna().all()
    with pytest.raises(UsageError, match="give it to mfcli"):
        run.recommend(7, items_new=planted / "new.csv")
    with pytest.raises(DataError, match=r"nobody rated Item 100 \(1999\), and items are alike by who rated both"):
        run.similar(ITEMS)


ODD = """movieId,name,category,Colour,weight
5,Old (1999),kind1,red,3
300,Odd (1999),kind1|kind9,green,3
x,Odder (1999),kind1,red,
301,Without a year,,blue,4
"""


def test_what_is_odd_is_counted(planted: Path, tmp_path: Path) -> None:
    """The columns are found by their roles, or by their names in any case of letters."""
    file, doubts = tmp_path / "odd.csv", list[str]()
    file.write_text(ODD)
    data = Prepared(Artifacts(planted).data.record())
    table = read_new_items(file, data, doubts.append)
    assert [doubt.removeprefix(f"{file}: ") for doubt in doubts] == [
        "1 of 4 items are in the data already: 5",
        "1 items have no whole number for an id, as the data have: x",
        "1 columns say nothing, no features were made of them: weight",
        "2 values are no features and say nothing: genres=kind9, colour=green",
    ]
    assert table["id"].to_pylist() == [300, 301]
    assert table["features"].to_pylist() == [["genres=kind1"], ["colour=blue"]]
    assert table["index"].to_pylist() == [ITEMS, ITEMS + 1]
    assert table["year"].to_pylist() == [1999, None]
    file.write_text("item,title\n400,New\n")
    doubts.clear()
    read_new_items(file, data, doubts.append)
    assert doubts == [f"{file}: it has no column genres, colour, of which features were made"]
    file.write_text("what,called\n400,New\n")
    with pytest.raises(DataError, match="name them with a header itemId,title,genres"):
        read_new_items(file, data, doubts.append)
    file.write_text("item,title\n5,Old\n")
    with pytest.raises(DataError, match="no item in it is new"):
        read_new_items(file, data, doubts.append)


def test_strict_stops_and_what_cannot_be_is_said_in_one_line(
    planted: Path, finished: Path, tmp_path: Path, mfcli: Runner
) -> None:
    file = tmp_path / "odd.csv"
    file.write_text(ODD)
    one = ("recommend", "--dir", planted, "--run", "als", "--items-new", file, "--user", 1)
    assert mfcli(*one).stderr.count("warning: ") == 4
    strict = mfcli(*one, "--strict")
    assert (strict.returncode, strict.stdout, strict.stderr.count("\n")) == (4, "", 1)
    for asked, message in (
        (("--similar-to", 1), "--items-new excludes --similar-to: items are alike by who rated both"),
        (("--list", "users"), "--items-new excludes --list: it shows no items"),
    ):
        refused = mfcli("recommend", "--dir", planted, "--items-new", file, *asked)
        assert refused.returncode == 2
        assert message in refused.stderr


def test_clicks_too_are_expected_of_what_is_like_what_was_clicked(planted: Path, tmp_path: Path) -> None:
    ratings, items = planted / "train.csv", planted / "items.csv"
    cut = {"ratings": (ratings,), "as_clicks": True, "at_least": 3.5, "items": items}
    prepare(PrepareConfig(dir=tmp_path, **cut))  # type: ignore[arg-type]
    train(TrainConfig(dir=tmp_path, solver="ials", factors=8))
    trained = open_run(Artifacts(tmp_path), "default", "likely")
    known = trained.prepared.n_items
    trained = with_new_items(trained, read_new_items(planted / "new.csv", trained.prepared, pytest.fail))
    users, new = (index.ravel() for index in np.indices((trained.prepared.n_users, NEW)))
    liked = TABLE[np.array(trained.prepared.users["id"].to_pylist())[users], ITEMS + new]
    assert np.corrcoef(trained.model.predict(users, known + new), liked)[0, 1] > 0.5


def test_without_biases_there_is_nothing_to_expect(planted: Path) -> None:
    train(TrainConfig(dir=planted, run="bare", solver="als", biases=False, factors=2, epochs=1))
    with pytest.raises(UsageError, match="--items-new: a model without biases predicts the mean"):
        opened(planted, "bare")
