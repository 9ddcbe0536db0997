"""How fast this machine multiplies matrices, and what the calls of torch take that most of a sweep is made of."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from mfcli.solvers.blocks import CELLS, GATHERED

LONGEST = 128  # ratings of each row in the block that is multiplied here
OTHERS = 4000  # rows to gather from


def matrix_rate(threads: int) -> float:
    """Floating-point operations a second in the product of two square matrices of 2048 rows, in float32."""
    torch.set_num_threads(threads)
    a, b = torch.randn(2, 2048, 2048)
    return 2 * 2048**3 / _fastest(partial(torch.mm, a, b))


def calls(k: int) -> dict[str, float]:
    """Seconds of one thread in torch's own calls, for k factors and biases, on blocks as als and gibbs cut them.

    Returns:
        ``slot``, to gather the factors of a rating and to multiply them with each other; ``row``, to find a row's
        Cholesky factor and to solve with it twice.
    """
    torch.set_num_threads(1)
    rows_at_once = max(1, GATHERED["cpu"] // (k + 1) // LONGEST)
    table, others = torch.randn(OTHERS, k), torch.randint(OTHERS, (rows_at_once, LONGEST))
    factors = torch.randn(max(1, CELLS["cpu"] // (k + 1) ** 2), 2 * (k + 1), k + 1)
    matrices, vectors = torch.bmm(factors.mT, factors), factors[:, :1].mT.contiguous()

    def slots() -> Tensor:
        gathered = table.index_select(0, others.view(-1)).view(*others.shape, k)
        return torch.bmm(gathered.mT, gathered)

    def rows() -> None:
        lower, _ = torch.linalg.cholesky_ex(matrices)
        halfway = torch.linalg.solve_triangular(lower, vectors, upper=False)
        torch.linalg.solve_triangular(lower.mT, halfway, upper=True)

    with torch.inference_mode():
        return {"slot": _fastest(slots) / others.numel(), "row": _fastest(rows) / len(matrices)}


def _fastest(work: Callable[[], Any], count: int = 20) -> float:
    taken = []
    for _ in range(count):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return min(taken)
