"""Finding ids among those that the data have."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mfcli.arrays import Int64s
from mfcli.data.table import plain_id


def find_ids(known: Any, ids: Sequence[str]) -> Int64s:
    """(n,) int64: the place of each of (n,) ids among the known ones, -1 for an unknown one.

    Args:
        known: a pyarrow column of integers or strings, all different.
        ids: as texts; blanks around them and the ``.0`` of a whole number do not count.
    """
    places = {str(one): place for place, one in enumerate(known.to_pylist())}
    found = (places.get(one, places.get(plain_id(one), -1)) for one in ids)
    return np.fromiter(found, np.int64, len(ids))
