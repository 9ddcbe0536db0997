"""als and gibbs against the plain NumPy of tests/plain.py."""

import itertools
from collections.abc import Iterable

import numpy as np
import pytest

from mfcli.arrays import Float64s
from mfcli.config.train import TrainConfig
from mfcli.data.training import TrainingData
from mfcli.solvers.als import Als
from mfcli.solvers.gibbs import Gibbs
from tests import plain
from tests.planted import CPU, full_matrix, quietly, some_of


@pytest.mark.parametrize("factors", [3, 24], ids=["few factors", "more factors than ratings, as for short rows"])
def test_als_is_the_plain_one_row_by_row(factors: int) -> None:
    train, _ = some_of(full_matrix(25, 15, 2, 0.3), 0.4)
    solver = Als(TrainConfig(solver="als", factors=factors, side=("none",)), TrainingData(train), CPU)
    solver.run_epoch(quietly)
    priors = [(side.precision, side.mean, side.spread) for side in solver.beliefs.sides]
    rows, alpha = plain.als(train, [side.double().numpy() for side in solver.rows], solver.beliefs.alpha, priors, 3)
    for _ in range(3):
        solver.run_epoch(quietly)
    for found, expected in zip(solver.rows, rows, strict=True):
        np.testing.assert_allclose(found, expected, atol=2e-4)
    assert solver.beliefs.alpha == pytest.approx(alpha, rel=1e-5)


SWEEPS, BATCHES = 1200, 30


def told(users: Float64s, items: Float64s, alpha: float, u: Float64s, i: Float64s) -> Float64s:
    """What is compared of a sample: every prediction and its square, log α, and the log of every γ."""
    predictions = (users[:, :-1] @ items[:, :-1].T + users[:, -1:] + items[:, -1]).ravel()
    return np.concatenate([predictions, predictions**2, [np.log(alpha)], np.log(u), np.log(i)])


def mean_and_error(samples: Iterable[Float64s]) -> tuple[Float64s, Float64s]:
    """Means over a chain and their squared standard errors, from the means of batches of samples in a row."""
    batches = np.array(list(samples)).reshape(BATCHES, SWEEPS // BATCHES, -1).mean(1)
    return batches.mean(0), batches.var(0, ddof=1) / BATCHES


def test_gibbs_has_the_plain_ones_posterior() -> None:
    """Means and variances of predictions, noise and weights, of two long chains on 10 users and 7 items."""
    train, _ = some_of(full_matrix(10, 7, 1, 0.5), 0.6)
    rest = itertools.islice(plain.gibbs(train, 2, np.random.default_rng(1)), 100, 100 + SWEEPS)
    expected, expected_error = mean_and_error(told(*sample) for sample in rest)

    config = TrainConfig(solver="gibbs", factors=1, burn_in=100, samples=SWEEPS, side=("none",))
    solver = Gibbs(config, TrainingData(train), CPU)

    def samples() -> Iterable[Float64s]:
        for sweep in range(solver.epochs):
            solver.run_epoch(quietly)
            users, items = solver.last
            rows, weights = (
                [s.rows.double().numpy() for s in (users, items)],
                [s.weights.numpy() for s in (users, items)],
            )
            if sweep >= 100:
                yield told(*rows, solver.alpha, *weights)

    found, found_error = mean_and_error(samples())
    scores = (found - expected) / np.sqrt(found_error + expected_error)
    assert np.abs(scores).max() < 4.5
    assert scores.std() < 1.5
