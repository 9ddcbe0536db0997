"""Alternating least squares: the closed-form optimum, an objective that never rises, and what it learns beside rows."""

import numpy as np
import pytest
import torch

from mfcli.arrays import Float64s
from mfcli.config.train import TrainConfig
from mfcli.data.ratings import Ratings, Sides
from mfcli.data.training import TrainingData
from mfcli.models.expected import Expected
from mfcli.models.fold_in import fold_in
from mfcli.models.metrics import rmse
from mfcli.solvers.als import Als
from mfcli.solvers.blocks import cut_sides, less
from mfcli.solvers.spectral import KAPPA, SHRINK, TURNS, Spectral
from tests.planted import CPU, full_matrix, quietly, random_features, ratings_of, some_of

SOME, REST = some_of(full_matrix(60, 40, 3, 0.3), 0.4)


def fitted(ratings: Ratings, rounds: int, **options: object) -> Als:
    config = TrainConfig(solver="als", side=("none",), **options)  # type: ignore[arg-type]
    solver = Als(config, TrainingData(ratings), CPU)
    for _ in range(rounds):
        solver.run_epoch(quietly)
    return solver


def test_on_a_full_matrix_it_finds_what_variational_bayes_has_in_closed_form() -> None:
    """R, L x M, with a singular value γ lowered to γ/2 (b + √(b² - 4LMσ⁴/γ⁴)) with b = 1 - (L + M)σ²/γ².

    (Nakajima, Sugiyama, Babacan and Tomioka, JMLR 2013.) All rows have as many ratings, so all of them are typical.
    """
    users, items, noise = 60, 80, 0.5
    rng = np.random.default_rng(0)
    table = rng.normal(size=(users, 2)) @ rng.normal(size=(2, items)) + rng.normal(0, noise, (users, items))
    triples = [(u, i, float(table[u, i])) for u in range(users) for i in range(items)]
    solver = fitted(ratings_of(triples, users, items), 10, factors=6, biases=False)
    left, values, right = np.linalg.svd(table)
    shares = 1 / (solver.beliefs.alpha * values[:2] ** 2)
    rest = 1 - (users + items) * shares
    lowered = values[:2] / 2 * (rest + np.sqrt(rest**2 - 4 * users * items * shares**2))
    predicted = solver.model().factors.users @ solver.model().factors.items.T
    found = np.linalg.svd(predicted, compute_uv=False)
    np.testing.assert_allclose(found[:2], lowered, rtol=5e-4)
    assert values[2] > 7
    assert found[2] < 1.5, "of what is noise next to nothing is left"
    assert solver.beliefs.alpha**-0.5 == pytest.approx(noise, rel=0.02)
    np.testing.assert_allclose(predicted, (left[:, :2] * lowered) @ right[:2], atol=0.15)


@pytest.mark.parametrize("biases", [True, False])
def test_the_objective_never_rises_from_one_half_to_the_next(biases: bool) -> None:
    """What is believed changes between rounds, and the objective with it."""
    solver = fitted(SOME, 1, factors=4, biases=biases)
    for _ in range(8):
        assert solver.squared_error is not None
        before = solver.squared_error + penalty(solver)
        others = solver.run_epoch(quietly).others
        assert before >= others["objective_users"] * (1 - 1e-6)
        assert others["objective_users"] >= others["objective"] * (1 - 1e-6)


def penalty(solver: Als) -> float:
    """Σ (z - m)ᵀΛ(z - m)/α + n pᵀSp over the rows of both sides."""
    total, beliefs = 0.0, solver.beliefs
    for side, other in ((0, 1), (1, 0)):
        own = beliefs.sides[side]
        for z, n in zip(solver.rows[side].double().numpy(), solver.counts[side], strict=True):
            away = z - own.mean
            total += away @ own.precision @ away / beliefs.alpha + n * z @ beliefs.sides[other].spread @ z
    return float(total)


def test_the_objective_is_what_the_model_says_it_is() -> None:
    solver = fitted(SOME, 2, factors=4)
    believed = solver.beliefs
    objective = solver.run_epoch(quietly).others["objective"]
    model, solver.beliefs = solver.model(), believed
    errors = SOME.ratings - model.predict(SOME.users, SOME.items, clip=False)
    assert objective == pytest.approx(float(np.square(errors).sum()) + penalty(solver), rel=1e-4)


def test_the_training_rmse_is_that_of_the_model() -> None:
    solver = fitted(SOME, 2, factors=4)
    epoch = solver.run_epoch(quietly)
    predicted = solver.model().predict(SOME.users, SOME.items, clip=False)
    assert epoch.train == pytest.approx(rmse(SOME.ratings, predicted), rel=1e-4)


