"""Solving for rows, block by block, against plain NumPy and scikit-learn's ridge regression."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from mfcli.arrays import Float32s
from mfcli.data.ratings import Ratings, Sides
from mfcli.errors import DivergedError
from mfcli.solvers.base import Tick
from mfcli.solvers.blocks import GATHERED, Blocks, cut_sides, less, longest_short
from mfcli.solvers.compiled import kernels
from mfcli.solvers.halves import Round
from mfcli.solvers.normals import AnyNormals, Normals
from mfcli.solvers.priors import DiagonalPrior, Prior
from mfcli.solvers.solving import Solutions
from tests.planted import CPU, full_matrix, quietly, ratings_of, some_of


@pytest.fixture(autouse=True, params=["compiled", "torch"])
def by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Whose work it is: that of the compiled kernels, or of torch, as on a GPU."""
    by: str = request.param
    if by == "torch":
        monkeypatch.setattr(kernels, "serve", lambda device: False)
    elif kernels.kind() is None:
        pytest.skip("no kernels were compiled")
    return by


def cut_by_user(ratings: Ratings, mean: float = 0.0, dimensions: int = 3) -> Blocks:
    return cut_sides(ratings, dimensions, less(mean), CPU).users


def solve_all(
    blocks: Blocks,
    given: torch.Tensor,
    prior: Prior,
    *,
    threads: int = 1,
    biased: bool = False,
    weights: torch.Tensor | None = None,
    normals: AnyNormals | None = None,
    plain: bool = True,
    tick: Tick = quietly,
) -> tuple[Solutions, torch.Tensor]:
    """Half a round, and what the blocks leave of squared residuals."""
    before = torch.get_num_threads()
    try:
        with replace(CPU, threads=threads).one_core_each() as workers:
            current = Round(Sides(blocks, blocks), biased, workers, tick)
            solutions = current.half(blocks, given, prior, weights=weights, normals=normals, plain=plain)
            return solutions, current.tally.squared_errors[: len(blocks.blocks)]
    finally:
        assert torch.get_num_threads() == before


def solve(blocks: Blocks, given: torch.Tensor, prior: Prior, **options: Any) -> torch.Tensor:
    return solve_all(blocks, given, prior, **options)[0].rows


