"""The products of the vectors of pairs of a user and an item."""

from typing import Any

import numpy as np
import numpy.typing as npt

from mfcli.arrays import Float32s, Float64s
from mfcli.data.ratings import Sides

NUMBERS_AT_ONCE = 4_000_000  # of the vectors gathered: 16 MB


def products(vectors: Sides[Float32s], users: npt.NDArray[Any], items: npt.NDArray[Any]) -> Float64s:
    """(n,) float64 scalar products of the vectors of (n,) rows of users and of items.

    Summed in float64 and pair by pair, so that a product does not depend on what else is asked for, and different
    vectors do not tie.
    """
    out = np.empty(len(users))
    step = NUMBERS_AT_ONCE // max(1, vectors.users.shape[1])
    for start in range(0, len(users), step):
        part = slice(start, start + step)
        out[part] = (vectors.users[users[part]] * vectors.items[items[part]]).sum(1, dtype=np.float64)
    return out