def test_it_stops_when_the_objective_no_longer_moves() -> None:
    solver = fitted(SOME, 0, factors=2, tolerance=1e-3)
    falls = [float("inf")]
    while falls[-1] > 1e-3:
        before = None if solver.squared_error is None else solver.squared_error + penalty(solver)
        epoch = solver.run_epoch(quietly)
        if before is not None:
            falls.append(before / epoch.others["objective"] - 1)
        assert epoch.converged == (falls[-1] <= 1e-3)
    assert 1 < len(falls) < 10


def test_more_factors_than_there_are_do_no_harm() -> None:
    """Penalties are learnt: with ten times as many factors the ratings held out are predicted as well."""
    errors = [
        rmse(REST.ratings, fitted(SOME, 10, factors=factors).model().predict(REST.users, REST.items))
        for factors in (3, 30)
    ]
    assert errors[1] < 1.1 * errors[0]
    assert errors[0] < 0.6 * REST.ratings.std()


def test_somebody_new_is_solved_for_as_users_are() -> None:
    solver = fitted(SOME, 3, factors=4)
    model = solver.model()
    solver.run_epoch(quietly)
    for user in (0, 7):
        mine = SOME.take(SOME.users == user)
        new = fold_in(model, mine.items, mine.ratings).model
        assert new.biases is not None
        vector = np.append(new.factors.users[0], new.biases.users[0])
        np.testing.assert_allclose(vector, solver.rows.users[user], atol=1e-4)


def test_a_row_without_ratings_is_the_mean_or_what_its_features_say() -> None:
    train = SOME.take((SOME.items != 3) & (SOME.items != 8))
    features = random_features(40, 5)
    for side in ("none", "items"):
        config = TrainConfig(solver="als", factors=3, side=(side,))  # type: ignore[arg-type]
        solver = Als(config, TrainingData(train, None, Sides(None, features)), CPU)
        solver.run_epoch(quietly)
        mean = solver.beliefs.sides.items.mean
        solver.run_epoch(quietly)
        model = solver.model()
        assert model.biases is not None
        vectors = np.column_stack([model.factors.items, model.biases.items])
        regression = Expected.of(vectors, features.matrix, train.item_counts()).rows(features.matrix[[3, 8]])
        expected = np.tile(mean, (2, 1)) if side == "none" else regression
        np.testing.assert_allclose(vectors[[3, 8]], expected, atol=1e-5)


def test_it_begins_with_the_singular_vectors_of_what_biases_leave() -> None:
    blocks = cut_sides(SOME, 4, less(SOME.summary.mean), CPU)
    found = Spectral.of(blocks, 3, True, SOME.summary.variance, 5, map)
    table, there = np.zeros((60, 40)), np.zeros((60, 40), bool)
    table[SOME.users, SOME.items], there[SOME.users, SOME.items] = SOME.ratings - SOME.summary.mean, True
    users, items = np.zeros(60), np.zeros(40)
    for _ in range(TURNS):
        items = ((table - users[:, None]) * there).sum(0) / (there.sum(0) + SHRINK.items)
        users = ((table - items) * there).sum(1) / (there.sum(1) + SHRINK.users)
    np.testing.assert_allclose(found.items[:, 3], items, atol=1e-5)
    roots = [(there.sum(axis) + KAPPA) ** -0.5 for axis in (1, 0)]
    left = (table - users[:, None] - items) * there * roots[0][:, None] * roots[1]
    _, _, right = np.linalg.svd(left)
    vectors: Float64s = found.items[:, :3].double().numpy() / roots[1][:, None]
    cosines = (vectors / np.linalg.norm(vectors, axis=0) * right[:3].T).sum(0)
    np.testing.assert_allclose(np.abs(cosines), 1, atol=1e-3)
    shares = there.sum(0) / there.sum()
    np.testing.assert_allclose(shares @ found.items[:, :3].double().numpy() ** 2, found.variances.items[:3], rtol=1e-4)


def test_what_is_believed_of_rows_with_so_many_ratings() -> None:
    """Λ_n⁻¹ and m_n by the same axes, against what the equations say."""
    solver = fitted(SOME, 2, factors=4)
    prior = solver.beliefs.prior(0, CPU)
    for block in solver.blocks.users.blocks:
        precision, pull = (part.double() for part in prior.natural.of(block))
        covariance = torch.linalg.inv(precision)
        eye = torch.eye(5).expand(len(block.rows), 5, 5)
        torch.testing.assert_close(prior.times_covariance(block, eye).double(), covariance, rtol=1e-3, atol=1e-5)
        means = (covariance @ pull[:, :, None])[:, :, 0]
        torch.testing.assert_close(prior.means(block).double(), means, rtol=1e-3, atol=1e-5)
