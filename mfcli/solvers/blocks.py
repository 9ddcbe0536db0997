"""The kernel of the solvers that solve for whole rows: normal equations, solutions and residuals, block by block.

For a row (a user, say) with observed columns S, design x = [q, 1] and target y = r - μ - b of the other side:

    A = α Σ x xᵀ + Λ,    h = α Σ y x + Λ m;    the row is A⁻¹h, or a sample of N(A⁻¹h, A⁻¹)

Rows are sorted by how many ratings they have and cut into blocks of about as many slots (rows x longest row), so that
little is lost to padding and every block is one gather, one batched product and one batched Cholesky. A padded slot
points at a row of zeros. On a CPU each thread works on a block of its own: LAPACK is many times faster on one small
matrix at a time than when it spreads each over all cores.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mfcli.errors import DivergedError
from mfcli.ratings import Float32s, Ratings
from mfcli.solvers.base import Tick, torch_threads

SLOTS = {"cpu": 2**15, "cuda": 2**20}  # padded ratings in a block
CELLS = {"cpu": 2**18, "cuda": 2**25}  # numbers in a block's matrices A
LONGEST = 2**17  # slots of one row gathered at a time: 16 MB at 32 factors


Map = Callable[[Callable[["Block"], Tensor], Iterable["Block"]], Iterator[Tensor]]


@contextlib.contextmanager
def one_core_each(device: torch.device) -> Iterator[Map]:
    """A ``map`` that works in as many threads as torch has, each of which computes with one core; results in order.

    Within the block everything else computes with one core too. On a GPU it is Python's own ``map``.
    """
    threads = torch.get_num_threads()
    if device.type != "cpu" or threads == 1:
        yield map
        return
    with torch_threads(1), ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        try:
            yield pool.map
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


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
        alpha: α.
        by_root_count: Λ is multiplied by the square root of the row's number of ratings (of 1, if it has none).
    """

    precision: Tensor
    mean: Tensor
    alpha: float = 1.0
    by_root_count: bool = False

    def of(self, block: Block) -> tuple[Tensor, Tensor]:
        """Λ as (r or 1, d, d) and Λm as (r or 1, d) for a block's rows."""
        mean = self.mean.index_select(0, block.rows) if self.mean.ndim == 2 else self.mean[None]
        precision, pull = self.precision[None], mean @ self.precision
        if self.by_root_count:
            roots = block.counts.clamp(min=1).sqrt()[:, None]
            precision, pull = precision * roots[:, :, None], pull * roots
        return precision, pull


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
    filled = lengths * np.arange(1, len(lengths) + 1)
    return begin + max(1, int(np.searchsorted(filled, slots, side="right")))


