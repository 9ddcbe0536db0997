"""Cutting: the rows of a side with their ratings, sorted by how many they have, in blocks that are solved at once.

A block has about as many slots (rows x its longest row) as the next, so that little is lost to padding and every block
is one gather, one batched product and one batched Cholesky. A padded slot points at a row of zeros.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mfcli.data.ratings import Float32s, Int32s, Int64s, Ratings, Sides

SLOTS = {"cpu": 2**15, "cuda": 2**20}  # in a block
SLOTS_OF_STEPS = {"cpu": 2**14, "cuda": 2**20}  # likewise: what is gathered should stay in a core's cache
CELLS = {"cpu": 2**18, "cuda": 2**25}  # numbers in a block's (d, d) matrices, or in its vectors without those
SHORT = 8  # ratings up to which a row counts as short


@dataclass(frozen=True)
class Block:
    """Some rows of one side with all their ratings.

    Attributes:
        rows: (r,) int64.
        others: (r, s) int32 rows of the other side; its number of rows where a slot is padding.
        ratings: (r, s) float32, from which the mean has been taken; 0 where a slot is padding.
        counts: (r,) float32 ratings of each row.
        root_weights: (r, s) float32 √w of each rating; 0 where a slot is padding. None where all weigh 1.
    """

    rows: Tensor
    others: Tensor
    ratings: Tensor
    counts: Tensor
    root_weights: Tensor | None = None


@dataclass(frozen=True)
class Blocks:
    """All rows of one side, cut into blocks. Rows without ratings are in blocks without slots.

    Attributes:
        counts: (n_rows,) int64 ratings of each row.
        blocks: all of them, shortest rows first.
        sizes: (blocks,) int64 ratings in each.
    """

    counts: Int64s
    blocks: list[Block]
    sizes: Int64s


def cut_sides(
    train: Ratings,
    dimensions: int,
    mean: float,
    device: torch.device,
    weights: Float32s | None = None,
    *,
    by_steps: bool = False,
) -> Sides[Blocks]:
    """The ratings, less their mean, cut by user and by item.

    Args:
        train: the training part.
        dimensions: d, length of a row's solution.
        mean: what to take from the ratings.
        device: where the blocks are to lie.
        weights: (n,) of the ratings; None where all weigh 1.
        by_steps: whether long rows take steps (:mod:`mfcli.solvers.steps`), without (d, d) matrices.
    """
    targets, how = train.ratings - np.float32(mean), (dimensions, device, weights, by_steps)
    return Sides(
        cut(train.users, train.items, targets, train.n_users, train.n_items, *how),
        cut(train.items, train.users, targets, train.n_items, train.n_users, *how),
    )


def cut(
    rows: Int32s,
    others: Int32s,
    ratings: Float32s,
    n_rows: int,
    n_others: int,
    dimensions: int,
    device: torch.device,
    weights: Float32s | None = None,
    by_steps: bool = False,
) -> Blocks:
    """Cut n ratings by row.

    Args:
        rows, others: (n,) rows of this and of the other side.
        ratings: (n,) targets.
        n_rows, n_others: how many rows the sides have.
        dimensions, device, weights, by_steps: as for :func:`cut_sides`.
    """
    counts = np.bincount(rows, minlength=n_rows)
    by_row = np.argsort(rows.astype(np.min_scalar_type(n_rows)), kind="stable")  # up to 16 bits are sorted in no time
    others, ratings = others[by_row], ratings[by_row]
    root_weights = None if weights is None else np.sqrt(weights[by_row])
    del by_row
    starts = np.cumsum(counts) - counts
    order = np.argsort(counts, kind="stable")
    most_rows = max(1, CELLS[device.type] // (dimensions if by_steps else dimensions**2))
    most_slots = (SLOTS_OF_STEPS if by_steps else SLOTS)[device.type]
    blocks, sizes, begin = [], [], 0
    while begin < n_rows:
        end = _end(counts, order, begin, most_rows, most_slots)
        chosen = order[begin:end]
        slots = np.arange(counts[chosen[-1]])
        real = slots < counts[chosen, None]
        at = (starts[chosen, None] + slots)[real]
        arrays = [chosen, _padded(real, others[at], n_others), _padded(real, ratings[at])]
        arrays.append(counts[chosen].astype(np.float32))
        if root_weights is not None:
            arrays.append(_padded(real, root_weights[at]))
        blocks.append(Block(*(torch.from_numpy(array).to(device) for array in arrays)))
        sizes.append(len(at))
        begin = end
    return Blocks(counts, blocks, np.array(sizes, np.int64))


def spread(values: npt.NDArray[Any], rows: Int32s, blocks: Blocks, padding: int) -> list[npt.NDArray[Any]]:
    """Values of n ratings in the slots of the blocks that these were cut into: for each block (r, s).

    Args:
        values: (n,).
        rows: (n,) rows of the blocks' side.
        blocks: all of the side.
        padding: what stands in a slot without a rating.
    """
    by_row, starts = values[np.argsort(rows, kind="stable")], np.cumsum(blocks.counts) - blocks.counts
    found = []
    for block in blocks.blocks:
        chosen = block.rows.cpu().numpy()
        slots = np.arange(block.others.shape[1])
        real = slots < blocks.counts[chosen, None]
        found.append(_padded(real, by_row[(starts[chosen, None] + slots)[real]], padding))
    return found


def _padded(real: npt.NDArray[np.bool_], values: npt.NDArray[Any], padding: int = 0) -> npt.NDArray[Any]:
    """The values in the slots that are real."""
    padded = np.full(real.shape, padding, values.dtype)
    padded[real] = values
    return padded


def _end(counts: npt.NDArray[Any], order: npt.NDArray[Any], begin: int, most_rows: int, most_slots: int) -> int:
    """Where in ``order`` the block that begins there ends. A single row may have more slots than a block has."""
    lengths = counts[order[begin : begin + most_rows]]
    if lengths[0] == 0:
        return begin + int(np.searchsorted(lengths, 1))
    if lengths[0] <= SHORT:  # short rows stay among themselves
        lengths = lengths[: np.searchsorted(lengths, SHORT, side="right")]
    slots = lengths * np.arange(1, len(lengths) + 1)
    return begin + max(1, int(np.searchsorted(slots, most_slots, side="right")))
