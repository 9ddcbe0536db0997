"""Cutting: the rows of a side with their ratings, sorted by how many they have, in blocks that are solved at once.

A block has about as many slots (rows x its longest row) as the next, so that little is lost to padding and torch solves
for it by one gather, one batched product and one batched Cholesky. A padded slot points at a row of zeros.

Where several processes work together, every block is some process's own. Blocks are the same however many there are: so
is the last bit of what is computed of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from mfcli.arrays import Bools, Float32s, Int32s, Int64s
from mfcli.data.ratings import Ratings, Sides
from mfcli.data.shared import Chosen, SharedRatings
from mfcli.solvers.compute import Compute

Of = Callable[[Float32s], Float32s]
"""A number for every rating, from the rating alone."""

GATHERED = {"cpu": 33 * 2**15, "cuda": 33 * 2**20}  # numbers gathered for a block at the most, d a slot
# Numbers that a slot counts for at the least: larger blocks are full of padding, and those of short rows would no
# longer be gathered at once (:data:`mfcli.solvers.gathering.LONGEST`).
NARROW = 17
CELLS = {"cpu": 2**18, "cuda": 2**25}  # numbers in a block's (d, d) matrices, or in its vectors without those
SHORT = 16  # ratings up to which a row may count as short
SHORT_CELLS = 4  # times d are the cells that a short row counts as: with fewer rows a block is all overhead
LONGER = 1.25  # times the ratings of the shortest of some short rows are those of the longest that shares their block


@dataclass(frozen=True)
class Block:
    """Some rows of one side with all their ratings.

    Attributes:
        number: of all blocks of the side, those of other processes among them.
        rows: (r,) int64.
        others: (r, s) int32 rows of the other side; its number of rows where a slot is padding.
        ratings: (r, s) float32, from which the mean has been taken; 0 where a slot is padding.
        counts: (r,) float32 ratings of each row.
        root_weights: (r, s) float32 √w of each rating; 0 where a slot is padding. None where all weigh 1.
    """

    number: int
    rows: Tensor
    others: Tensor
    ratings: Tensor
    counts: Tensor
    root_weights: Tensor | None = None


@dataclass(frozen=True)
class Plan:
    """How the rows of a side are cut into blocks, and which rank has which: the same in every process.

    Attributes:
        counts: (n_rows,) int32 ratings of each row.
        pieces: int64 rows of every block, shortest rows first.
        sizes: (blocks,) int64 ratings in each.
        numbers: for every rank the int64 numbers of its blocks.
    """

    counts: Int32s
    pieces: list[Int64s]
    sizes: Int64s
    numbers: list[Int64s]

    @classmethod
    def of(cls, counts: Int32s, dimensions: int, compute: Compute, *, by_steps: bool = False) -> "Plan":
        """The plan of a side whose rows have these (n_rows,) counts.

        Args:
            counts: of all rows.
            dimensions, compute, by_steps: as for :func:`cut_sides`.
        """
        order = np.argsort(counts, kind="stable")
        kind = compute.device.type
        most_slots, cells = GATHERED[kind] // max(dimensions, NARROW), CELLS[kind]
        pieces, begin = [], 0
        while begin < len(counts):
            most_rows, longest = _limits(int(counts[order[begin]]), dimensions, cells, by_steps)
            end = _end(counts, order, begin, most_rows, most_slots, longest)
            pieces.append(order[begin:end])
            begin = end
        slots = np.array([len(rows) * int(counts[rows[-1]]) for rows in pieces], np.int64)
        # Products take d² a slot, and solving for a row takes d³, of which a Cholesky factor does not use all.
        costs = slots + dimensions * np.array([len(rows) for rows in pieces], np.int64)
        sizes = np.array([counts[rows].sum() for rows in pieces], np.int64)
        return cls(counts, pieces, sizes, compute.deal(costs))

    def rows(self, rank: int) -> Int64s:
        """(m,) int64 rows of one rank."""
        return np.concatenate([np.zeros(0, np.int64), *(self.pieces[number] for number in self.numbers[rank])])

    def mask(self, rank: int) -> Bools:
        """(n_rows,) whether a row is that rank's."""
        mask = np.zeros(len(self.counts), bool)
        mask[self.rows(rank)] = True
        return mask


@dataclass(frozen=True)
class Blocks:
    """The rows of one side, cut into blocks. Rows without ratings are in blocks without slots.

    Attributes:
        plan: of all rows.
        blocks: those of this process, shortest rows first.
        compute: where they are.
        owned: for every rank (n_r,) int64 its rows.
        numbers: for every rank (b_r,) int64 numbers of its blocks.
    """

    plan: Plan
    blocks: list[Block]
    compute: Compute
    owned: list[Tensor]
    numbers: list[Tensor]

    @property
    def counts(self) -> Int32s:
        """(n_rows,) ratings of each row."""
        return self.plan.counts

    @property
    def sizes(self) -> Int64s:
        """(blocks,) int64 ratings in each block of all processes."""
        return self.plan.sizes

    def complete(self, *values: Tensor) -> None:
        """Fill in what other ranks have computed for their rows, of some (n_rows, ...) values."""
        for one in values:
            self.compute.complete(one, self.owned)


def own_rows(counts: Sides[Int32s], dimensions: int, compute: Compute, *, by_steps: bool = False) -> Chosen:
    """Which ratings a process wants that is to cut them: those of its own users and of its own items.

    Args:
        counts: ratings of every user and item.
        dimensions, compute, by_steps: as for :func:`cut_sides`.
    """
    users, items = (Plan.of(side, dimensions, compute, by_steps=by_steps).mask(compute.rank) for side in counts)
    return lambda ratings, _: Sides(users[ratings.users], items[ratings.items])


