"""One step of the rows of a block towards their solutions, where solving for them in every round does not pay.

The equations are those of :mod:`mfcli.solvers.rows`, A z = h, with a Λ that is a diagonal. The step is that of steepest
descent with Λ as preconditioner, of the length that lowers the objective the most:

    z' = z + t g,    g = Λ⁻¹(h - A z),    t = (h - A z)·g / g·A g

It takes three products with the gathered factors, in place of the (d, d) matrix A of every row. No step raises the
objective, and where no row moves any more every row is solved (after Takács, Pilászy and Tikk, RecSys 2011, who take
several steps of conjugate gradients a round; one step and more rounds come down faster).
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from mfcli.solvers.blocks import Block
from mfcli.solvers.gathering import Slots
from mfcli.solvers.priors import DiagonalPrior
from mfcli.solvers.solving import Half, Left

TINY = 1e-30  # in place of 0, where a row is solved already


def step(block: Block, half: Half) -> Left:
    """Take a step with the rows of a block. The other side has no biases."""
    assert half.begin is not None
    assert isinstance(half.prior, DiagonalPrior)
    begin, diagonal = half.begin.index_select(0, block.rows), half.prior.of(block)
    gathered = half.others.gather(block)
    errors = [slots.y - scores for slots, scores in zip(gathered, _scores(begin, gathered), strict=True)]
    residual = _sums(errors, gathered) - diagonal * begin
    ahead = residual / diagonal
    moved = _scores(ahead, gathered)
    curvature = torch.stack([scores.square().sum(1) for scores in moved]).sum(0) + (residual * ahead).sum(1)
    length = ((residual * ahead).sum(1) / curvature.clamp(min=TINY))[:, None]
    errors = [error - length * scores for error, scores in zip(errors, moved, strict=True)]
    weighted_errors = torch.stack([error.square().sum(1) for error in errors]).sum(0)
    if half.weighted(block):
        parts = zip(errors, gathered, strict=True)
        plain = torch.stack([slots.unweighted(error).square().sum() for error, slots in parts]).sum()
    else:
        plain = weighted_errors.sum()
    stepped = begin + length * ahead
    half.keep(block, stepped, stepped, weighted_errors)
    return Left(plain, plain.new_zeros((), dtype=torch.bool))


def _scores(z: Tensor, gathered: Iterable[Slots]) -> list[Tensor]:
    """x·z of every slot, times √w: an (r, s) for every part of the slots."""
    return [torch.bmm(z[:, None], slots.q.mT)[:, 0] for slots in gathered]


def _sums(values: list[Tensor], gathered: Iterable[Slots]) -> Tensor:
    """Σ of the slots' values times √w x, (r, d)."""
    parts = [torch.bmm(v[:, None], slots.q)[:, 0] for v, slots in zip(values, gathered, strict=True)]
    return torch.stack(parts).sum(0)
