"""Gathering, and what torch makes of it in one part or several: as on a GPU, and where no kernels were compiled."""

import numpy as np
import pytest
import torch

from mfcli.errors import DivergedError
from mfcli.solvers import gathering
from mfcli.solvers.blocks import CELLS, GATHERED, cut_sides, less
from mfcli.solvers.cholesky import cholesky
from mfcli.solvers.compiled import kernels
from mfcli.solvers.gathering import Others
from mfcli.solvers.priors import Prior
from mfcli.solvers.rows import normal_equations
from tests.planted import CPU, full_matrix, ratings_of, some_of
from tests.test_rows import cut_by_user, solve, solve_all


@pytest.fixture(autouse=True)
def by_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "serve", lambda device: False)


@pytest.mark.parametrize("weighted", [False, True])
def test_normal_equations_are_sums_over_a_rows_ratings(weighted: bool) -> None:
    ratings = some_of(full_matrix(6, 5, 2, 0.1), 0.6)[0]
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(5, 4)).astype(np.float32)
    weights = rng.gamma(2, 0.5, 5).astype(np.float32)
    others = Others.given(torch.from_numpy(rows), True, torch.from_numpy(weights) if weighted else None)
    for block in cut_by_user(ratings, mean=3.0, dimensions=4).blocks:
        gram, moment, squares, weight = normal_equations(others, others.gather(block))
        for at, row in enumerate(block.rows.tolist()):
            mine = ratings.take(ratings.users == row)
            x = np.column_stack([rows[mine.items, :3], np.ones(len(mine))])
            y = mine.ratings - 3.0 - rows[mine.items, 3]
            w = weights[mine.items] if weighted else np.ones(len(mine))
            np.testing.assert_allclose(gram[at], (x.T * w) @ x, rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(moment[at], (x.T * w) @ y, rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(squares[at], (w * y**2).sum(), rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(weight[at], w.sum(), rtol=1e-4, atol=1e-5)


def test_a_row_longer_than_is_gathered_at_a_time_comes_out_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = cut_by_user(full_matrix(2, 50, 2, 0.1), mean=3.0)
    rows = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    weights = torch.rand(50, generator=torch.Generator().manual_seed(1)) + 0.5
    prior = Prior(torch.eye(3), torch.zeros(3))
    found = []
    for longest in (2**17, 14):
        monkeypatch.setitem(gathering.LONGEST, "cpu", longest)
        solutions, squared_errors = solve_all(blocks, rows, prior, biased=True, weights=weights)
        found.append((solutions.rows, solutions.weighted_errors, squared_errors))
    for once, in_parts in zip(*found, strict=True):
        torch.testing.assert_close(once, in_parts, rtol=1e-4, atol=1e-4)


def test_a_matrix_that_rounding_spoiled_is_lifted_and_a_hopeless_one_is_an_error() -> None:
    x = torch.tensor([[1.0, 1.0, 1.0]])
    lower = cholesky(torch.stack([x.T @ x, torch.eye(3)]))
    torch.testing.assert_close(lower[0] @ lower[0].T, x.T @ x, atol=1e-3, rtol=0)
    for hopeless in (-torch.eye(3), torch.full((3, 3), torch.nan)):
        with pytest.raises(DivergedError, match="finite"):
            cholesky(hopeless[None])


def test_short_rows_come_in_one_part_however_many_share_a_block_of_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA's tables over 1024, and so many rows of eight ratings that a block of them is full."""
    ratings = ratings_of([(u, (u + 2 * i) % 16, float(u % 5 + i % 3)) for u in range(600) for i in range(8)], 600, 16)
    items = torch.randn(16, 16, generator=torch.Generator().manual_seed(0))
    prior = Prior(torch.eye(16), torch.zeros(16), covariance=torch.eye(16))
    expected = solve(cut_by_user(ratings, dimensions=16), items, prior)
    for table in (GATHERED, CELLS, gathering.LONGEST):
        monkeypatch.setitem(table, "cpu", table["cuda"] // 1024)
    torch.testing.assert_close(solve(cut_by_user(ratings, dimensions=16), items, prior), expected)


def test_weights_of_ratings_are_none_of_the_residuals_that_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    ratings = some_of(full_matrix(12, 20, 3, 0.2), 0.6)[0]
    items = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    found = []
    for longest in (2**17, 40):
        monkeypatch.setitem(gathering.LONGEST, "cpu", longest)
        blocks = cut_sides(ratings, 4, less(3.0), CPU, lambda ratings: np.abs(ratings) % 3 + 0.5).users
        solutions, squared_errors = solve_all(blocks, items, Prior(torch.eye(4), torch.zeros(4)))
        predicted = (solutions.rows[ratings.users] * items[ratings.items]).sum(1)
        errors = (torch.from_numpy(ratings.ratings) - 3.0 - predicted).square()
        assert float(squared_errors.sum()) == pytest.approx(float(errors.sum()), rel=1e-4)
        found.append(solutions.rows)
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-4)
