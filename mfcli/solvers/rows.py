"""Solving: the rows of a block from their ratings, the other side given.

For a row (a user, say) with observed columns S, design x = [q, 1] and target y = r - μ - b of the other side:

    A = α Σ w x xᵀ + Λ,    h = α Σ w y x + Λ m;    the row is A⁻¹h, or a sample of N(A⁻¹h, A⁻¹)

Sums are over S; w, a number of the rating's row of the other side, is the weight of a rating, 1 as a rule.
What was gathered (:mod:`mfcli.solvers.gathering`) comes times √w, so that the sums are products of it.
"""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from mfcli.solvers.blocks import Block, longest_short
from mfcli.solvers.cholesky import cholesky_unless_spoiled
from mfcli.solvers.compiled import kernels
from mfcli.solvers.gathering import Others, Slots
from mfcli.solvers.priors import Prior
from mfcli.solvers.solving import Half, Left
from mfcli.solvers.steps import step

ROUNDING = 1e-6  # of a row's sum of squares: what sums in float32 cannot tell from 0


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


def solve_block(block: Block, half: Half, *, lifted: bool = False) -> Left:
    """Solve for, or sample, the rows of a block, or take a step towards them.

    Args:
        block: r rows.
        half: what to solve for, and where to keep it.
        lifted: whether equations that rounding has spoiled are mended, for which the host has to wait; else the block
            says whether there are any.
    """
    longest, short = block.others.shape[1], longest_short(half.others.dimensions)
    compiled = kernels.serve(block.ratings.device) and not lifted
    if half.prior.has_covariance and longest == 0:
        return solve_unrated(block, half)
    if half.prior.has_covariance and longest <= short:
        known = compiled and half.coordinates is not None
        return kernels.solve_short(block, half) if known else solve_short(block, half, lifted)
    if half.begin is not None:
        return kernels.step(block, half) if compiled else step(block, half)
    return kernels.solve_long(block, half) if compiled else solve_long(block, half, lifted)


def solve_long(block: Block, half: Half, lifted: bool) -> Left:
    """What :func:`solve_block` does, by the (d, d) normal equations of every row.

    With A = LLᵀ the solution is L⁻ᵀL⁻¹h, and L⁻ᵀ(L⁻¹h + ε) with ε ~ N(0, I) is a sample.
    """
    assert half.natural is not None, "a half that takes steps has none"
    others = half.others
    gathered = others.gather(block)
    sums = normal_equations(others, gathered)
    (precision, pull), alpha = half.natural.of(block), half.prior.alphas(block)
    if isinstance(alpha, Tensor):
        matrices = torch.addcmul(precision, sums.gram, alpha[:, :, None])
    else:
        matrices = torch.add(precision, sums.gram, alpha=alpha)
    lower, failed = cholesky_unless_spoiled(matrices, lifted)
    halfway = torch.linalg.solve_triangular(lower, (alpha * sums.moment + pull)[:, :, None], upper=False)
    if half.normals is None:
        z = drawn_about = torch.linalg.solve_triangular(lower.mT, halfway, upper=True)[:, :, 0]
    else:
        scattered = halfway + half.normals.of(block, others.dimensions)[:, :, None]
        right = torch.cat([scattered, halfway], 2) if half.wants_means else scattered
        solved = torch.linalg.solve_triangular(lower.mT, right, upper=True)
        z, drawn_about = solved[:, :, 0], solved[:, :, -1]
    if half.plain and half.weighted(block):
        weighted_errors, squared_error = _errors(z, others, gathered)
        half.keep(block, z, drawn_about, weighted_errors)
        return Left(squared_error, failed)
    # Σ w(y - x·z)² = Σ w y² - 2z·Σ w y x + zᵀ(Σ w x xᵀ)z.
    # (On a CPU a batched product of row and matrix takes a fraction of the time of that of matrix and column.)
    weighted_errors = sums.squares + (z * (torch.bmm(z[:, None], sums.gram)[:, 0] - 2 * sums.moment)).sum(1)
    each = weighted_errors
    if half.weighted(block):
        weighted_errors = torch.maximum(weighted_errors, ROUNDING * sums.squares)  # less is what rounding left
        each = weighted_errors * block.counts / sums.weights.clamp(min=1e-30)
    half.keep(block, z, drawn_about, weighted_errors)
    return Left(each.sum(), failed)


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


def solve_unrated(block: Block, half: Half) -> Left:
    """What :func:`solve_block` does, for rows without ratings: they are as the prior has them."""
    prior = half.prior
    z = means = prior.means(block).expand(len(block.rows), -1)
    if half.normals is not None:
        assert isinstance(prior, Prior), "samples are drawn with no other"
        z = means + prior.scatter(block, half.normals.of(block, half.others.dimensions))
    half.keep(block, z, means, torch.zeros_like(block.counts))
    none = block.counts.new_zeros(())
    return Left(none, none.bool())


def solve_short(block: Block, half: Half, lifted: bool) -> Left:
    """What :func:`solve_block` does, for rows with s ratings at the cost of s³ a row in place of d³.

    With C = Λ⁻¹ and X the (s, d) ratings' x, and G = CXᵀ(XCXᵀ + I/α)⁻¹, the solution is m + G(y - Xm).
    A sample is z₀ + G(y + ε - Xz₀) with z₀ ~ N(m, C) and ε ~ N(0, I/α) (Bhattacharya, Chakraborty and Mallick,
    Biometrika 2016).
    """
    others, prior = half.others, half.prior
    (slots,) = others.gather(block)
    x = slots.q if others.biases is None else torch.cat([slots.q, slots.root_weights[:, :, None]], 2)
    y, d = slots.y, others.dimensions
    alpha, mean = prior.alphas(block), prior.means(block).expand(len(y), -1)
    xc = prior.times_covariance(block, x)
    inner = torch.bmm(xc, x.mT)
    inner.diagonal(dim1=1, dim2=2).add_(1 / alpha)
    begin, target = mean[:, None], y[:, None]
    if half.normals is not None:
        assert isinstance(prior, Prior), "samples are drawn with no other"
        drawn = half.normals.of(block, d + y.shape[1])
        start = mean + prior.scatter(block, drawn[:, :d])
        scattered = y + drawn[:, d:] / alpha**0.5
        begin, target = torch.stack([start, mean], 1), torch.stack([scattered, y], 1)
    lower, failed = cholesky_unless_spoiled(inner, lifted)
    gain = torch.cholesky_solve((target - torch.bmm(begin, x.mT)).mT, lower).mT
    found = begin + torch.bmm(gain, xc)
    z, means = found[:, 0], found[:, -1]
    errors = y - torch.bmm(z[:, None], x.mT)[:, 0]
    plain = slots.unweighted(errors).square().sum()
    half.keep(block, z, means, errors.square().sum(1))
    return Left(plain, failed)
