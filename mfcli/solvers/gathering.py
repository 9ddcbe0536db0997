"""Gathering: what the rows of the other side are to the slots of a block."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from mfcli.solvers.blocks import Block

LONGEST = {"cpu": 2**17, "cuda": 2**21}  # slots gathered at a time: 16 MB of 32 factors, and 256 MB


@dataclass(frozen=True)
class Slots:
    """What was gathered for some slots of a block, everything times √w; all three are 0 where a slot is padding.

    Attributes:
        q: (r, s, k) factors of the other side.
        y: (r, s) targets.
        root_weights: (r, s) √w: what the bias's 1 has become. 1 everywhere if all weigh 1 and there are no biases.
    """

    q: Tensor
    y: Tensor
    root_weights: Tensor

    def unweighted(self, residuals: Tensor) -> Tensor:
        """(r, s) residuals, which are times √w, without that."""
        return residuals / self.root_weights.clamp(min=1e-12)


@dataclass(frozen=True)
class Others:
    """The rows of the other side as blocks gather from them, with zeros in a last row, where padding points.

    Attributes:
        factors: (others + 1, k), multiplied by √w if there are weights.
        biases: (others + 1,), or None for a model without, where x is q alone.
        root_weights: (others + 1,) √w of each row's ratings, or None where all weigh 1.
    """

    factors: Tensor
    biases: Tensor | None
    root_weights: Tensor | None

    @classmethod
    def given(cls, rows: Tensor, biased: bool, weights: Tensor | None) -> "Others":
        """From (others, d) rows, whose last number is a bias if ``biased``, and (others,) weights of their ratings."""
        n, k = len(rows), rows.shape[1] - biased
        factors = rows.new_zeros(n + 1, k)
        biases = torch.cat([rows[:, k], rows.new_zeros(1)]) if biased else None
        if weights is None:
            factors[:n] = rows[:, :k]
            return cls(factors, biases, None)
        root_weights = torch.cat([weights.sqrt(), weights.new_zeros(1)])
        torch.mul(rows[:, :k], root_weights[:n, None], out=factors[:n])
        return cls(factors, biases, root_weights)

    @property
    def dimensions(self) -> int:
        """d, length of the solutions."""
        return self.factors.shape[1] + (self.biases is not None)

    def gather(self, block: Block) -> Iterable[Slots]:
        """All slots of a block, to be gone through any number of times.

        Only rows so long that they come in several parts are gathered anew each time.
        """
        step = max(LONGEST[block.others.device.type] // len(block.rows), 1)
        if block.others.shape[1] <= step:
            return [self.slots(block.others, block.ratings, block.root_weights)]
        return _Parts(self, block, step)

    def slots(self, others: Tensor, ratings: Tensor, own: Tensor | None) -> Slots:
        """What is gathered for (r, s) rows of the other side, (r, s) ratings and, if any, their own (r, s) √w."""
        flat = others.reshape(-1)
        q = self.factors.index_select(0, flat).view(*others.shape, self.factors.shape[1])
        y = ratings if self.biases is None else ratings - self.biases.index_select(0, flat).view_as(ratings)
        if self.root_weights is None and self.biases is None:
            root_weights = y.new_ones(()).expand_as(y)
        elif self.root_weights is None:
            root_weights = (others < len(self.factors) - 1).to(y)
        else:
            root_weights = self.root_weights.index_select(0, flat).view_as(y)
            y = y * root_weights
        if own is not None:
            q, y, root_weights = q * own[:, :, None], y * own, root_weights * own
        return Slots(q, y, root_weights)


@dataclass(frozen=True)
class _Parts:
    """A block's slots, gathered ``step`` of each row at a time."""

    others: Others
    block: Block
    step: int

    def __iter__(self) -> Iterator[Slots]:
        block = self.block
        for begin in range(0, block.others.shape[1], self.step):
            part = slice(begin, begin + self.step)
            own = None if block.root_weights is None else block.root_weights[:, part]
            yield self.others.slots(block.others[:, part], block.ratings[:, part], own)
