"""Draws of N(0, 1) for the rows of a side."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from mfcli.solvers.blocks import Block
from mfcli.solvers.seeds import mixed_seed


class AnyNormals(Protocol):
    """What sampling needs of draws: what :class:`Normals` has."""

    def of(self, block: Block, columns: int) -> Tensor: ...


@dataclass(frozen=True)
class Normals:
    """Draws that every block has of its own: the same whichever process or thread solves for it, and when.

    (On a CPU torch takes 32 bits of a seed: of hundreds of thousands of blocks and sweeps some few pairs draw alike.)

    Attributes:
        seed: of the side and the sweep.
    """

    seed: int

    def of(self, block: Block, columns: int) -> Tensor:
        """(r, columns) float32 for the rows of a block, where the block is."""
        device = block.ratings.device
        generator = torch.Generator(device).manual_seed(mixed_seed(self.seed, block.number))
        return torch.randn(len(block.rows), columns, generator=generator, device=device)
