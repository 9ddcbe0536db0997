"""Effects of days: what is drawn, against the closed form; what is found of planted ones; where they are applied."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from mfcli.config.train import TrainConfig
from mfcli.data.ratings import Ratings, Sides
from mfcli.data.training import TrainingData
from mfcli.errors import UsageError
from mfcli.models import model_file
from mfcli.models.days import SECONDS, DayEffects, find, keys
from mfcli.models.metrics import coverage, rmse
from mfcli.models.model import FactorModel
from mfcli.solvers.blocks import cut_sides, less, spread
from mfcli.solvers.days import Days
from mfcli.solvers.gibbs import Gibbs
from tests.planted import CPU, full_matrix, quietly, some_of

EFFECT = 0.5


def planted() -> tuple[Ratings, np.ndarray[tuple[int, int], np.dtype[np.float64]]]:
    """80 users rate 60 items on 6 days each, from before 1970 on; and (80, 6) effects in their ratings."""
    rng = np.random.default_rng(4)
    whole = full_matrix(80, 60, 2, 0.3)
    days = rng.integers(0, 6, len(whole))
    effects = rng.normal(0, EFFECT, (80, 6))
    ratings = whole.ratings + effects[whole.users, days].astype(np.float32)
    timestamps = (days - 3) * SECONDS + rng.integers(0, SECONDS, len(whole))
    return replace(whole, ratings=ratings, timestamps=timestamps), effects


WHOLE, EFFECTS = planted()
TRAIN, TEST = some_of(WHOLE, 0.5)


def fitted(**options: Any) -> FactorModel:
    solver = Gibbs(TrainConfig(solver="gibbs", factors=2, burn_in=10, samples=40, **options), TrainingData(TRAIN), CPU)
    for _ in range(solver.epochs):
        solver.run_epoch(quietly)
    return solver.model()


def test_users_days_are_told_apart_and_found_again() -> None:
    users, days = np.array([3, 3, 0, 70_000]), np.array([-1, 0, -1, 30_000])
    known = np.unique(keys(users, days * SECONDS))
    assert len(known) == 4
    assert find(known, users, days * SECONDS + SECONDS - 1).tolist() == [1, 2, 0, 3]
    assert find(known, np.array([3, 1, 90_000]), np.array([1, -1, 0]) * SECONDS).tolist() == [4, 4, 4]


def test_values_are_spread_over_the_slots_of_their_ratings() -> None:
    blocks = cut_sides(TRAIN, 3, less(0.0), CPU)
    for rows, side in ((TRAIN.users, blocks.users), (TRAIN.items, blocks.items)):
        for block, found in zip(side.blocks, spread(TRAIN.ratings, rows, side, 0), strict=True):
            np.testing.assert_array_equal(found, block.ratings)


@pytest.mark.parametrize("biased", [True, False])
def test_effects_are_drawn_from_their_conditional_distribution(biased: bool) -> None:
    train, _ = some_of(TRAIN, 0.1)
    assert train.timestamps is not None
    days = Days(train, cut_sides(train, 3, less(3.0), CPU), biased, CPU)
    generator, d = torch.Generator().manual_seed(0), 2 + biased
    users, items = torch.randn(80, d, generator=generator), torch.randn(60, d, generator=generator)
    weights = Sides(torch.rand(80, generator=generator) + 0.5, torch.rand(60, generator=generator) + 0.5)
    u, i = users[train.users], items[train.items]
    left = torch.from_numpy(train.ratings) - 3 - (u[:, :2] * i[:, :2]).sum(1)
    if biased:
        left -= u[:, 2] + i[:, 2]
    w = 1.7 * weights.users[train.users] * weights.items[train.items]
    pairs = find(days.keys, train.users, train.timestamps)
    first = days.last.precision
    drawn = []
    for seed in range(4000):
        days.last = replace(days.last, precision=first)
        days.sample(users, items, 1.7, weights, map, np.random.default_rng(seed))
        drawn.append(days.last)
    precision = first + np.bincount(pairs, w)
    mean = np.bincount(pairs, w * left) / precision
    np.testing.assert_allclose(drawn[0].means[:-1], mean, atol=1e-5)
    normals = (np.array([one.effects[:-1].numpy() for one in drawn]) - mean) * np.sqrt(precision)
    assert normals.mean(0) == pytest.approx(0, abs=0.1)
    assert normals.std(0) == pytest.approx(1, abs=0.1)
    of_precision = [(1 + len(mean) / 2) / (0.05 + float(one.effects.square().sum()) / 2) for one in drawn]
    assert np.mean([one.precision for one in drawn] / np.array(of_precision)) == pytest.approx(1, abs=0.01)
    effects = days.last.effects.numpy()
    expected = spread(train.ratings - 3 - effects[pairs], train.items, days.blocks.items, 0)
    for block, of_ratings in zip(days.targets().items.blocks, expected, strict=True):
        np.testing.assert_allclose(block.ratings, of_ratings, atol=1e-6)


def test_planted_effects_are_found_and_help_on_the_days_they_are_of() -> None:
    model, without = fitted(), fitted(side=("exposure",))
    assert without.days is None
    assert model.days is not None
    users, days = (index.ravel() for index in np.indices(EFFECTS.shape))
    found = model.days.of(users, (days - 3) * SECONDS)
    assert np.corrcoef(found, EFFECTS.ravel())[0, 1] > 0.9
    assert model.days.unknown == pytest.approx(EFFECT**2, rel=0.3)
    told = rmse(TEST.ratings, model.predict(TEST.users, TEST.items, TEST.timestamps))
    untold = rmse(TEST.ratings, model.predict(TEST.users, TEST.items))
    assert told < 0.8 * untold
    assert told < 0.8 * rmse(TEST.ratings, without.predict(TEST.users, TEST.items))
    deviations = model.deviations(TEST.users, TEST.items, TEST.timestamps)
    unknown = model.deviations(TEST.users, TEST.items)
    assert deviations is not None
    assert unknown is not None
    assert (deviations < unknown).mean() > 0.95
    for timestamps, stds in ((TEST.timestamps, deviations), (None, unknown)):
        predicted = model.predict(TEST.users, TEST.items, timestamps)
        assert 0.62 < coverage(TEST.ratings, predicted, stds, 1) < 0.75
        assert 0.92 < coverage(TEST.ratings, predicted, stds, 2) < 0.98


def test_a_day_that_is_not_known_adds_nothing() -> None:
    model = fitted()
    users, items = np.arange(80), np.arange(80) % 60
    late = np.full(80, 900 * SECONDS)
    np.testing.assert_array_equal(model.predict(users, items, late), model.predict(users, items))
    np.testing.assert_array_equal(model.deviations(users, items, late), model.deviations(users, items))


def test_a_model_with_days_is_itself_again_from_its_file_and_in_another_unit() -> None:
    days = DayEffects(np.array([3, 9]), np.array([0.5, -1], np.float32), np.array([0.1, 0.2], np.float32), 0.3)
    sides = Sides(np.ones((2, 1), np.float32), np.ones((3, 1), np.float32))
    counts = Sides(np.ones(2, np.int32), np.ones(3, np.int32))
    model = FactorModel(3.0, 1.0, 5.0, sides, counts, days=days)
    again = model_file.from_bytes(model_file.to_bytes(model))
    assert again.days is not None
    for name, array in model_file.arrays(model).items():
        np.testing.assert_array_equal(model_file.arrays(again)[name], array)
    assert again.days.unknown == 0.3
    percent = model.scaled(20.0).days
    assert percent is not None
    np.testing.assert_allclose(percent.effects, [10, -20])
    np.testing.assert_allclose(percent.variances, [40, 80])
    assert percent.unknown == pytest.approx(120)


def test_time_without_timestamps_is_a_usage_error_only_if_asked_for() -> None:
    data = TrainingData(replace(TRAIN, timestamps=None))
    assert Gibbs(TrainConfig(solver="gibbs"), data, CPU).days is None
    with pytest.raises(UsageError, match="--side time: the ratings have no timestamps"):
        Gibbs(TrainConfig(solver="gibbs", side=("time",)), data, CPU)
