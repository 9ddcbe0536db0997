"""Ratings in any unit: the same data in stars, in percent or in hundredths come out alike."""

from dataclasses import replace

import numpy as np
import pytest

from mfcli.config import TrainConfig
from mfcli.data.ratings import TrainingData
from mfcli.solvers.als import Als
from mfcli.solvers.create import create
from mfcli.solvers.scaled import scale_of
from tests.planted import CPU, full_matrix, quietly, some_of


def config(solver: str) -> TrainConfig:
    if solver == "gibbs":
        return TrainConfig(solver="gibbs", factors=3, burn_in=4, samples=4)
    return TrainConfig(solver=solver, factors=3, epochs=4)


@pytest.mark.parametrize("solver", ["adam", "als", "gibbs"])
@pytest.mark.parametrize("unit", [32.0, 1 / 64])
def test_another_unit_changes_nothing_but_the_unit(solver: str, unit: float) -> None:
    train, validation = some_of(full_matrix(40, 30, 2, 0.3), 0.5)
    results = []
    for scale in (1.0, unit):
        parts = [replace(part, ratings=part.ratings * np.float32(scale)) for part in (train, validation)]
        fitted = create(config(solver), TrainingData(*parts), CPU)
        epochs = [fitted.run_epoch(quietly) for _ in range(fitted.epochs)]
        model = fitted.model()
        predicted = model.predict(validation.users, validation.items) / scale
        deviations = model.deviations(validation.users, validation.items)
        deviations = np.zeros(1) if deviations is None else deviations / scale
        told = [value / scale for value in fitted.results(model).values()]
        rmses = [
            [
                e.train / scale,
                e.validation / scale,
                *(x / scale for x in e.errors.values()),
                *(e.batch_rmse / scale),
            ]  # type: ignore[operator]
            for e in epochs
        ]
        results.append((predicted, deviations, np.array(told), np.array(rmses)))
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_stars_meet_no_scaling_and_are_not_copied() -> None:
    train, _ = some_of(full_matrix(40, 30, 2, 0.3), 0.5)
    assert scale_of(train) == 1.0
    solver = create(config("als"), TrainingData(train), CPU)
    assert isinstance(solver, Als)
    assert solver.data.train is train


@pytest.mark.parametrize(("deviation", "scale"), [(1.1, 1.0), (20.0, 16.0), (25.0, 32.0), (0.02, 1 / 64), (0.0, 1.0)])
def test_the_scale_is_the_nearest_power_of_two(deviation: float, scale: float) -> None:
    pair = full_matrix(2, 1, 1, 0.0)
    assert scale_of(replace(pair, ratings=np.array([3 - deviation, 3 + deviation], np.float32))) == scale
