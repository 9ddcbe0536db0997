"""Alternating least squares: the closed-form optimum, an objective that never rises, and what the options do."""

import itertools

import numpy as np
import pytest

from mfcli.config.train import TrainConfig
from mfcli.data.ratings import Ratings
from mfcli.data.training import TrainingData
from mfcli.models.metrics import rmse
from mfcli.solvers.als import Als
from tests.planted import CPU, full_matrix, quietly, some_of


def fitted(ratings: Ratings, rounds: int, validation: Ratings | None = None, **options: object) -> Als:
    solver = Als(TrainConfig(solver="als", **options), TrainingData(ratings, validation), CPU)  # type: ignore[arg-type]
    for _ in range(rounds):
        solver.run_epoch(quietly)
    return solver


def test_on_a_full_matrix_it_finds_the_closed_form_optimum() -> None:
    """min ‖R - PQᵀ‖² + a‖P‖² + b‖Q‖²: R with its singular values lowered by √(ab) (Mazumder et al., JMLR 2010)."""
    ratings = full_matrix(20, 30, 3, 0.1)
    solver = fitted(ratings, 300, factors=6, biases=False, l2=0.5)
    table = ratings.ratings.reshape(20, 30).astype(np.float64)
    left, values, right = np.linalg.svd(table, full_matrices=False)
    a, b = 0.5 * np.sqrt(30), 0.5 * np.sqrt(20)
    lowered = np.maximum(values - np.sqrt(a * b), 0)
    assert (lowered > 0).sum() <= 6
    np.testing.assert_allclose(
        solver.model().factors.users @ solver.model().factors.items.T, left * lowered @ right, atol=2e-3
    )
    optimum = np.square(table - left * lowered @ right).sum() + 2 * np.sqrt(a * b) * lowered.sum()
    assert solver.objective == pytest.approx(optimum, rel=1e-5)


@pytest.mark.parametrize("biases", [True, False])
def test_the_objective_never_rises_from_one_half_to_the_next(biases: bool) -> None:
    ratings = some_of(full_matrix(60, 40, 3, 0.3), 0.4)[0]
    solver = Als(TrainConfig(solver="als", factors=4, biases=biases), TrainingData(ratings), CPU)
    course = []
    for _ in range(12):
        others = solver.run_epoch(quietly).others
        course += [others["objective_users"], others["objective"]]
    assert all(after <= before * (1 + 1e-6) for before, after in itertools.pairwise(course))
    assert course[-1] < 0.9 * course[0]


def test_the_objective_is_what_the_model_says_it_is() -> None:
    ratings = some_of(full_matrix(60, 40, 3, 0.3), 0.4)[0]
    solver = fitted(ratings, 3, factors=4, l2=0.8, bias_l2=0.2)
    model = solver.model()
    errors = ratings.ratings - model.predict(ratings.users, ratings.items, clip=False)
    assert model.biases is not None
    expected = np.square(errors).sum()
    for factors, biases, counts in (
        (model.factors.users, model.biases.users, ratings.user_counts()),
        (model.factors.items, model.biases.items, ratings.item_counts()),
    ):
        expected += (np.sqrt(counts) * (0.8 * np.square(factors).sum(1) + 0.2 * np.square(biases))).sum()
    assert solver.objective == pytest.approx(expected, rel=1e-4)


def test_the_training_rmse_is_that_of_the_model() -> None:
    ratings = some_of(full_matrix(60, 40, 3, 0.3), 0.4)[0]
    solver = fitted(ratings, 2, factors=4)
    epoch = solver.run_epoch(quietly)
    predicted = solver.model().predict(ratings.users, ratings.items, clip=False)
    assert epoch.train == pytest.approx(rmse(ratings.ratings, predicted), rel=1e-4)


def test_it_stops_when_the_objective_no_longer_moves() -> None:
    ratings = some_of(full_matrix(60, 40, 2, 0.3), 0.5)[0]
    solver = Als(TrainConfig(solver="als", factors=2, tolerance=1e-3), TrainingData(ratings), CPU)
    objectives, converged = [], False
    while not converged:
        epoch = solver.run_epoch(quietly)
        objectives.append(epoch.others["objective"])
        converged = epoch.converged
    falls = [1 - after / before for before, after in itertools.pairwise(objectives)]
    assert len(falls) > 1
    assert falls[-1] <= 1.001e-3 < min(falls[:-1])


def test_without_a_penalty_users_with_fewer_ratings_than_factors_are_still_solved() -> None:
    ratings = some_of(full_matrix(20, 10, 2, 0.1), 0.3)[0]
    assert np.isfinite(fitted(ratings, 3, factors=8, l2=0.0, bias_l2=0.0).model().factors.users).all()
