"""Compression: the best product of few columns for one of many, from sums over the rows alone."""

import torch
from torch import Tensor

from mfcli.data.ratings import Sides
from mfcli.errors import DivergedError
from mfcli.solvers.cholesky import cholesky
from mfcli.solvers.compute import Map, by_pieces

ROUNDING = 1e-7  # of the sum of a gram's eigenvalues: what products in float32 cannot tell from 0
SMALLEST = 1e-7  # of the largest singular value, at the least: the square of less is rounding in float64


def weighted_gram(rows: Tensor, weights: Tensor, workers: Map = map) -> Tensor:
    """Σ w x xᵀ over (n, d) rows, as (d, d) float64: the sum of products in float32."""

    def of(x: Tensor, root: Tensor) -> Tensor:
        weighted = x * root
        return weighted.T @ weighted

    total = torch.zeros(rows.shape[1], rows.shape[1], dtype=torch.float64, device=rows.device)
    for product in by_pieces(of, rows, weights.sqrt()[:, None], workers=workers):
        total += product
    return total


def compress(
    stacks: Sides[Tensor], weights: Sides[Tensor], width: int, workers: Map = map
) -> tuple[Sides[Tensor], Tensor]:
    """The best product of ``width`` columns for users @ items.T, in the weighted sense of least squares.

    The users' X has XᵀWX = RᵀR, with W the diagonal of their weights; the items' Y has the gram G. The singular values
    σ of the whole and, in the orthonormal columns of √W X R⁻¹, its left singular vectors V come of R G Rᵀ = V σ² Vᵀ,
    and X R⁻¹V√σ times Y RᵀV/√σ is the best product. All that touches the rows is products.

    Args:
        stacks: (n_users, w) and (n_items, w).
        weights: (n_users,) and (n_items,) > 0.
        width: columns that are kept.
        workers: a ``map`` over pieces of the rows.

    Returns:
        (n_users, r) and (n_items, r) with r = min(width, w), strongest column first, and the (r,) singular values: the
        root of the sum of squares of those left out is the weighted RMS of what is lost.

    Raises:
        DivergedError: the rows, or sums of products of them, are not finite.
    """
    users_gram, items_gram = (weighted_gram(*side, workers) for side in zip(stacks, weights, strict=True))
    if not bool((users_gram.isfinite() & items_gram.isfinite()).all()):
        raise DivergedError("samples cannot be averaged in finite numbers")
    lower = _factor(users_gram)
    squares, left = torch.linalg.eigh(lower.T @ items_gram @ lower)
    squares, left = squares.flip(0)[:width], left.flip(1)[:, :width]
    singular = squares.clamp(min=max(float(squares[0]) * SMALLEST**2, 1e-30)).sqrt()
    users = torch.linalg.solve_triangular(lower.T, left, upper=True) * singular.sqrt()
    items = lower @ left * singular.rsqrt()
    return Sides(_times(stacks.users, users, workers), _times(stacks.items, items, workers)), singular


def _times(stack: Tensor, columns: Tensor, workers: Map) -> Tensor:
    """(n, r) float32: a (n, w) stack times (w, r) columns."""
    columns = columns.to(stack)
    product = stack.new_empty(len(stack), columns.shape[1])
    for _ in by_pieces(lambda rows, out: torch.mm(rows, columns, out=out), stack, product, workers=workers):
        pass
    return product


def _factor(gram: Tensor) -> Tensor:
    """(w, w) float64 lower Cholesky factor of a gram, whose eigenvalues are lifted above what rounding does to them."""
    lift = float(gram.trace()) * ROUNDING + 1e-30
    return cholesky((gram + lift * torch.eye(len(gram), dtype=gram.dtype, device=gram.device))[None])[0]