def less(mean: float) -> Of:
    """The targets of ratings: what is above their mean."""
    return lambda ratings: ratings - np.float32(mean)


def cut_sides(
    train: Ratings | SharedRatings,
    dimensions: int,
    targets: Of,
    compute: Compute,
    weights: Of | None = None,
    *,
    by_steps: bool = False,
) -> Sides[Blocks]:
    """The training part cut by user and by item: of all rows the plan, of this process's own the blocks.

    Args:
        train: the training part.
        dimensions: d, length of a row's solution.
        targets: (n,) of (n,) ratings.
        compute: where the blocks are to lie.
        weights: likewise (n,) weights; None where all weigh 1.
        by_steps: whether long rows take steps (:mod:`mfcli.solvers.steps`), without (d, d) matrices.
    """
    plans = Sides(
        *(
            Plan.of(counts, dimensions, compute, by_steps=by_steps)
            for counts in (train.user_counts(), train.item_counts())
        )
    )
    users, items = train.mine
    return Sides(
        cut(plans.users, users.users, users.items, users.ratings, train.n_items, targets, compute, weights),
        cut(plans.items, items.items, items.users, items.ratings, train.n_users, targets, compute, weights),
    )


def cut(
    plan: Plan,
    rows: Int32s,
    others: Int32s,
    ratings: Float32s,
    n_others: int,
    targets: Of,
    compute: Compute,
    weights: Of | None = None,
) -> Blocks:
    """Cut n ratings, all of this process's own rows, by row.

    Args:
        plan: of the side.
        rows, others: (n,) rows of this and of the other side.
        ratings: (n,).
        n_others: how many rows the other side has.
        targets, compute, weights: as for :func:`cut_sides`.
    """
    by_row = _by_row(rows, len(plan.counts))
    others, ratings = others[by_row], ratings[by_row]
    del by_row
    own = np.where(plan.mask(compute.rank), plan.counts, 0)
    starts = np.cumsum(own, dtype=np.int64) - own
    blocks = []
    for number in plan.numbers[compute.rank].tolist():
        chosen = plan.pieces[number]
        slots = np.arange(plan.counts[chosen[-1]])
        real = slots < plan.counts[chosen, None]
        at = (starts[chosen, None] + slots)[real]
        arrays = [chosen, _padded(real, others[at], n_others), _padded(real, targets(ratings[at]))]
        arrays.append(plan.counts[chosen].astype(np.float32))
        if weights is not None:
            arrays.append(_padded(real, np.sqrt(weights(ratings[at]))))
        blocks.append(Block(number, *(compute.place(array) for array in arrays)))
    ranks = range(compute.world)
    owned, numbers = ([compute.place(of(rank)) for rank in ranks] for of in (plan.rows, plan.numbers.__getitem__))
    return Blocks(plan, blocks, compute, owned, numbers)


def _by_row(rows: Int32s, n_rows: int) -> Int64s:
    """The order of n ratings by their (n,) rows; ratings of a row stay in order."""
    found: Int64s = np.argsort(rows.astype(np.min_scalar_type(n_rows)), kind="stable")  # 16 bits are sorted in no time
    return found


def spread(values: npt.NDArray[Any], rows: Int32s, blocks: Blocks, padding: int) -> list[npt.NDArray[Any]]:
    """Values of n ratings in the slots of the blocks that these were cut into: for each block (r, s).

    Args:
        values: (n,).
        rows: (n,) rows of the blocks' side.
        blocks: those of a process.
        padding: what stands in a slot without a rating.
    """
    own = np.bincount(rows, minlength=len(blocks.counts))
    by_row, starts = values[_by_row(rows, len(own))], np.cumsum(own) - own
    found = []
    for block in blocks.blocks:
        chosen = block.rows.cpu().numpy()
        slots = np.arange(block.others.shape[1])
        real = slots < blocks.counts[chosen, None]
        found.append(_padded(real, by_row[(starts[chosen, None] + slots)[real]], padding))
    return found


def _padded(real: Bools, values: npt.NDArray[Any], padding: int = 0) -> npt.NDArray[Any]:
    """The values in the slots that are real."""
    padded = np.full(real.shape, padding, values.dtype)
    padded[real] = values
    return padded


def longest_short(dimensions: int) -> int:
    """Ratings up to which a row is short: solving in as many dimensions as it has ratings is cheaper than in d."""
    return min(SHORT, dimensions // 2)


def _limits(fewest: int, dimensions: int, cells: int, by_steps: bool) -> tuple[int, int | None]:
    """How many rows a block has at most, and how many ratings its longest, if its shortest has so many.

    Short rows stay among themselves, those without ratings too: they have no (d, d) matrices, but padding costs them
    more than a block more.
    """
    short = longest_short(dimensions)
    if fewest <= short:
        return max(1, cells // (dimensions * SHORT_CELLS)), min(int(fewest * LONGER), short)
    return max(1, cells // (dimensions if by_steps else dimensions**2)), None


def _end(
    counts: npt.NDArray[Any], order: npt.NDArray[Any], begin: int, most_rows: int, most_slots: int, longest: int | None
) -> int:
    """Where in ``order`` the block that begins there ends. A single row may have more slots than a block has."""
    lengths = counts[order[begin : begin + most_rows]]
    if longest is not None:
        lengths = lengths[: np.searchsorted(lengths, longest, side="right")]
    slots = lengths * np.arange(1, len(lengths) + 1)
    return begin + max(1, int(np.searchsorted(slots, most_slots, side="right")))
