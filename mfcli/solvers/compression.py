"""Compression: the best product of few columns for one of many, from sums over the rows alone."""

import torch
from torch import Tensor

from mfcli.data.ratings import Sides
from mfcli.solvers.cholesky import cholesky
from mfcli.solvers.compute import Map, by_pieces

ROUNDING = 1e-7  # of the sum of a gram's eigenvalues: what products in float32 cannot tell from 0


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

    With D the diagonal of √w and (DX)ᵀ(DX) = RᵀR the Cholesky factor of the users' side, the left singular vectors V
    and values σ of the whole are, in the users' columns, those of R(DY)ᵀ(DY)Rᵀ = V σ² Vᵀ, and the product of X R⁻¹V√σ
    and Y RᵀV/√σ is the best there is. All that touches the rows is products.

    Args:
        stacks: (n_users, w) and (n_items, w).
        weights: (n_users,) and (n_items,) > 0.
        width: columns that are kept.
        workers: a ``map`` over pieces of the rows.

    Returns:
        (n_users, r) and (n_items, r) with r = min(width, w), strongest column first, and the (r,) singular values: the
        root of the sum of squares of those left out is the weighted RMS of what is lost.
    """
    lower = _factor(weighted_gram(stacks.users, weights.users, workers))
    squares, left = torch.linalg.eigh(lower.T @ weighted_gram(stacks.items, weights.items, workers) @ lower)
    squares, left = squares.flip(0)[:width], left.flip(1)[:, :width]
    singular = squares.clamp(min=max(float(squares[0]) * ROUNDING**2, 1e-30)).sqrt()
    users = torch.linalg.solve_triangular(lower.T, left, upper=True) * singular.sqrt()
    items = lower @ left * singular.rsqrt()
    return Sides(_times(stacks.users, users, workers), _times(stacks.items, items, workers)), singular


def _times(stack: Tensor, columns: Tensor, workers: Map) -> Tensor:
    """(n, r) float32: a (n, w) stack times (w, r) columns."""
    columns = columns.to(stack)
    return torch.cat([*by_pieces(lambda piece: piece @ columns, stack, workers=workers)])


def _factor(gram: Tensor) -> Tensor:
    """(w, w) float64 lower Cholesky factor of a gram, whose eigenvalues are lifted above what rounding does to them."""
    lift = float(gram.trace()) * ROUNDING + 1e-30
    return cholesky((gram + lift * torch.eye(len(gram), dtype=gram.dtype, device=gram.device))[None])[0]
