"""The kernel of the solvers that solve for whole rows: normal equations, solutions and residuals, block by block.

For a row (a user, say) with observed columns S, design x = [q, 1] and target y = r - μ - b of the other side:

    A = α Σ x xᵀ + Λ,    h = α Σ y x + Λ m;    the row is A⁻¹h, or a sample of N(A⁻¹h, A⁻¹)

where each rating may weigh w instead of 1, w being a number of its row of the other side.

Rows are sorted by how many ratings they have and cut into blocks of about as many slots (rows x longest row), so that
little is lost to padding and every block is one gather, one batched product and one batched Cholesky. A padded slot
points at a row of zeros. Rows of few ratings, the long tail of most data, are solved for in as many dimensions as they
have ratings (:func:`solve_short`). On a CPU each thread works on a block of its own: LAPACK is many times faster on one
small matrix at a time than when it spreads each over all cores.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mfcli.data.ratings import Float32s, Ratings
from mfcli.errors import DivergedError
from mfcli.solvers.base import Tick
from mfcli.solvers.compute import Map

SLOTS = {"cpu": 2**15, "cuda": 2**20}  # padded ratings in a block
CELLS = {"cpu": 2**18, "cuda": 2**25}  # numbers in a block's matrices A
INITIAL = 0.1  # standard deviation of the first factors; rounds soon forget it
SHORT = 8  # ratings up to which a row counts as short
LONGEST = {"cpu": 2**17, "cuda": 2**21}  # slots gathered at a time: 16 MB of 32 factors, and 256 MB


@dataclass(frozen=True)
class Block:
    """Some rows of one side with all their ratings.

    Attributes:
        rows: (r,) int64.
        others: (r, s) int32 rows of the other side; its number of rows where a slot is padding.
        ratings: (r, s) float32, from which the mean has been taken; 0 where a slot is padding.
        counts: (r,) float32 ratings of each row.
    """

    rows: Tensor
    others: Tensor
    ratings: Tensor
    counts: Tensor


@dataclass(frozen=True)
class Prior:
    """What is believed of a row before its ratings are seen: N(m, Λ⁻¹), and the noise precision α.

    Attributes:
        precision: Λ, (d, d).
        mean: m, (d,), or (rows, d) where each row has its own.
        alpha: α, a number, or (rows,) where each row has its own.
        covariance: Λ⁻¹, (d, d), for the short rows; None where Λ has none.
        by_root_count: Λ is multiplied by the square root of the row's number of ratings (of 1, if it has none).
    """

    precision: Tensor
    mean: Tensor
    alpha: float | Tensor = 1.0
    by_root_count: bool = False
    covariance: Tensor | None = None

    def of(self, block: Block) -> tuple[Tensor, Tensor, Tensor | float]:
        """For a block's rows Λ as (r or 1, d, d), Λm as (r or 1, d), and α as a number or (r, 1)."""
        mean = self.mean.index_select(0, block.rows) if self.mean.ndim == 2 else self.mean[None]
        precision, pull = self.precision[None], mean @ self.precision
        if self.by_root_count:
            roots = block.counts.clamp(min=1).sqrt()[:, None]
            precision, pull = precision * roots[:, :, None], pull * roots
        alpha = self.alpha
        return precision, pull, alpha.index_select(0, block.rows)[:, None] if isinstance(alpha, Tensor) else alpha


