"""How fast this machine multiplies matrices."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from mfcli.solvers.blocks import GATHERED

LONGEST = 128  # ratings of each row in the block that is multiplied here


def matrix_rates(factors: list[int], threads: int) -> dict[str, float]:
    """Floating-point operations a second, in float32.

    Returns:
        ``mm``, of two square matrices of 2048 rows, and for each k of ``factors`` under its text the rate of
        a block such as the solvers cut: (rows, k, 128) by (rows, 128, k).
    """
    torch.set_num_threads(threads)
    a, b = torch.randn(2, 2048, 2048)
    rates = {"mm": 2 * 2048**3 / _fastest(partial(torch.mm, a, b))}
    for k in factors:
        block = torch.randn(GATHERED["cpu"] // k // LONGEST, LONGEST, k)
        rates[str(k)] = 2 * block.numel() * k / _fastest(partial(torch.bmm, block.mT, block))
    return rates


def _fastest(work: Callable[[], Any], count: int = 20) -> float:
    taken = []
    for _ in range(count):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return min(taken)
