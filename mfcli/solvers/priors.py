"""What is believed of rows before their ratings are seen."""

import functools
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from mfcli.solvers.blocks import Block


class Natural(NamedTuple):
    """What the priors of a side's rows add to their equations: Λ and Λm, both times √n if ``by_root_count``.

    Λ is precision + n · each, where n is the row's number of ratings (of 1, if it has none, for its root).

    Attributes:
        precision: (d, d).
        pulls: Λm, (rows, d), or (1, d) where all have the same.
        each: (d, d), or None for 0.
        by_root_count: see above.
    """

    precision: Tensor
    pulls: Tensor
    each: Tensor | None = None
    by_root_count: bool = False

    def of(self, block: Block) -> tuple[Tensor, Tensor]:
        """Λ and Λm of a block's rows, (r, d, d) and (r, d), with 1 in place of r where all have the same."""
        precision, pulls = self.precision[None], self.pulls
        if len(pulls) > 1:
            pulls = pulls.index_select(0, block.rows)
        if self.each is not None:
            precision = precision + block.counts[:, None, None] * self.each
        if not self.by_root_count:
            return precision, pulls
        root_counts = block.counts.clamp(min=1).sqrt()[:, None]
        return precision * root_counts[:, :, None], pulls * root_counts


class Coordinates(NamedTuple):
    """Those in which the precision of every row is a diagonal D: z = B v, and BᵀΛB = D.

    D is a row's ``diagonals``, or 1 + n · growth, where n is its number of ratings; times √n if ``by_root_count``.

    Attributes:
        matrix: B, (d, d), or None for the identity.
        pulls: BᵀΛm, (rows, d), or (1, d) where all have the same; times √n if ``by_root_count``.
        diagonals: (rows, d), or None.
        growth: (d,), or None for 0.
        by_root_count: see above.
    """

    matrix: Tensor | None
    pulls: Tensor
    diagonals: Tensor | None = None
    growth: Tensor | None = None
    by_root_count: bool = False


@dataclass(frozen=True)
class Prior:
    """What is believed of a row before its ratings are seen: N(m, Λ⁻¹), and the noise precision α.

    Attributes:
        precision: Λ, (d, d).
        mean: m, (d,), or (rows, d) where each row has its own.
        alpha: α, a number, or (rows,) where each row has its own.
        by_root_count: Λ is multiplied by the square root of the row's number of ratings (of 1, if it has none).
        covariance: Λ⁻¹, (d, d), for short rows and those without ratings; None where Λ has none.
        covariance_root: (d, d) R such that R Rᵀ is Λ⁻¹, to sample such rows with.
    """

    precision: Tensor
    mean: Tensor
    alpha: float | Tensor = 1.0
    by_root_count: bool = False
    covariance: Tensor | None = None
    covariance_root: Tensor | None = None

    def means(self, block: Block) -> Tensor:
        """m of the block's rows, (r, d), or (1, d) where all have the same."""
        return self.mean.index_select(0, block.rows) if self.mean.ndim == 2 else self.mean[None]

    def alphas(self, block: Block) -> Tensor | float:
        """α of the block's rows, (r, 1), or the number that all have."""
        return self.alpha.index_select(0, block.rows)[:, None] if isinstance(self.alpha, Tensor) else self.alpha

    @functools.cached_property
    def natural(self) -> Natural:
        """Λ and Λm."""
        return Natural(
            self.precision, self.mean.view(-1, len(self.precision)) @ self.precision, None, self.by_root_count
        )

    def coordinates(self) -> Coordinates | None:
        """Those in which Λ is the identity; None without a root of Λ⁻¹."""
        if self.covariance_root is None:
            return None
        pulls = self.natural.pulls @ self.covariance_root
        return Coordinates(self.covariance_root.contiguous(), pulls, by_root_count=self.by_root_count)

    @property
    def has_covariance(self) -> bool:
        """Whether Λ⁻¹ is at hand."""
        return self.covariance is not None

    def times_covariance(self, block: Block, x: Tensor) -> Tensor:
        """(r, s, d) x of the block's rows times their Λ⁻¹."""
        assert self.covariance is not None
        product = x @ self.covariance
        return product * block.counts.rsqrt()[:, None, None] if self.by_root_count else product

    def scatter(self, block: Block, normals: Tensor) -> Tensor:
        """Draws of N(0, Λ⁻¹) from (r, d) draws of N(0, 1)."""
        assert self.covariance_root is not None
        scattered = normals @ self.covariance_root.T
        return scattered * block.counts.clamp(min=1).pow(-0.25)[:, None] if self.by_root_count else scattered


