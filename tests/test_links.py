"""Links: what is drawn, against the closed form; and what they are good for."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from mfcli.arrays import Float32s, Float64s
from mfcli.config.train import TrainConfig
from mfcli.data.ratings import Ratings, Sides
from mfcli.data.training import TrainingData
from mfcli.errors import UsageError
from mfcli.models.baselines import bias_model
from mfcli.models.fold_in import fold_in
from mfcli.models.metrics import coverage, rmse
from mfcli.solvers.base import Solver
from mfcli.solvers.create import create
from mfcli.solvers.gibbs import BELIEF, Gibbs, sample_prior
from mfcli.solvers.links import RATE, SHAPE, Link, Linking
from mfcli.solvers.priors import Prior
from mfcli.solvers.row_features import RowFeatures, row_features
from tests.planted import CPU, PlantedFeatures, planted_features, quietly, random_features

N, D = 12, 2
DENSE = np.random.default_rng(1).normal(size=(N, 3)).astype(np.float32)
SPARSE = random_features(N, 4)
COUNTS = np.ones(N, np.int32)


def features_of(dense: bool = True, sparse: bool = True) -> tuple[RowFeatures, Float32s]:
    """Features, and F as one dense matrix."""
    found = RowFeatures.of("items", COUNTS, DENSE if dense else None, SPARSE if sparse else None, CPU)
    return found, np.hstack([DENSE[:, : 3 * dense], SPARSE.matrix.toarray()[:, : 4 * sparse]])


@pytest.mark.parametrize(("dense", "sparse"), [(True, True), (True, False), (False, True)])
def test_products_with_features_are_those_of_the_matrix(dense: bool, sparse: bool) -> None:
    features, matrix = features_of(dense, sparse)
    link = torch.randn(features.width, D, generator=torch.Generator().manual_seed(1))
    rows = torch.randn(N, D, generator=torch.Generator().manual_seed(2))
    expected = matrix @ link.numpy()
    np.testing.assert_allclose(features.times(link), expected, atol=1e-5)
    np.testing.assert_allclose(features.transposed_times(rows), matrix.T @ rows.numpy(), atol=1e-5)
    np.testing.assert_allclose(features.gram, matrix.T @ matrix, atol=1e-5)
    parts = [features.times(link, columns) for columns in features.columns.values()]
    np.testing.assert_allclose(sum(parts), expected, atol=1e-5)
    assert list(features.columns) == ["exposure"] * dense + ["items"] * sparse


@pytest.mark.parametrize("batch", [4, 3 * N], ids=["a small batch", "a large batch"])
@pytest.mark.parametrize(("dense", "sparse"), [(True, True), (True, False), (False, True)])
def test_of_a_batch_of_rows_both_the_products_and_the_links_gradient_are_those_of_the_matrix(
    dense: bool, sparse: bool, batch: int
) -> None:
    features, matrix = features_of(dense, sparse)
    random = torch.Generator().manual_seed(1)
    link = torch.randn(features.width, D, generator=random, requires_grad=True)
    at, slope = torch.randint(N, (batch,), generator=random), torch.randn(batch, D, generator=random)
    products = features.times_at(at, link)
    products.backward(slope)  # type: ignore[no-untyped-call]
    np.testing.assert_allclose(products.detach(), (matrix @ link.detach().numpy())[at], atol=1e-5)
    assert link.grad is not None
    np.testing.assert_allclose(link.grad, matrix[at].T @ slope.numpy(), atol=1e-5)


def test_b_is_drawn_from_its_conditional_distribution() -> None:
    """Ridge regression, with the covariance (FᵀF + λI)⁻¹ of its rows and Λ⁻¹ of its columns; λ then from its own."""
    features, matrix = features_of()
    linking, rng = Linking(features), np.random.default_rng(0)
    covariance = torch.tensor([[0.5, 0.2], [0.2, 0.4]])
    precision = torch.linalg.inv(covariance)
    root = torch.linalg.cholesky(covariance)
    prior = Prior(precision, torch.tensor([0.3, -0.2]), covariance=covariance, covariance_root=root)
    rows = torch.randn(N, D, generator=torch.Generator().manual_seed(3))
    last = linking.link(torch.zeros(features.width, D), 0.7)
    drawn = [linking.sample(rows, prior, last, rng) for _ in range(8_000)]
    weights = np.array([one.coefficients.numpy() for one in drawn])
    inverse = np.linalg.inv(matrix.T @ matrix + 0.7 * np.eye(7))
    expected = inverse @ matrix.T @ (rows - prior.mean).numpy()
    np.testing.assert_allclose(weights.mean(0), expected, atol=0.04)
    spread = np.cov(weights.reshape(len(weights), -1).T)
    np.testing.assert_allclose(spread, np.kron(inverse, covariance), atol=0.06 * spread.max())
    penalties = np.einsum("nfd,de,nfe->n", weights, precision.numpy(), weights)
    of_precision = (SHAPE + 7 * D / 2) / (RATE + penalties / 2)
    ratios = np.array([one.precision for one in drawn]) / of_precision
    assert ratios.mean() == pytest.approx(1, abs=0.02)
    assert ratios.var() == pytest.approx(1 / (SHAPE + 7 * D / 2), rel=0.08)
    np.testing.assert_allclose(drawn[0].shifts, matrix @ weights[0], atol=1e-5)
    # What als learns is the mean of what gibbs draws.
    certain, half = torch.ones(D).double(), torch.full((D,), 0.5).double()
    learnt, freedom = linking.expected(rows, prior.mean, precision.double(), certain, last)
    np.testing.assert_allclose(learnt.coefficients, expected, atol=1e-5)
    assert learnt.precision == pytest.approx((SHAPE + 7 * D / 2) / (RATE + penalties.mean() / 2), rel=0.02)
    assert freedom == pytest.approx(np.trace(matrix @ inverse @ matrix.T))
    # Rows that are half known tell half as much of B, of whose size less is then known.
    guessed, _ = linking.expected(rows, prior.mean, precision.double(), half, last)
    unsure = D * np.trace(np.linalg.inv(0.5 * matrix.T @ matrix + 0.7 * np.eye(7)))
    squared = np.einsum("fd,de,fe->", expected, precision.numpy(), expected)
    assert guessed.precision == pytest.approx((SHAPE + 7 * D / 2) / (RATE + (squared + unsure) / 2), rel=1e-4)


def test_the_prior_beside_a_link_is_that_of_what_the_link_leaves() -> None:
    """Normal-Wishart of Z - FB, to whose scatter and freedom the f rows of B are added."""
    features, matrix = features_of()
    rows = torch.randn(N, D, generator=torch.Generator().manual_seed(3))
    weights = torch.randn(7, D, generator=torch.Generator().manual_seed(4))
    link = Link(weights, 0.7, features.times(weights))
    rng = np.random.default_rng(0)
    left = rows.numpy() - matrix @ weights.numpy()
    np.testing.assert_allclose(Linking(features).left(rows, link), left, atol=1e-5)
    drawn = [sample_prior(torch.from_numpy(left), rng, link) for _ in range(5_000)]
    mean, b = left.mean(0), weights.numpy()
    scatter = np.cov(left.T, bias=True) * N + N * BELIEF / (N + BELIEF) * np.outer(mean, mean)
    expected = (D + N + 7) * np.linalg.inv(np.eye(D) + scatter + 0.7 * b.T @ b)
    precisions = np.array([one.precision.numpy() for one in drawn])
    np.testing.assert_allclose(precisions.mean(0), expected, atol=0.05 * expected.max())
    means = np.array([one.mean.numpy() for one in drawn])
    np.testing.assert_allclose(means.mean(0), N * mean / (N + BELIEF), atol=0.03)


def test_rows_without_ratings_say_nothing_of_the_link() -> None:
    features = RowFeatures.of("items", np.where(np.arange(N) < 9, 3, 0), DENSE, SPARSE, CPU)
    linking, prior = Linking(features), Prior(torch.eye(D), torch.zeros(D), covariance_root=torch.eye(D))
    rows = torch.randn(N, D, generator=torch.Generator().manual_seed(3))
    others = torch.cat([rows[:9], rows[9:] + 100])
    last = linking.none_yet(D)
    one, other = (linking.sample(z, prior, last, np.random.default_rng(0)) for z in (rows, others))
    torch.testing.assert_close(one.coefficients, other.coefficients, rtol=0, atol=0)
    assert linking.left(rows, one).shape == (9, D)


@dataclass(frozen=True)
class Planted:
    """Ratings of items whose vectors, biases included, are mostly what their features say.

    Attributes:
        data: to learn from; the last 30 items have no rating in it, only features.
        cold: ratings of these items.
        likes: (n_users, f) true effect of every feature on every user's ratings.
    """

    data: TrainingData
    cold: Ratings
    likes: Float64s


def planted() -> Planted:
    users, items, width, rng = 150, 150, 8, np.random.default_rng(5)
    features = random_features(items, width, seed=2)
    link = rng.normal(0, 0.5, (width, 3))
    vectors = features.matrix @ link + rng.normal(0, 0.2, (items, 3))
    tastes = np.column_stack([rng.normal(size=(users, 2)), np.ones(users)])
    table = 3 + tastes @ vectors.T + rng.normal(0, 0.4, (users, items))
    rated = rng.random(table.shape) < 0.3
    u, i = (index.astype(np.int32) for index in np.nonzero(rated))
    ratings = Ratings(u, i, table[rated].astype(np.float32), users, items)
    warm = ratings.items < items - 30
    data = TrainingData(ratings.take(warm), None, Sides(None, features))
    return Planted(data, ratings.take(~warm), tastes @ link.T)


def fitted(solver: str, **options: Any) -> Solver:
    lengths: dict[str, Any] = {"gibbs": {"burn_in": 20, "samples": 60}, "adam": {"epochs": 40, "batch": 500}, "als": {}}
    config = TrainConfig(solver=solver, factors=3, **lengths[solver], **options)  # type: ignore[arg-type]
    built = create(config, PLANTED.data, CPU)
    for _ in range(built.epochs):
        built.run_epoch(quietly)
    return built


PLANTED = planted()


def test_the_link_that_was_planted_is_found() -> None:
    solver = fitted("gibbs", side=("items",))
    assert isinstance(solver, Gibbs)
    users, items = solver.last
    assert users.link is None
    assert items.link is not None
    tastes = torch.cat([users.rows[:, :-1], torch.ones(len(users.rows), 1)], 1)
    found = (tastes @ items.link.coefficients.T).numpy()
    assert np.corrcoef(found.ravel(), PLANTED.likes.ravel())[0, 1] > 0.97
    assert solver.explained()["items"] > 0.7


@pytest.mark.parametrize("solver", ["gibbs", "adam", "als"])
def test_items_nobody_rated_are_predicted_by_their_features(solver: str) -> None:
    cold = PLANTED.cold
    told, untold = fitted(solver).model(), fitted(solver, side=("none",)).model()
    error, without = (rmse(cold.ratings, model.predict(cold.users, cold.items)) for model in (told, untold))
    of_biases = rmse(cold.ratings, bias_model(PLANTED.data.train).predict(cold.users, cold.items))
    assert error < 0.65 * of_biases
    assert error < 0.65 * without
    deviations = told.deviations(cold.users, cold.items)
    if deviations is None:
        return
    predicted = told.predict(cold.users, cold.items)
    assert 0.64 < coverage(cold.ratings, predicted, deviations, 1) < 0.80
    assert 0.93 < coverage(cold.ratings, predicted, deviations, 2) < 0.995


def test_what_is_asked_for_and_not_there_is_a_usage_error() -> None:
    data = TrainingData(PLANTED.data.train)
    with pytest.raises(UsageError, match="--side items: the data hold no features of items"):
        row_features(TrainConfig(side=("items",)), data, CPU)
    assert row_features(TrainConfig(solver="ials"), PLANTED.data, CPU) == Sides(None, None)
    assert row_features(TrainConfig(side=("none",)), PLANTED.data, CPU) == Sides(None, None)


@pytest.mark.parametrize("solver", ["gibbs", "adam", "als"])
def test_somebody_new_is_predicted_by_what_they_tell_before_their_first_rating(solver: str) -> None:
    """The planted ratings turned round: features are of users, and the cold items are people who are new."""
    turned = TrainingData(_turned(PLANTED.data.train), None, Sides(PLANTED.data.features.items, None))
    cold = _turned(PLANTED.cold)
    lengths: dict[str, Any] = {"gibbs": {"burn_in": 20, "samples": 60}, "adam": {"epochs": 40, "batch": 500}, "als": {}}
    config = TrainConfig(solver=solver, factors=3, side=("exposure", "users"), **lengths[solver])  # type: ignore[arg-type]
    built = create(config, turned, CPU)
    for _ in range(built.epochs):
        built.run_epoch(quietly)
    model, none, nothing = built.model(), np.zeros(0, np.int32), np.zeros(0, np.float32)
    errors = []
    for user in np.unique(cold.users):
        of_user = cold.take(cold.users == user)
        attributes = turned.features.users.matrix[user].toarray()[0]  # type: ignore[union-attr]
        told, untold = (
            fold_in(model, none, nothing, one).model.predict(np.zeros(len(of_user), int), of_user.items)
            for one in (attributes, None)
        )
        errors.append([rmse(of_user.ratings, told) ** 2, rmse(of_user.ratings, untold) ** 2])
    with_attributes, without = np.sqrt(np.mean(errors, 0))
    assert with_attributes < 0.75 * without


def _turned(ratings: Ratings) -> Ratings:
    return Ratings(ratings.items, ratings.users, ratings.ratings, ratings.n_items, ratings.n_users)


@pytest.mark.parametrize(
    ("solver", "planted"),
    [
        ("gibbs", planted_features(200, 250, share=0.7, own=0.02, cold=0.2)),
        ("adam", planted_features(200, 250, share=0.7, own=0.02, cold=0.2)),
        ("als", planted_features(200, 250, share=0.7, own=0.02, cold=0.2)),
        ("gibbs", planted_features(1500, 600, share=0.04, own=0.01, cold=0)),  # 21 training ratings a user
    ],
    ids=["gibbs, cold items", "adam, cold items", "als, cold items", "gibbs, few ratings"],
)
def test_what_features_tell_is_found_but_for_three_in_a_hundred(solver: str, planted: PlantedFeatures) -> None:
    """Of the RMSE of the truth itself. Without the features it is out of reach."""
    lengths: dict[str, Any] = {"gibbs": {"burn_in": 10, "samples": 30}, "adam": {"batch": 1000}, "als": {}}

    def error(side: tuple[Any, ...]) -> float:
        config = TrainConfig(solver=solver, factors=2, side=side, **lengths[solver])  # type: ignore[arg-type]
        built = create(config, planted.data, CPU)
        for _ in range(built.epochs):
            built.run_epoch(quietly)
        return rmse(planted.test.ratings, built.model().predict(planted.test.users, planted.test.items, clip=False))

    assert error(("auto",)) < 1.03 * planted.oracle
    assert error(("none",)) > 1.08 * planted.oracle
