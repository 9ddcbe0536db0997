"""How likely each rating is: by hand, by a planted truth, and in every answer."""

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest

import mfcli as package
from mfcli.data.ratings import Ratings, Sides
from mfcli.errors import UsageError
from mfcli.models.levels import Levels
from mfcli.models.model import FactorModel
from tests.conftest import Runner

USERS, ITEMS = 200, 150
EDGES = np.array([1.2, 2.6, 3.1, 4.6])
"""Between 1, 2, 3, 4 and 5: people give 3 seldom."""


def planted() -> tuple[FactorModel, Ratings]:
    """Ratings that fall between those edges, of a model that knows the truth about them."""
    rng = np.random.default_rng(0)
    users, items = (index.ravel().astype(np.int32) for index in np.indices((USERS, ITEMS)))
    biases = Sides(*(rng.normal(0, 0.7, n).astype(np.float32) for n in (USERS, ITEMS)))
    noise = Sides(*(rng.uniform(0.5, 1, n).astype(np.float32) for n in (USERS, ITEMS)))
    told = Sides(np.full(USERS, 0.1, np.float32), np.full(ITEMS, 0.1, np.float32))
    model = FactorModel(
        mean=3.2,
        minimum=1,
        maximum=5,
        factors=Sides(np.zeros((USERS, 1), np.float32), np.zeros((ITEMS, 1), np.float32)),
        counts=Sides(np.full(USERS, ITEMS, np.int32), np.full(ITEMS, USERS, np.int32)),
        biases=biases,
        noise=noise,
        variances=told,
    )
    deviations = model.deviations(users, items)
    said = rng.normal(model.predict(users, items, clip=False), deviations)
    return model, Ratings(users, items, 1 + np.searchsorted(EDGES, said).astype(np.float32), USERS, ITEMS)


def test_the_thresholds_that_were_planted_are_found() -> None:
    model, ratings = planted()
    levels = Levels.learn(model, ratings)
    assert levels.values.tolist() == [1, 2, 3, 4, 5]
    np.testing.assert_allclose(levels.thresholds, EDGES, atol=0.04)


def test_of_ratings_called_so_likely_so_many_are_given() -> None:
    model, ratings = planted()
    half = np.random.default_rng(1).random(len(ratings)) < 0.5
    levels, test = Levels.learn(model, ratings.take(half)), ratings.take(~half)
    predicted, deviations = (tell(test.users, test.items) for tell in (model.exact, model.deviations))
    likely = levels.probabilities(predicted, deviations)
    np.testing.assert_allclose(likely.sum(1), 1, atol=1e-6)
    given = test.ratings[:, None] == levels.values
    for low in np.arange(0, 0.8, 0.1):
        about = (likely >= low) & (likely < low + 0.1)
        assert likely[about].mean() == pytest.approx(given[about].mean(), abs=0.02)


def test_probabilities_by_hand() -> None:
    levels = Levels(np.array([1, 2, 3], np.float32), np.array([1.5, 2.5]))
    likely = levels.probabilities(np.array([2, 9], np.float32), np.array([0.5, 0.1], np.float32))
    np.testing.assert_allclose(likely, [[0.158655, 0.682689, 0.158655], [0, 0, 1]], atol=1e-6)


def test_ratings_that_are_numbers_have_no_levels() -> None:
    model, ratings = planted()
    many = Ratings(ratings.users, ratings.items, ratings.users.astype(np.float32), USERS, ITEMS)
    with pytest.raises(UsageError, match="there are 200 different ratings, more than 30"):
        Levels.learn(model, many)


LEVELS = [f"p_{value:g}" for value in np.arange(0.5, 5.1, 0.5)]


def test_lists_and_pairs_tell_how_likely_each_rating_is(artifacts: Path, tmp_path: Path, mfcli: Runner) -> None:
    assert mfcli("train", "--solver", "gibbs", "--samples", 4, "--burn-in", 4, "--factors", 2).returncode == 0
    asked = ("recommend", "--user", 3, "--with-probabilities", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(mfcli(*asked).stdout)))
    first = rows[0]
    assert [name for name in first if name.startswith("p_")] == LEVELS
    assert len(rows) == 10
    for row in rows:
        likely = np.array([float(row[name]) for name in LEVELS])
        assert likely.sum() == pytest.approx(1, abs=1e-3)
        assert likely @ np.arange(0.5, 5.1, 0.5) == pytest.approx(float(row["prediction"]), abs=0.35)
    pairs = tmp_path / "pairs.csv"
    pairs.write_text(f"user,item\n3,{first['item']}\n3,nothing\n")
    both = ("--pairs", pairs, "--with-std", "--with-probabilities", "--json")
    known, unknown = json.loads(mfcli("recommend", *both).stdout)
    assert [known[name] for name in LEVELS] == pytest.approx([float(first[name]) for name in LEVELS], abs=2e-4)
    assert list(known)[2:5] == ["prediction", "std", "p_0.5"]
    entropy = [-sum(row[name] * np.log(max(row[name], 1e-9)) for name in LEVELS) for row in (known, unknown)]
    assert entropy[0] < entropy[1], "of an item that nobody knows less is known"
    mine = tmp_path / "mine.csv"
    mine.write_text(f"item,rating\n{first['item']},5\n")
    table = mfcli("recommend", "--ratings", mine, "--with-probabilities").stdout
    assert "0.5 to 5" in table
    assert re.search("[▁▂▃▄▅▆▇█]{10}", table)
    run = package.load(artifacts)
    frame = run.predict(3, int(first["item"]), with_probabilities=True)
    assert frame.loc[0, LEVELS].tolist() == pytest.approx([known[name] for name in LEVELS], abs=1e-4)
    assert set(LEVELS) < set(run.recommend(3, with_probabilities=True))


def test_a_solver_that_does_not_know_how_sure_it_is_tells_no_probabilities(artifacts: Path, mfcli: Runner) -> None:
    refused = mfcli("recommend", "--user", 3, "--with-probabilities")
    assert refused.returncode == 2
    assert "--with-probabilities: the solver of run 'default' does not tell how sure it is" in refused.stderr
    assert (
        "--with-probabilities is for predictions"
        in mfcli("recommend", "--list", "items", "--with-probabilities").stderr
    )