@dataclass(frozen=True)
class CountedPrior:
    """A prior N(m_n, Λ_n⁻¹) of a row with n ratings: Λ_n = Λ + nE and Λ_n m_n = Λm. It stands in for a :class:`Prior`.

    All Λ_n have the same axes: Λ_n⁻¹ = W diag(1/(1 + n g)) Wᵀ.

    Attributes:
        alpha: α, the noise precision.
        precision: Λ, (d, d).
        each: E, (d, d).
        pull: Λm, (d,), or (rows, d) where each row has its own.
        axes: W, (d, d).
        growth: g, (d,).
    """

    alpha: float
    precision: Tensor
    each: Tensor
    pull: Tensor
    axes: Tensor
    growth: Tensor

    has_covariance = True

    def means(self, block: Block) -> Tensor:
        """m_n of the block's rows, (r, d)."""
        return self._times_covariance(self._pulls(block), self._shrink(block))

    def alphas(self, block: Block) -> float:
        """α, the same for all rows."""
        return self.alpha

    @functools.cached_property
    def natural(self) -> Natural:
        """Λ_n and Λm."""
        return Natural(self.precision, self.pull.view(-1, len(self.precision)), self.each)

    def coordinates(self) -> Coordinates:
        """Those in which every Λ_n is a diagonal."""
        return Coordinates(self.axes.contiguous(), self.natural.pulls @ self.axes, growth=self.growth)

    def times_covariance(self, block: Block, x: Tensor) -> Tensor:
        """(r, s, d) x of the block's rows times their Λ_n⁻¹."""
        return self._times_covariance(x, self._shrink(block)[:, None])

    def _pulls(self, block: Block) -> Tensor:
        return self.pull.index_select(0, block.rows) if self.pull.ndim == 2 else self.pull[None]

    def _shrink(self, block: Block) -> Tensor:
        return 1 / (1 + block.counts[:, None] * self.growth)

    def _times_covariance(self, x: Tensor, shrink: Tensor) -> Tensor:
        return ((x @ self.axes) * shrink) @ self.axes.T


@dataclass(frozen=True)
class DiagonalPrior:
    """A prior N(0, Λ⁻¹) whose Λ is a diagonal of each row's own; α is 1. It is for short rows, and for steps of others.

    Attributes:
        diagonals: (rows, d), above 0.
    """

    diagonals: Tensor
    alpha: ClassVar[float] = 1.0
    has_covariance: ClassVar[bool] = True

    def of(self, block: Block) -> Tensor:
        """The diagonals of the block's rows, (r, d)."""
        return self.diagonals.index_select(0, block.rows)

    def means(self, block: Block) -> Tensor:
        """As for a :class:`Prior`."""
        return self.diagonals.new_zeros(1, self.diagonals.shape[1])

    def alphas(self, block: Block) -> float:
        """As for a :class:`Prior`."""
        return 1.0

    def coordinates(self) -> Coordinates:
        """The rows' own: Λ is a diagonal already."""
        return Coordinates(None, self.diagonals.new_zeros(1, self.diagonals.shape[1]), self.diagonals)

    def times_covariance(self, block: Block, x: Tensor) -> Tensor:
        """As for a :class:`Prior`."""
        return x / self.of(block)[:, None]


AnyPrior = Prior | CountedPrior | DiagonalPrior


def l2_prior(factors: int, l2: float, bias_l2: float | None, device: torch.device) -> Prior:
    """L2 by the square root of a row's ratings as a prior of its factors, and of its bias if there is one.

    A row with n ratings pays λ√n‖p‖² + λ_b√n b² beside its squared errors. So one default serves every data set
    (Rendle, Krichene, Zhang and Koren, RecSys 2022).
    """
    penalties = torch.tensor([l2] * factors + ([] if bias_l2 is None else [bias_l2]), device=device)
    covariance = root = None
    if bool((penalties > 0).all()):
        covariance, root = torch.diag(1 / penalties), torch.diag(penalties.rsqrt())
    mean = torch.zeros_like(penalties)
    return Prior(torch.diag(penalties), mean, by_root_count=True, covariance=covariance, covariance_root=root)