@dataclass(frozen=True)
class Others:
    """The other side as blocks gather from it: zeros in a last row, where padding points.

    Attributes:
        factors: (others + 1, k), multiplied by the weights if there are any.
        biases: (others + 1,), or None for a model without, where x is q alone.
        weights: (others + 1,) square roots of the weights of each row's ratings, or None where all are 1.
    """

    factors: Tensor
    biases: Tensor | None
    weights: Tensor | None

    @classmethod
    def of(cls, rows: Tensor, biased: bool, weights: Tensor | None) -> "Others":
        """From (others, d) solutions, the bias last, and (others,) weights of their ratings."""
        padded = torch.cat([rows, rows.new_zeros(1, rows.shape[1])])
        factors, biases = (padded[:, :-1], padded[:, -1].contiguous()) if biased else (padded, None)
        roots = None
        if weights is not None:
            roots = torch.cat([weights.sqrt(), weights.new_zeros(1)])
            factors = factors * roots[:, None]
        return cls(factors.contiguous(), biases, roots)

    def gather(self, block: Block) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """q (r, s, k), y (r, s) and the roots of the weights (r, s), all times those roots, some slots at a time.

        All three are 0 where a slot is padding.
        """
        step = max(LONGEST[block.others.device.type] // len(block.rows), 1)
        for others, ratings in zip(*(torch.split(x, step, 1) for x in (block.others, block.ratings)), strict=True):
            flat = others.reshape(-1)
            q = self.factors.index_select(0, flat).view(*others.shape, self.factors.shape[1])
            y = ratings if self.biases is None else ratings - self.biases.index_select(0, flat).view_as(ratings)
            if self.weights is None:
                yield q, y, (others < len(self.factors) - 1).to(y)  # 0 where a slot is padding
            else:
                roots = self.weights.index_select(0, flat).view_as(y)
                yield q, y * roots, roots


class Side:
    """All rows of one side, cut into blocks. Rows without ratings are in blocks without slots.

    Attributes:
        n_rows: how many rows.
        blocks: all of them, shortest rows first.
        sizes: (blocks,) ratings in each.
    """

    def __init__(self, n_rows: int, blocks: list[Block], sizes: list[int]) -> None:
        self.n_rows, self.blocks, self.sizes = n_rows, blocks, np.array(sizes)

    @classmethod
    def cut(
        cls,
        rows: npt.NDArray[np.int32],
        others: npt.NDArray[np.int32],
        ratings: npt.NDArray[np.float32],
        n_rows: int,
        n_others: int,
        dimensions: int,
        device: torch.device,
    ) -> "Side":
        """Cut n ratings by row.

        Args:
            rows, others: (n,) rows of this and of the other side.
            ratings: (n,) targets.
            n_rows, n_others: how many rows the sides have.
            dimensions: d, length of a row's solution.
            device: where the blocks are to lie.
        """
        counts = np.bincount(rows, minlength=n_rows)
        by_row = np.argsort(rows, kind="stable")
        others, ratings = others[by_row], ratings[by_row]
        del by_row
        starts = np.cumsum(counts) - counts
        order = np.argsort(counts, kind="stable")
        most = max(1, CELLS[device.type] // dimensions**2)
        blocks, sizes, begin = [], [], 0
        while begin < n_rows:
            end = _end(counts, order, begin, most, SLOTS[device.type])
            chosen = order[begin:end]
            slots = np.arange(counts[chosen[-1]])
            real = slots < counts[chosen, None]
            at = (starts[chosen, None] + slots)[real]
            padded_others = np.full(real.shape, n_others, np.int32)
            padded_ratings = np.zeros(real.shape, np.float32)
            padded_others[real], padded_ratings[real] = others[at], ratings[at]
            arrays = chosen, padded_others, padded_ratings, counts[chosen].astype(np.float32)
            blocks.append(Block(*(torch.from_numpy(a).to(device) for a in arrays)))
            sizes.append(len(at))
            begin = end
        return cls(n_rows, blocks, sizes)


def scaled_l2(factors: int, l2: float, bias_l2: float | None, device: torch.device) -> Prior:
    """L2 by the square root of a row's ratings as a prior of its factors, and of its bias if there is one."""
    penalties = torch.tensor([l2] * factors + ([] if bias_l2 is None else [bias_l2]), device=device)
    covariance = torch.diag(1 / penalties) if bool((penalties > 0).all()) else None
    return Prior(torch.diag(penalties), torch.zeros_like(penalties), by_root_count=True, covariance=covariance)


def initial_rows(n: int, factors: int, biased: bool, seed: int, device: torch.device) -> Tensor:
    """(n, d) rows to begin with: small random factors, and biases of 0."""
    drawn = INITIAL * torch.randn(n, factors, generator=torch.Generator().manual_seed(seed))
    return torch.cat([drawn, drawn.new_zeros(n, int(biased))], 1).to(device)


def cut_sides(train: Ratings, dimensions: int, mean: float, device: torch.device) -> tuple[Side, Side]:
    """The ratings, less their mean, cut by user and by item."""
    targets = train.ratings - np.float32(mean)
    sizes = train.n_users, train.n_items
    users = Side.cut(train.users, train.items, targets, *sizes, dimensions, device)
    items = Side.cut(train.items, train.users, targets, *sizes[::-1], dimensions, device)
    return users, items


class Tally:
    """What the blocks of one round leave of the ratings: squared residuals, first the users' blocks', then the items'.

    They stay on the device, where nothing has to wait for them, until somebody reads them.
    """

    def __init__(self, users: Side, items: Side, tick: Tick, device: torch.device) -> None:
        self.sizes = np.concatenate([users.sizes, items.sizes])
        self.half = len(users.blocks)
        self.tick, self.done = tick, 0
        self.squared_errors = torch.zeros(len(self.sizes), device=device)

    def solved(self, squared_error: Tensor) -> None:
        """The next block is done."""
        self.squared_errors[self.done] = squared_error
        self.done += 1
        self.tick(self.done, len(self.sizes), self._progress)

    def _progress(self) -> tuple[float, float]:
        """RMSE of the last block, and of this half so far."""
        sums = self.squared_errors[: self.done].double().cpu().numpy().clip(0)
        begin = self.half if self.done > self.half else 0
        last, half = max(self.sizes[self.done - 1], 1), max(self.sizes[begin : self.done].sum(), 1)
        return float(np.sqrt(sums[-1] / last)), float(np.sqrt(sums[begin:].sum() / half))

    def sums(self) -> tuple[float, float]:
        """Sum of squared residuals after the users' and after the items' half."""
        sums = self.squared_errors.double().cpu().numpy()
        return float(sums[: self.half].sum()), float(sums[self.half :].sum())

    def rmse(self) -> Float32s:
        """(blocks,) float32 RMSE of every block that has ratings."""
        sums: Float32s = self.squared_errors.cpu().numpy().clip(0)
        rated = self.sizes > 0
        means: Float32s = np.sqrt(sums[rated] / self.sizes[rated]).astype(np.float32)
        return means


def _end(counts: npt.NDArray[Any], order: npt.NDArray[Any], begin: int, most: int, slots: int) -> int:
    """Where the block that begins there ends: at most so many rows, and so many slots unless it is one row."""
    lengths = counts[order[begin : begin + most]]
    if lengths[0] == 0:
        return begin + int(np.searchsorted(lengths, 1))
    if lengths[0] <= SHORT:  # short rows stay among themselves
        lengths = lengths[: np.searchsorted(lengths, SHORT, side="right")]
    filled = lengths * np.arange(1, len(lengths) + 1)
    return begin + max(1, int(np.searchsorted(filled, slots, side="right")))


Gathered = Iterable[tuple[Tensor, Tensor, Tensor]]


def normal_equations(block: Block, others: Others, gathered: Gathered) -> tuple[Tensor, Tensor, Tensor]:
    """Σ w x xᵀ, Σ w y x and Σ w y² of every row of a block, w being the weights.

    Args:
        block: r rows.
        others: the other side.
        gathered: what the other side has gathered for the block.

    Returns:
        (r, d, d), (r, d) and (r,), where d is k, or k + 1 with biases.
    """
    r, k = len(block.rows), others.factors.shape[1]
    d = k if others.biases is None else k + 1
    gram, moment = others.factors.new_zeros(r, d, d), others.factors.new_zeros(r, d)
    squares, weights = others.factors.new_zeros(r), others.factors.new_zeros(r)
    for q, y, roots in gathered:
        gram[:, :k, :k] += torch.bmm(q.mT, q)
        if others.biases is None:
            moment += torch.bmm(y[:, None], q)[:, 0]
        else:
            # The bias's row of x xᵀ, whose x is 1. Apart, so that the large product stays k wide.
            sums = torch.bmm(torch.stack([y, roots], 1), q)
            moment[:, :k] += sums[:, 0]
            moment[:, k] += (y * roots).sum(1)
            gram[:, k, :k] += sums[:, 1]
        squares += y.square().sum(1)
        if others.weights is not None:
            weights += roots.square().sum(1)
    if others.biases is not None:
        gram[:, :k, k] = gram[:, k, :k]
        gram[:, k, k] = block.counts if others.weights is None else weights
    return gram, moment, squares


def cholesky(matrices: Tensor) -> Tensor:
    """Lower Cholesky factors of (r, d, d) matrices; those that rounding has made indefinite are lifted a little.

    Raises:
        DivergedError: a matrix is no longer finite, or not positive definite by far.
    """
    lower: Tensor
    lower, failed = torch.linalg.cholesky_ex(matrices)
    if bool(failed.any()):
        spoiled = torch.nonzero(failed)[:, 0]
        lower[spoiled] = _lifted_cholesky(matrices[spoiled].double()).to(lower)
    return lower


def _lifted_cholesky(matrices: Tensor) -> Tensor:
    lift = matrices.diagonal(dim1=1, dim2=2).mean(1).clamp(min=1e-2) * 1e-4
    eye = torch.eye(matrices.shape[-1], dtype=matrices.dtype, device=matrices.device)
    lower: Tensor
    lower, failed = torch.linalg.cholesky_ex(matrices + lift[:, None, None] * eye)
    if bool(failed.any()) or not bool(lower.isfinite().all()):
        raise DivergedError("a row's equations have no solution in finite numbers")
    return lower


@dataclass(frozen=True)
class Solved:
    """Rows of one side, all or those of a block.

    Attributes:
        rows: (n, d) solutions, or samples.
        means: (n, d) solutions: what the samples are drawn about.
        weighted_errors: (n,) sums over each row's ratings of w(y - x·z)² with z the first of the two.
    """

    rows: Tensor
    means: Tensor
    weighted_errors: Tensor


def solve_short(block: Block, others: Others, prior: Prior, noise: Tensor | None) -> tuple[Solved, Tensor]:
    """What :func:`solve_block` does, for a block of rows with few ratings, at the cost of s³ a row in place of d³.

    With C = Λ⁻¹ and X the s ratings' x, the solution is m + CXᵀ(XCXᵀ + 1/α)⁻¹(y - Xm). For a sample m is first drawn
    from the prior and y from its noise (Bhattacharya, Chakraborty and Mallick, Biometrika 2016): of ``noise`` the
    numbers behind the first d are for that.
    """
    assert prior.covariance is not None
    ((q, y, roots),) = others.gather(block)
    x = q if others.biases is None else torch.cat([q, roots[:, :, None]], 2)
    _, _, alpha = prior.of(block)
    mean = (prior.mean.index_select(0, block.rows) if prior.mean.ndim == 2 else prior.mean[None]).expand(len(y), -1)
    shrink = block.counts.rsqrt() if prior.by_root_count else torch.ones_like(block.counts)  # of C
    xc = (x @ prior.covariance) * shrink[:, None, None]
    inner = torch.bmm(xc, x.mT)
    inner.diagonal(dim1=1, dim2=2).add_(1 / alpha)
    starts, rests = [mean], [y - torch.bmm(mean[:, None], x.mT)[:, 0]]
    if noise is not None:
        drawn, slots = torch.split(noise.index_select(0, block.rows), [x.shape[2], SHORT], 1)
        start = mean + (drawn @ cholesky(prior.covariance[None])[0].T) * shrink.sqrt()[:, None]
        scattered = y + slots[:, : y.shape[1]] / alpha**0.5
        starts, rests = [start, mean], [scattered - torch.bmm(start[:, None], x.mT)[:, 0], *rests]
    steps = torch.cholesky_solve(torch.stack(rests, 2), cholesky(inner))
    z, means = (start + torch.bmm(steps[:, None, :, at], xc)[:, 0] for start, at in ((starts[0], 0), (starts[-1], -1)))
    residuals = y - torch.bmm(z[:, None], x.mT)[:, 0]
    plain = (residuals / roots.clamp(min=1e-12)).square().sum()
    return Solved(z, means, residuals.square().sum(1)), plain


def solve_block(block: Block, others: Others, prior: Prior, noise: Tensor | None) -> tuple[Solved, Tensor]:
    """Solve for, or sample, the rows of a block.

    Args:
        block: r rows.
        others: the other side.
        prior: of these rows.
        noise: (rows of this side, d + SHORT) standard normal numbers, to sample; None to solve.

    Returns:
        The rows, and a scalar, the sum of their squared residuals without weights.
    """
    if prior.covariance is not None and 0 < block.others.shape[1] <= min(SHORT, len(prior.covariance) // 2):
        return solve_short(block, others, prior, noise)
    # Kept, unless the rows are so long that they come in several parts: those are gathered once more.
    several = block.others.numel() > LONGEST[block.others.device.type]
    gathered = [] if several else list(others.gather(block))
    gram, moment, squares = normal_equations(block, others, others.gather(block) if several else gathered)
    precision, pull, alpha = prior.of(block)
    if isinstance(alpha, Tensor):
        matrices = torch.addcmul(precision, gram, alpha[:, :, None])
    else:
        matrices = torch.add(precision, gram, alpha=alpha)
    lower = cholesky(matrices)
    rotated = torch.linalg.solve_triangular(lower, (alpha * moment + pull)[:, :, None], upper=False)
    if noise is not None:
        rotated = torch.cat([rotated + noise.index_select(0, block.rows)[:, : gram.shape[1], None], rotated], 2)
    solutions = torch.linalg.solve_triangular(lower.mT, rotated, upper=True)
    z, means = solutions[:, :, 0], solutions[:, :, -1]
    # Σw(y - zᵀx)² = Σwy² - 2zᵀh + zᵀAz, with the likelihood's part of h and A.
    # (A row times a matrix: the same with a column takes batched products several times as long on a CPU.)
    errors = squares + (z * (torch.bmm(z[:, None], gram)[:, 0] - 2 * moment)).sum(1)
    if others.weights is None:
        return Solved(z, means, errors), errors.sum()
    k, plain = others.factors.shape[1], errors.new_zeros(())
    for q, y, roots in others.gather(block) if several else gathered:
        residuals = y - torch.bmm(z[:, None, :k], q.mT)[:, 0]
        if others.biases is not None:
            residuals -= roots * z[:, k:]
        plain += (residuals / roots.clamp(min=1e-12)).square().sum()
    return Solved(z, means, errors), plain


def solve_side(
    side: Side,
    others: Others,
    prior: Prior,
    *,
    noise: Tensor | None,
    workers: Map,
    solved: Callable[[Tensor], None],
) -> Solved:
    """All rows of a side given the other side's: half a round. A function of its arguments alone.

    Args:
        side: the rows' ratings.
        others: the other side.
        prior: of these rows.
        noise: (n_rows, d + SHORT) standard normal numbers, to sample; None to solve.
        workers: a ``map`` over blocks, as :func:`one_core_each` gives it.
        solved: called after each block, in order, with its sum of squared residuals, a scalar on the device. May
            raise, to stop.
    """
    d = others.factors.shape[1] + (others.biases is not None)
    rows = others.factors.new_empty(side.n_rows, d)
    means = rows if noise is None else torch.empty_like(rows)
    weighted_errors = rows.new_empty(side.n_rows)

    def work(block: Block) -> Tensor:
        found, squared_error = solve_block(block, others, prior, noise)
        rows.index_copy_(0, block.rows, found.rows)
        if noise is not None:
            means.index_copy_(0, block.rows, found.means)
        weighted_errors.index_copy_(0, block.rows, found.weighted_errors)
        return squared_error

    for squared_error in workers(work, side.blocks):
        solved(squared_error)
    return Solved(rows, means, weighted_errors)
