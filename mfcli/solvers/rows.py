"""Solving: the rows of a block from their ratings, the other side given.

For a row (a user, say) with observed columns S, design x = [q, 1] and target y = r - μ - b of the other side:

    A = α Σ w x xᵀ + Λ,    h = α Σ w y x + Λ m;    the row is A⁻¹h, or a sample of N(A⁻¹h, A⁻¹)

Sums are over S; w, a number of the rating's row of the other side, is the weight of a rating, 1 as a rule.
What was gathered (:mod:`mfcli.solvers.gathering`) comes times √w, so that the sums are products of it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor

from mfcli.solvers.blocks import Block, longest_short
from mfcli.solvers.cholesky import cholesky_unless_spoiled
from mfcli.solvers.gathering import Others, Slots
from mfcli.solvers.normals import AnyNormals
from mfcli.solvers.steps import step

ROUNDING = 1e-6  # of a row's sum of squares: what sums in float32 cannot tell from 0


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

    def natural(self, block: Block) -> tuple[Tensor, Tensor]:
        """Λ and Λm of the block's rows, (r, d, d) and (r, d), with 1 in place of r where all have the same."""
        precision, pull = self.precision[None], self.means(block) @ self.precision
        if not self.by_root_count:
            return precision, pull
        root_counts = block.counts.clamp(min=1).sqrt()[:, None]
        return precision * root_counts[:, :, None], pull * root_counts

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
class DiagonalPrior:
    """A prior N(0, Λ⁻¹) whose Λ is a diagonal of each row's own. It stands in for a :class:`Prior`; α is 1.

    Attributes:
        diagonals: (rows, d), above 0.
    """

    diagonals: Tensor
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

    def natural(self, block: Block) -> tuple[Tensor, Tensor]:
        """As for a :class:`Prior`."""
        return torch.diag_embed(self.of(block)), self.means(block)

    def times_covariance(self, block: Block, x: Tensor) -> Tensor:
        """As for a :class:`Prior`."""
        return x / self.of(block)[:, None]


class AnyPrior(Protocol):
    """What solving needs of a prior: what a :class:`Prior` has of these names."""

    @property
    def has_covariance(self) -> bool: ...

    def means(self, block: Block) -> Tensor: ...

    def alphas(self, block: Block) -> Tensor | float: ...

    def natural(self, block: Block) -> tuple[Tensor, Tensor]: ...

    def times_covariance(self, block: Block, x: Tensor) -> Tensor: ...


def l2_prior(factors: int, l2: float, bias_l2: float | None, device: torch.device) -> Prior:
    """L2 by the square root of a row's ratings as a prior of its factors, and of its bias if there is one.

    A row with n ratings pays λ√n‖p‖² + λ_b√n b² beside its squared errors. So one default serves every data set
    (Rendle, Krichene, Zhang and Koren, RecSys 2022).
    """
    penalties = torch.tensor([l2] * factors + ([] if bias_l2 is None else [bias_l2]), device=device)
    covariance = torch.diag(1 / penalties) if bool((penalties > 0).all()) else None
    return Prior(torch.diag(penalties), torch.zeros_like(penalties), by_root_count=True, covariance=covariance)


class RatingSums(NamedTuple):
    """Sums over the ratings of each of r rows.

    Attributes:
        gram: (r, d, d) Σ w x xᵀ, where d is k, or k + 1 with biases.
        moment: (r, d) Σ w y x.
        squares: (r,) Σ w y².
        weights: (r,) Σ w. Worth nothing in a model without biases where all weigh 1.
    """

    gram: Tensor
    moment: Tensor
    squares: Tensor
    weights: Tensor


def normal_equations(others: Others, gathered: Iterable[Slots]) -> RatingSums:
    """Sums over each row's ratings.

    Args:
        others: says whether there are biases.
        gathered: the slots of a block, in one part or several.
    """
    gram, cross, own = (sum(parts[1:], parts[0]) for parts in zip(*map(_products, gathered), strict=True))
    squares, weights = own[:, 0, 0], own[:, 1, 1]
    if others.biases is None:
        return RatingSums(gram, cross[:, 0], squares, weights)
    # The bias's part of x xᵀ, whose x is 1, comes apart, so that the large product stays k wide.
    k, d = others.factors.shape[1], others.dimensions
    whole = gram.new_empty(len(gram), d, d)
    whole[:, :k, :k] = gram
    whole[:, :k, k] = whole[:, k, :k] = cross[:, 1]
    whole[:, k, k] = weights
    return RatingSums(whole, torch.cat([cross[:, 0], own[:, 0, 1:]], 1), squares, weights)


