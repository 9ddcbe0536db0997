"""Finding ids among those that the data have."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mfcli.arrays import Int64s
from mfcli.data.table import INT64, INTEGER, plain_id
from mfcli.data.tables import numbers


def find_ids(known: Any, ids: Sequence[str]) -> Int64s:
    """(n,) int64: the place of each of (n,) ids among the known ones, -1 for an unknown one.

    Args:
        known: a pyarrow column of integers or strings, all different.
        ids: as texts; blanks around them and the ``.0`` of a whole number do not count.
    """
    if str(known.type) == "string":
        places = {one: place for place, one in enumerate(known.to_pylist())}
        found = (places.get(one, places.get(plain_id(one), -1)) for one in ids)
        return np.fromiter(found, np.int64, len(ids))
    integers = [int(one) if INTEGER.fullmatch(one) and int(one) in INT64 else None for one in map(plain_id, ids)]
    fits = np.array([one is not None for one in integers], bool)
    wanted = np.array([one or 0 for one in integers], np.int64)
    values = numbers(known)
    order = np.argsort(values, kind="stable")
    rows = order[np.minimum(np.searchsorted(values, wanted, sorter=order), len(values) - 1)]
    return np.where(fits & (values[rows] == wanted), rows, -1)