def normal_equations(block: Block, factors: Tensor, biases: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Σ x xᵀ, Σ y x and Σ y² of every row of a block.

    Args:
        block: r rows.
        factors: (others + 1, k) of the other side, zeros in the last row.
        biases: (others + 1,) likewise; None for a model without, where x is q alone.

    Returns:
        (r, d, d), (r, d) and (r,), where d is k, or k + 1 with biases.
    """
    r, k = len(block.rows), factors.shape[1]
    d = k if biases is None else k + 1
    gram, moment = factors.new_zeros(r, d, d), factors.new_zeros(r, d)
    squares = factors.new_zeros(r)
    step = max(LONGEST // r, 1)
    for others, ratings in zip(*(torch.split(slots, step, 1) for slots in (block.others, block.ratings)), strict=True):
        flat = others.reshape(-1)
        q = factors.index_select(0, flat).view(r, -1, k)
        y = ratings if biases is None else ratings - biases.index_select(0, flat).view_as(ratings)
        gram[:, :k, :k] += torch.bmm(q.mT, q)
        if biases is None:
            moment += torch.bmm(y[:, None], q)[:, 0]
        else:
            # The bias's row of x xᵀ: products with 1 are sums. Apart, so that the large product stays k wide.
            sums = torch.bmm(torch.stack([y, torch.ones_like(y)], 1), q)
            moment[:, :k] += sums[:, 0]
            moment[:, k] += y.sum(1)
            gram[:, k, :k] += sums[:, 1]
        squares += y.square().sum(1)
    if biases is not None:
        gram[:, :k, k] = gram[:, k, :k]
        gram[:, k, k] = block.counts
    return gram, moment, squares


def cholesky(matrices: Tensor) -> Tensor:
    """Lower Cholesky factors of (r, d, d) matrices; those that rounding has made indefinite are lifted a little.

    Raises:
        DivergedError: a matrix is no longer finite, or not positive definite by far.
    """
    lower: Tensor
    lower, failed = torch.linalg.cholesky_ex(matrices)
    if not bool(failed.any()):
        return lower
    exact = matrices.double()
    eye = torch.eye(exact.shape[-1], dtype=exact.dtype, device=exact.device)
    lift = exact.diagonal(dim1=1, dim2=2).mean(1)[:, None, None].clamp(min=1e-2) * 1e-4
    lower, failed = torch.linalg.cholesky_ex(exact + lift * eye)
    if bool(failed.any()) or not bool(lower.isfinite().all()):
        raise DivergedError("a row's equations have no solution in finite numbers: raise --l2, or use fewer --factors")
    return lower.to(matrices.dtype)


def solve_block(
    block: Block, factors: Tensor, biases: Tensor | None, prior: Prior, noise: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The block's rows, solved for or sampled, and the sum of their squared residuals.

    Args:
        block: r rows.
        factors, biases: of the other side, as for :func:`normal_equations`.
        prior: of these rows.
        noise: (rows of this side, d) standard normal numbers, to sample; None to solve.

    Returns:
        (r, d) solutions and a scalar.
    """
    gram, moment, squares = normal_equations(block, factors, biases)
    precision, pull = prior.of(block)
    lower = cholesky(prior.alpha * gram + precision)
    rotated = torch.linalg.solve_triangular(lower, (prior.alpha * moment + pull)[:, :, None], upper=False)
    if noise is not None:
        rotated = rotated + noise.index_select(0, block.rows)[:, :, None]
    solution = torch.linalg.solve_triangular(lower.mT, rotated, upper=True)
    # Σ(y - zᵀx)² = Σy² - 2zᵀh + zᵀAz, with the likelihood's part of h and A.
    residual = torch.bmm(gram, solution)[:, :, 0] - 2 * moment
    return solution[:, :, 0], (squares + (solution[:, :, 0] * residual).sum(1)).sum()


def solve_side(
    side: Side,
    others: Tensor,
    prior: Prior,
    *,
    biased: bool,
    noise: Tensor | None,
    workers: Map,
    solved: Callable[[Tensor], None],
) -> Tensor:
    """All rows of a side given the other side's: half a round. A function of its arguments alone.

    Args:
        side: the rows' ratings.
        others: (n_others, d) solutions of the other side, the bias last.
        prior: of these rows.
        biased: whether the last column of solutions is a bias.
        noise: (n_rows, d) standard normal numbers, to sample; None to solve.
        workers: a ``map`` over blocks, as :func:`one_core_each` gives it.
        solved: called after each block, in order, with its sum of squared residuals, a scalar on the device. May
            raise, to stop.

    Returns:
        (n_rows, d) solutions.
    """
    padded = torch.cat([others, others.new_zeros(1, others.shape[1])])
    factors, biases = (padded[:, :-1].contiguous(), padded[:, -1].contiguous()) if biased else (padded, None)
    out = others.new_empty(side.n_rows, others.shape[1])

    def work(block: Block) -> Tensor:
        solution, squared_error = solve_block(block, factors, biases, prior, noise)
        out.index_copy_(0, block.rows, solution)
        return squared_error

    for squared_error in workers(work, side.blocks):
        solved(squared_error)
    return out
