"""Cholesky factors of many small matrices at once, some of which rounding may have spoiled."""

import torch
from torch import Tensor

from mfcli.errors import DivergedError


def cholesky(matrices: Tensor) -> Tensor:
    """Lower Cholesky factors of (r, d, d) matrices; those that rounding has made indefinite are lifted a little.

    It waits for the device.

    Raises:
        DivergedError: a matrix is no longer finite, or not positive definite by far.
    """
    lower: Tensor
    lower, failed = torch.linalg.cholesky_ex(matrices)
    if bool(failed.any()):
        spoiled = torch.nonzero(failed)[:, 0]
        lower[spoiled] = _lifted_cholesky(matrices[spoiled].double()).to(lower)
    return lower


def cholesky_unless_spoiled(matrices: Tensor, lifted: bool) -> tuple[Tensor, Tensor]:
    """What :func:`cholesky` finds if ``lifted``; else without waiting, and a bool says whether one is worth nothing."""
    if lifted:
        return cholesky(matrices), matrices.new_zeros((), dtype=torch.bool)
    lower, failed = torch.linalg.cholesky_ex(matrices)
    return lower, failed.any()


def _lifted_cholesky(matrices: Tensor) -> Tensor:
    lift = matrices.diagonal(dim1=1, dim2=2).mean(1).clamp(min=1e-2) * 1e-4
    eye = torch.eye(matrices.shape[-1], dtype=matrices.dtype, device=matrices.device)
    lower: Tensor
    lower, failed = torch.linalg.cholesky_ex(matrices + lift[:, None, None] * eye)
    if bool(failed.any()) or not bool(lower.isfinite().all()):
        raise DivergedError("a row's equations have no solution in finite numbers")
    return lower