def test_every_row_is_scikit_learns_ridge_regression() -> None:
    ratings = some_of(full_matrix(12, 9, 3, 0.2), 0.5)[0]
    items = torch.randn(9, 4, generator=torch.Generator().manual_seed(0))
    prior = Prior(torch.eye(4) * 0.7, torch.zeros(4), by_root_count=True)
    solution = solve(cut_by_user(ratings), items, prior)
    for user in range(12):
        mine = ratings.take(ratings.users == user)
        ridge = Ridge(alpha=0.7 * np.sqrt(len(mine)), fit_intercept=False)
        ridge.fit(items[mine.items].double().numpy(), mine.ratings.astype(np.float64))
        np.testing.assert_allclose(solution[user], ridge.coef_, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("weighted", [False, True])
def test_squared_errors_come_with_the_solutions(weighted: bool) -> None:
    ratings = some_of(full_matrix(12, 9, 3, 0.2), 0.5)[0]
    items = torch.randn(9, 4, generator=torch.Generator().manual_seed(0))
    weights = torch.rand(9, generator=torch.Generator().manual_seed(1)) + 0.5
    found, squared_errors = solve_all(
        cut_by_user(ratings, mean=3.0),
        items,
        Prior(torch.eye(4), torch.zeros(4)),
        biased=True,
        weights=weights if weighted else None,
    )
    u, i = found.rows[ratings.users], items[ratings.items]
    predicted = 3.0 + (u[:, :3] * i[:, :3]).sum(1) + u[:, 3] + i[:, 3]
    errors = (torch.from_numpy(ratings.ratings) - predicted).square()
    assert float(squared_errors.sum()) == pytest.approx(float(errors.sum()), rel=1e-4)
    weighed = errors * weights[ratings.items] if weighted else errors
    by_user = np.bincount(ratings.users, weighed.numpy(), 12)
    np.testing.assert_allclose(found.weighted_errors, by_user, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("biased", [False, True])
def test_squared_errors_that_need_not_be_plain_are_weighted_means(biased: bool) -> None:
    """Of long rows: without a covariance all are. One row has no ratings."""
    ratings = replace(some_of(full_matrix(12, 9, 3, 0.2), 0.5)[0], n_users=13)
    items = torch.randn(9, 4, generator=torch.Generator().manual_seed(0))
    weights = torch.rand(9, generator=torch.Generator().manual_seed(1)) + 0.5
    blocks, prior = cut_by_user(ratings, mean=3.0), Prior(torch.eye(4), torch.zeros(4))
    found, squared_errors = solve_all(blocks, items, prior, biased=biased, weights=weights, plain=False)
    exact, _ = solve_all(blocks, items, prior, biased=biased, weights=weights)
    torch.testing.assert_close(found.weighted_errors, exact.weighted_errors, rtol=1e-3, atol=1e-4)
    counts, weight = np.bincount(ratings.users), np.bincount(ratings.users, weights.numpy()[ratings.items])
    expected = exact.weighted_errors.numpy()[:12] * counts / weight
    assert float(squared_errors.sum()) == pytest.approx(float(expected.sum()), rel=1e-3)


def test_weighted_means_of_squared_errors_are_never_below_what_rounding_leaves() -> None:
    """Ratings without noise: sums of products in float32 would come to numbers of either sign."""
    generator = torch.Generator().manual_seed(0)
    items, users = torch.randn(400, 4, generator=generator), torch.randn(20, 4, generator=generator)
    where, table = np.indices((20, 400), np.int32).reshape(2, -1), (users @ items.T).numpy().ravel()
    ratings = Ratings(where[0], where[1], table, 20, 400)
    found, _ = solve_all(
        cut_by_user(ratings), items, Prior(1e-6 * torch.eye(4), torch.zeros(4)), weights=torch.ones(400), plain=False
    )
    squares = (users @ items.T).square().sum(1)
    assert (found.weighted_errors > 0.9e-6 * squares).all()
    assert (found.weighted_errors < 1e-5 * squares).all()


def test_a_weight_of_2_counts_as_two_ratings() -> None:
    """Ratings of an item that weighs 2 count as if they were there twice."""
    once = ratings_of([(0, 0, 4.0), (0, 1, 2.0), (1, 1, 1.0)], 2, 2)
    items = torch.tensor([[1.0, 0.5], [0.3, -1.0]])
    prior = Prior(torch.eye(2), torch.zeros(2))
    weighted = solve(cut_by_user(once), items, prior, weights=torch.tensor([2.0, 1.0]))
    twice = ratings_of([(0, 0, 4.0), (0, 2, 4.0), (0, 1, 2.0), (1, 1, 1.0)], 2, 3)
    torch.testing.assert_close(weighted, solve(cut_by_user(twice), torch.cat([items, items[:1]]), prior))


@pytest.mark.parametrize("by_root_count", [False, True])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_short_rows_come_out_as_long_ones_do(weighted: bool, biased: bool, by_root_count: bool) -> None:
    """One to seven ratings a user, 20 dimensions: with Λ⁻¹ at hand the short way is taken, without it the long one."""
    ratings = some_of(full_matrix(60, 10, 3, 0.2), 0.3)[0]
    blocks = cut_by_user(ratings, mean=3.0, dimensions=20)
    assert {0, 1, 2, 7} <= set(ratings.user_counts().tolist()) <= set(range(longest_short(20) + 1))
    assert any(block.counts.min() < block.counts.max() for block in blocks.blocks), "rows of different lengths"
    items = torch.randn(10, 20, generator=torch.Generator().manual_seed(0))
    weights, alphas = (torch.rand(n, generator=torch.Generator().manual_seed(n)) + 0.5 for n in (10, 60))
    root = torch.eye(20) + 0.2 * torch.randn(20, 20, generator=torch.Generator().manual_seed(3))
    precision, mean = root @ root.T, torch.linspace(-1, 1, 20)
    found = []
    for covariance in (None, torch.linalg.inv(precision)):
        prior = Prior(precision, mean, alphas, by_root_count, covariance)
        solutions, squared_errors = solve_all(
            blocks, items, prior, biased=biased, weights=weights if weighted else None
        )
        found.append((solutions.rows, solutions.weighted_errors, squared_errors))
    for long, short in zip(*found, strict=True):
        assert not torch.equal(long, short), "one way was taken twice"
        torch.testing.assert_close(long, short, rtol=1e-3, atol=1e-3)


def test_each_row_can_have_a_noise_of_its_own() -> None:
    blocks = cut_by_user(ratings_of([(0, 0, 4.0), (1, 0, 4.0)], 2, 1))
    alphas = torch.tensor([1.0, 3.0])
    solution = solve(blocks, torch.ones(1, 1), Prior(torch.eye(1), torch.zeros(1), alphas))
    torch.testing.assert_close(solution[:, 0], 4 * alphas / (alphas + 1))


@pytest.mark.parametrize("covariance", [None, torch.eye(2)], ids=["", "covariance"])
def test_a_row_without_ratings_is_its_prior(covariance: torch.Tensor | None) -> None:
    blocks = cut_by_user(ratings_of([(0, 0, 4.0)], n_users=3, n_items=2))
    prior = Prior(torch.eye(2), torch.tensor([1.0, -2.0]), by_root_count=True, covariance=covariance)
    found, squared_errors = solve_all(blocks, torch.ones(2, 2), prior)
    assert found.rows[1].tolist() == found.rows[2].tolist() == [1.0, -2.0]
    assert found.weighted_errors[1:].tolist() == [0.0, 0.0]
    assert float(squared_errors.sum()) == pytest.approx(float(found.weighted_errors[0]))


def test_a_row_without_ratings_is_drawn_from_its_prior() -> None:
    n, mean, covariance = 20_000, torch.tensor([1.0, -2.0]), torch.tensor([[1.0, 0.5], [0.5, 2.0]])
    blocks = cut_by_user(ratings_of([(0, 0, 4.0)], n_users=n, n_items=2))
    root = torch.linalg.cholesky(covariance)
    prior = Prior(torch.linalg.inv(covariance), mean, covariance=covariance, covariance_root=root)
    found, _ = solve_all(blocks, torch.ones(2, 2), prior, normals=Normals(1))
    drawn = found.rows[1:].double()
    torch.testing.assert_close(found.means[1:], mean.expand(n - 1, -1))
    torch.testing.assert_close(drawn.mean(0).float(), mean, atol=0.05, rtol=0)
    torch.testing.assert_close(drawn.T.cov().float(), covariance, atol=0.1, rtol=0)


def test_each_row_can_have_a_prior_mean_of_its_own() -> None:
    blocks = cut_by_user(ratings_of([(0, 0, 4.0)], n_users=3, n_items=2))
    means = torch.arange(6.0).view(3, 2)
    assert solve(blocks, torch.ones(2, 2), Prior(torch.eye(2), means))[1:].tolist() == means[1:].tolist()


def test_a_row_with_most_of_the_ratings_is_solved_as_any_other() -> None:
    triples = [(0, i, float(i % 5)) for i in range(3000)] + [(u, u, 3.0) for u in range(1, 200)]
    ratings = ratings_of(triples, 200, 3000)
    items = torch.randn(3000, 3, generator=torch.Generator().manual_seed(0))
    solution = solve(cut_by_user(ratings), items, Prior(torch.eye(3), torch.zeros(3)))
    x = items.double().numpy()
    expected = np.linalg.solve(x.T @ x + np.eye(3), x.T @ ratings.ratings[:3000])
    np.testing.assert_allclose(solution[0], expected, rtol=1e-3, atol=1e-4)


def test_a_million_rows_are_solved() -> None:
    """n ratings of 1 for an item that is 1, and a prior of N(0, 1): the row is n/(n + 1)."""
    rng, n = np.random.default_rng(0), 1_000_000
    users = np.concatenate([np.arange(n), rng.integers(0, n, n)]).astype(np.int32)
    ratings = Ratings(users, rng.integers(0, 50, 2 * n).astype(np.int32), np.ones(2 * n, np.float32), n, 50)
    prior = Prior(torch.eye(1), torch.zeros(1))
    solution = solve(cut_by_user(ratings, dimensions=1), torch.ones(50, 1), prior, threads=2)
    counts = torch.from_numpy(ratings.user_counts()).float()
    torch.testing.assert_close(solution[:, 0], counts / (counts + 1))


def test_threads_change_no_byte() -> None:
    ratings = some_of(full_matrix(300, 200, 3, 0.2), 0.5)[0]
    items = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
    normals = Normals(1)
    prior = Prior(torch.eye(4), torch.zeros(4))
    one, two = (solve(cut_by_user(ratings), items, prior, threads=n, normals=normals) for n in (1, 2))
    assert torch.equal(one, two)


@pytest.mark.parametrize("d", [3, 12], ids=["more ratings than factors", "a short row"])
@pytest.mark.parametrize("weighted", [False, True])
def test_samples_have_the_mean_and_covariance_of_the_exact_posterior(d: int, weighted: bool) -> None:
    """The other blocks fixed, a row's posterior is a Gaussian that one can write down."""
    n = 20_000  # the same user, so many times
    items = torch.randn(6, d, generator=torch.Generator().manual_seed(0))
    weights = torch.tensor([1.0, 2.0, 0.5, 1.0, 3.0, 0.2]) if weighted else None
    values = np.array([4.0, 3.0, 5.0, 1.0, 2.0, 4.5], np.float32)
    users = np.repeat(np.arange(n, dtype=np.int32), 6)
    ratings = Ratings(users, np.tile(np.arange(6, dtype=np.int32), n), np.tile(values, n), n, 6)
    root = torch.eye(d) + 0.2 * torch.randn(d, d, generator=torch.Generator().manual_seed(3))
    precision, mean, alpha = root @ root.T, torch.linspace(-1, 1, d), 1.7
    covariance = torch.linalg.inv(precision)
    prior = Prior(precision, mean, alpha, covariance=covariance, covariance_root=torch.linalg.cholesky(covariance))
    found, _ = solve_all(cut_by_user(ratings), items, prior, normals=Normals(1), weights=weights)
    samples = found.rows.double().numpy()
    x, a = items.double().numpy(), precision.double().numpy()
    w = np.ones(6) if weights is None else weights.double().numpy()
    covariance = np.linalg.inv(alpha * (x.T * w) @ x + a)
    expected = covariance @ (alpha * (x.T * w) @ values + a @ mean.double().numpy())
    np.testing.assert_allclose(found.means[0], expected, rtol=1e-3, atol=1e-4)
    errors = (samples.mean(0) - expected) / np.sqrt(np.diag(covariance) / n)
    assert np.abs(errors).max() < 4.5
    spread = np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)) + covariance**2) / np.sqrt(n)
    assert (np.abs(np.cov(samples.T) - covariance) / spread).max() < 4.5


