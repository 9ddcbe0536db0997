"""Ratings in any unit: the same data in stars, in percent or in hundredths come out alike."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mfcli.config import TrainConfig
from mfcli.data.ratings import scale_of
from mfcli.solvers.base import Scaled, create
from tests.planted import full_matrix, quietly, some_of

CPU = torch.device("cpu")


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
        fitted = Scaled(config(solver), parts[0], parts[1], CPU)
        epochs = [fitted.run_epoch(quietly) for _ in range(config(solver).passes)]
        model = fitted.model()
        predicted = model.predict(validation.users, validation.items) / scale
        deviations = model.deviations(validation.users, validation.items)
        figures = [value / scale for value in fitted.figures(model).values()]
        deviations = np.zeros(1) if deviations is None else deviations / scale
        rmses = [[e.train_rmse / scale, e.validation_rmse / scale, *(e.batch_rmse / scale)] for e in epochs]  # type: ignore[operator]
        results.append((predicted, deviations, np.array(figures), np.array(rmses)))
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_stars_are_left_as_they_are_to_the_byte() -> None:
    train, _ = some_of(full_matrix(40, 30, 2, 0.3), 0.5)
    assert scale_of(train) == 1.0
    wrapped, bare = Scaled(config("als"), train, None, CPU), create(config("als"), train, None, CPU)
    for solver in (wrapped, bare):
        solver.run_epoch(quietly)
    assert wrapped.model().to_bytes() == bare.model().to_bytes()


@pytest.mark.parametrize(("deviation", "scale"), [(1.1, 1.0), (20.0, 16.0), (25.0, 32.0), (0.02, 1 / 64), (0.0, 1.0)])
def test_the_scale_is_the_nearest_power_of_two(deviation: float, scale: float) -> None:
    pair = full_matrix(2, 1, 1, 0.0)
    assert scale_of(replace(pair, ratings=np.array([3 - deviation, 3 + deviation], np.float32))) == scale