def _products(slots: Slots) -> tuple[Tensor, Tensor, Tensor]:
    """Σ q qᵀ, Σ v qᵀ and Σ v vᵀ of what was gathered, where v is [y, √w]: (r, k, k), (r, 2, k) and (r, 2, 2)."""
    v = torch.stack([slots.y, slots.root_weights], 1)
    return torch.bmm(slots.q.mT, slots.q), torch.bmm(v, slots.q), torch.bmm(v, v.mT)


@dataclass(frozen=True)
class Solutions:
    """Rows of one side, all or those of a block.

    Attributes:
        rows: (n, d) solutions, or samples.
        means: (n, d) solutions: what the samples are drawn about.
        weighted_errors: (n,) sums over each row's ratings of w(y - x·z)² with z the first of the two.
    """

    rows: Tensor
    means: Tensor
    weighted_errors: Tensor


class Solved(NamedTuple):
    """What a block comes to.

    Attributes:
        rows: of the block.
        squared_error: a scalar, the sum of their squared residuals: without weights, or, unless that was wanted, each
            row's weighted mean of them times how many it has.
        failed: a bool, whether rounding has spoiled the equations of one of them; all are then to be solved for again.
    """

    rows: Solutions
    squared_error: Tensor
    failed: Tensor


def solve_block(
    block: Block,
    others: Others,
    prior: AnyPrior,
    normals: AnyNormals | None,
    begin: Tensor | None,
    *,
    means: bool,
    plain: bool,
    lifted: bool,
) -> Solved:
    """Solve for, or sample, the rows of a block, or take a step towards them.

    Args:
        block: r rows.
        others: the other side.
        prior: of these rows.
        normals: to sample; None to solve.
        begin: (rows of this side, d) rows from which long rows take a :func:`mfcli.solvers.steps.step` only; the prior
            is then a :class:`DiagonalPrior`.
        means: whether the means of samples are wanted; else the samples may stand in their place.
        plain: whether squared residuals are wanted without weights: for those of long rows that are weighted all that
            was gathered is read once more.
        lifted: whether equations that rounding has spoiled are mended, for which the host has to wait; else the block
            says whether there are any.
    """
    longest, short = block.others.shape[1], longest_short(others.dimensions)
    if prior.has_covariance and longest == 0:
        return solve_unrated(block, others, prior, normals)
    if prior.has_covariance and longest <= short:
        return solve_short(block, others, prior, normals, lifted)
    if begin is not None:
        assert isinstance(prior, DiagonalPrior)
        z, weighted_errors, left = step(block, others, prior.of(block), begin.index_select(0, block.rows))
        return Solved(Solutions(z, z, weighted_errors), left, left.new_zeros((), dtype=torch.bool))
    return solve_long(block, others, prior, normals, means=means, plain=plain, lifted=lifted)


def solve_long(
    block: Block,
    others: Others,
    prior: AnyPrior,
    normals: AnyNormals | None,
    *,
    means: bool,
    plain: bool,
    lifted: bool,
) -> Solved:
    """What :func:`solve_block` does, by the (d, d) normal equations of every row.

    With A = LLᵀ the solution is L⁻ᵀL⁻¹h, and L⁻ᵀ(L⁻¹h + ε) with ε ~ N(0, I) is a sample.
    """
    gathered = others.gather(block)
    sums = normal_equations(others, gathered)
    (precision, pull), alpha = prior.natural(block), prior.alphas(block)
    if isinstance(alpha, Tensor):
        matrices = torch.addcmul(precision, sums.gram, alpha[:, :, None])
    else:
        matrices = torch.add(precision, sums.gram, alpha=alpha)
    lower, failed = cholesky_unless_spoiled(matrices, lifted)
    halfway = torch.linalg.solve_triangular(lower, (alpha * sums.moment + pull)[:, :, None], upper=False)
    if normals is None:
        z = drawn_about = torch.linalg.solve_triangular(lower.mT, halfway, upper=True)[:, :, 0]
    else:
        scattered = halfway + normals.of(block, others.dimensions)[:, :, None]
        right = torch.cat([scattered, halfway], 2) if means else scattered
        solved = torch.linalg.solve_triangular(lower.mT, right, upper=True)
        z, drawn_about = solved[:, :, 0], solved[:, :, -1]
    weighted = others.root_weights is not None or block.root_weights is not None
    if plain and weighted:
        weighted_errors, squared_error = _errors(z, others, gathered)
        return Solved(Solutions(z, drawn_about, weighted_errors), squared_error, failed)
    # Σ w(y - x·z)² = Σ w y² - 2z·Σ w y x + zᵀ(Σ w x xᵀ)z.
    # (On a CPU a batched product of row and matrix takes a fraction of the time of that of matrix and column.)
    weighted_errors = sums.squares + (z * (torch.bmm(z[:, None], sums.gram)[:, 0] - 2 * sums.moment)).sum(1)
    each = weighted_errors
    if weighted:
        weighted_errors = torch.maximum(weighted_errors, ROUNDING * sums.squares)  # less is what rounding left
        each = weighted_errors * block.counts / sums.weights.clamp(min=1e-30)
    return Solved(Solutions(z, drawn_about, weighted_errors), each.sum(), failed)


