"""What every solver promises. A new one joins by a line in OPTIONS, and passes."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mfcli.config import TrainConfig
from mfcli.data.ratings import TrainingData
from mfcli.models.fold_in import fold_in
from mfcli.models.model import FactorModel
from mfcli.solvers.base import Solver
from mfcli.solvers.create import create
from tests.planted import CPU, full_matrix, quietly, some_of

OPTIONS: dict[str, dict[str, Any]] = {
    "adam": {"epochs": 3, "batch": 100},
    "als": {"epochs": 3, "tolerance": 0.0},
    "gibbs": {"burn_in": 1, "samples": 2},
}
every_solver = pytest.mark.parametrize("name", OPTIONS)
TRAIN, VALIDATION = some_of(full_matrix(40, 30, 2, 0.3), 0.5)
DATA = TrainingData(TRAIN, VALIDATION)


def built(name: str, data: TrainingData = DATA, **options: Any) -> Solver:
    return create(TrainConfig(solver=name, factors=3, **OPTIONS[name] | options), data, CPU)


def fitted(name: str, data: TrainingData = DATA, **options: Any) -> FactorModel:
    solver = built(name, data, **options)
    for _ in range(solver.epochs):
        solver.run_epoch(quietly)
    return solver.model()


@every_solver
@pytest.mark.parametrize("biases", [True, False])
def test_the_model_can_fold_in_somebody_new_in_any_unit(name: str, biases: bool) -> None:
    items, ratings = np.array([4, 7, 9], np.int32), np.array([4.0, 2.5, 3.5], np.float32)
    model = fitted(name, biases=biases)
    percent = TrainingData(replace(TRAIN, ratings=TRAIN.ratings * np.float32(32)))
    scaled = fitted(name, percent, biases=biases)
    stars = fold_in(model, items, ratings).model.scores(np.zeros(1, np.int32))
    np.testing.assert_allclose(
        fold_in(scaled, items, ratings * 32).model.scores(np.zeros(1, np.int32)) / 32, stars, 1e-4
    )


@pytest.mark.parametrize("name", ["adam", "als"])
def test_the_penalties_of_training_are_those_of_somebody_new(name: str) -> None:
    prior = fitted(name, l2=0.0, bias_l2=0.7).newcomer
    assert prior is not None
    assert prior.by_root_count
    np.testing.assert_array_equal(prior.precision, np.diag([0, 0, 0, 0.7]))
