"""Half a round: what solving for the rows of a side takes, and where it goes."""

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from mfcli.solvers.blocks import Block
from mfcli.solvers.gathering import Others
from mfcli.solvers.normals import AnyNormals
from mfcli.solvers.priors import AnyPrior, Coordinates, Natural


@dataclass(frozen=True)
class Solutions:
    """Rows of one side.

    Attributes:
        rows: (n, d) solutions, or samples.
        means: (n, d) solutions: what the samples are drawn about; the rows themselves if nobody wants those.
        weighted_errors: (n,) sums over each row's ratings of w(y - x·z)² with z the first of the two.
    """

    rows: Tensor
    means: Tensor
    weighted_errors: Tensor


@dataclass(frozen=True)
class Half:
    """Solving for, or sampling, all rows of a side, the other side given.

    Attributes:
        others: the other side.
        prior: of the rows.
        natural: what that adds to the equations of long rows; None if those take steps.
        coordinates: in which kernels solve for short rows; None where none do.
        normals: to sample; None to solve.
        begin: (n, d) rows from which long rows take a :func:`mfcli.solvers.steps.step` only, and the prior is then a
            :class:`DiagonalPrior`; None to solve.
        plain: whether squared residuals are wanted without weights: for those of long rows that are weighted all that
            was gathered is read once more.
        found: filled in block by block.
    """

    others: Others
    prior: AnyPrior
    natural: Natural | None
    coordinates: Coordinates | None
    normals: AnyNormals | None
    begin: Tensor | None
    plain: bool
    found: Solutions

    @property
    def wants_means(self) -> bool:
        """Whether the means of samples are wanted."""
        return self.found.means is not self.found.rows

    def weighted(self, block: Block) -> bool:
        """Whether the block's ratings have weights."""
        return self.others.root_weights is not None or block.root_weights is not None

    def keep(self, block: Block, rows: Tensor, means: Tensor, weighted_errors: Tensor) -> None:
        """Fill in what was found for the r rows of a block: (r, d), (r, d) and (r,)."""
        self.found.rows.index_copy_(0, block.rows, rows)
        if self.wants_means:
            self.found.means.index_copy_(0, block.rows, means)
        self.found.weighted_errors.index_copy_(0, block.rows, weighted_errors)


class Left(NamedTuple):
    """What solving for the rows of a block leaves.

    Attributes:
        squared_error: a scalar, the sum of their squared residuals: without weights, or, unless that was wanted, each
            row's weighted mean of them times how many it has.
        failed: a bool, whether rounding has spoiled the equations of one of them; all are then to be solved for again.
    """

    squared_error: Tensor
    failed: Tensor