@pytest.mark.parametrize("threads", [1, 2])
def test_rows_whose_equations_are_spoiled_are_solved_for_again_and_a_hopeless_one_is_an_error(threads: int) -> None:
    """One rating and no prior: x xᵀ has no inverse. Three ratings are enough for three numbers."""
    ratings = ratings_of([(0, 0, 3.0), (1, 1, 1.0), (1, 2, 2.0), (1, 3, 3.0)], 2, 4)
    items, prior = torch.cat([torch.ones(1, 3), torch.eye(3)]), Prior(torch.zeros(3, 3), torch.zeros(3))
    found, squared_errors = solve_all(cut_by_user(ratings), items, prior, threads=threads)
    assert float(found.rows[0].sum()) == pytest.approx(3, abs=1e-3)
    torch.testing.assert_close(found.rows[1], torch.tensor([1.0, 2.0, 3.0]), atol=1e-3, rtol=0)
    assert float(squared_errors.sum()) == pytest.approx(0, abs=1e-4)
    with pytest.raises(DivergedError, match="finite"):
        solve_all(cut_by_user(ratings), items * torch.nan, prior, threads=threads)


def test_a_tick_that_raises_after_the_first_block_is_the_last_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(GATHERED, "cpu", 2**14)
    blocks = cut_by_user(full_matrix(400, 100, 2, 0.1))
    assert len(blocks.blocks) > 1
    done: list[int] = []

    def stop(block: int, total: int, rmse: object) -> None:
        done.append(block)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        solve(blocks, torch.ones(100, 2), Prior(torch.eye(2), torch.zeros(2)), threads=2, tick=stop)
    assert done == [1]


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("by_items", [False, True])
def test_each_rating_can_have_a_weight_of_its_own(biased: bool, by_items: bool) -> None:
    """A rating that weighs 2 counts twice, beside the weights of the items, in rows short and long and cut in parts."""
    ratings = some_of(full_matrix(40, 30, 3, 0.2), 0.4)[0]

    def own(ratings: Float32s) -> Float32s:
        return 1 + np.floor(np.abs(ratings) * 997 % 3)

    repeated = ratings.take(np.repeat(np.arange(len(ratings)), own(ratings.ratings).astype(int)))
    items = torch.randn(30, 20, generator=torch.Generator().manual_seed(0))
    of_items = torch.rand(30, generator=torch.Generator().manual_seed(1)) + 0.5 if by_items else None
    prior = Prior(torch.eye(20), torch.zeros(20), covariance=torch.eye(20))
    weighted = cut_sides(ratings, 20, less(3.0), CPU, own).users
    once = solve_all(weighted, items, prior, biased=biased, weights=of_items)[0]
    twice = solve_all(cut_by_user(repeated, 3.0, 20), items, prior, biased=biased, weights=of_items)[0]
    torch.testing.assert_close(once.rows, twice.rows, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(once.weighted_errors, twice.weighted_errors, rtol=1e-3, atol=1e-3)


def test_a_diagonal_of_each_rows_own_is_that_precision() -> None:
    """Against a prior for each row alone. (Rows are short: others take steps.)"""
    ratings = some_of(full_matrix(30, 40, 3, 0.2), 0.1)[0]
    assert 1 < ratings.user_counts().max() <= longest_short(20)
    items = torch.randn(40, 20, generator=torch.Generator().manual_seed(0))
    diagonals = torch.rand(30, 20, generator=torch.Generator().manual_seed(1)) + 0.5
    found = solve(cut_by_user(ratings, 3.0, 20), items, DiagonalPrior(diagonals))
    for user in range(30):
        mine = ratings.take(ratings.users == user)
        mine = replace(mine, n_users=1, users=np.zeros_like(mine.users))
        alone = Prior(torch.diag(diagonals[user]), torch.zeros(20), covariance=torch.diag(1 / diagonals[user]))
        expected = solve(cut_by_user(mine, 3.0, 20), items, alone)
        torch.testing.assert_close(found[[user]], expected, rtol=1e-3, atol=1e-3)