def _errors(z: Tensor, others: Others, gathered: Iterable[Slots]) -> tuple[Tensor, Tensor]:
    """(r,) sums of w(y - x·z)² over the ratings of (r, d) rows z, and a scalar, the sum of all without weights."""
    k = others.factors.shape[1]
    weighted, plain = z.new_zeros(len(z)), z.new_zeros(())
    for slots in gathered:
        errors = slots.y - torch.bmm(z[:, None, :k], slots.q.mT)[:, 0]
        if others.biases is not None:
            errors.addcmul_(slots.root_weights, z[:, k:], value=-1)
        weighted += errors.square().sum(1)
        plain += slots.unweighted(errors).square().sum()
    return weighted, plain


def solve_unrated(block: Block, others: Others, prior: AnyPrior, normals: AnyNormals | None) -> Solved:
    """What :func:`solve_block` does, for rows without ratings: they are as the prior has them."""
    z = means = prior.means(block).expand(len(block.rows), -1)
    if normals is not None:
        assert isinstance(prior, Prior), "samples are drawn with no other"
        z = means + prior.scatter(block, normals.of(block, others.dimensions))
    none = block.counts.new_zeros(())
    return Solved(Solutions(z, means, torch.zeros_like(block.counts)), none, none.bool())


def solve_short(block: Block, others: Others, prior: AnyPrior, normals: AnyNormals | None, lifted: bool) -> Solved:
    """What :func:`solve_block` does, for rows with s ratings at the cost of s³ a row in place of d³.

    With C = Λ⁻¹ and X the (s, d) ratings' x, and G = CXᵀ(XCXᵀ + I/α)⁻¹, the solution is m + G(y - Xm).
    A sample is z₀ + G(y + ε - Xz₀) with z₀ ~ N(m, C) and ε ~ N(0, I/α) (Bhattacharya, Chakraborty and Mallick,
    Biometrika 2016).
    """
    (slots,) = others.gather(block)
    x = slots.q if others.biases is None else torch.cat([slots.q, slots.root_weights[:, :, None]], 2)
    y, d = slots.y, others.dimensions
    alpha, mean = prior.alphas(block), prior.means(block).expand(len(y), -1)
    xc = prior.times_covariance(block, x)
    inner = torch.bmm(xc, x.mT)
    inner.diagonal(dim1=1, dim2=2).add_(1 / alpha)
    begin, target = mean[:, None], y[:, None]
    if normals is not None:
        assert isinstance(prior, Prior), "samples are drawn with no other"
        drawn = normals.of(block, d + y.shape[1])
        start = mean + prior.scatter(block, drawn[:, :d])
        scattered = y + drawn[:, d:] / alpha**0.5
        begin, target = torch.stack([start, mean], 1), torch.stack([scattered, y], 1)
    lower, failed = cholesky_unless_spoiled(inner, lifted)
    gain = torch.cholesky_solve((target - torch.bmm(begin, x.mT)).mT, lower).mT
    found = begin + torch.bmm(gain, xc)
    z, means = found[:, 0], found[:, -1]
    errors = y - torch.bmm(z[:, None], x.mT)[:, 0]
    plain = slots.unweighted(errors).square().sum()
    return Solved(Solutions(z, means, errors.square().sum(1)), plain, failed)
