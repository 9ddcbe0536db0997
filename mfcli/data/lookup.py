"""Looking up the rows of users and items by the ids that the data have."""

from collections.abc import Callable, Sequence

import numpy as np

from mfcli.arrays import Int64s
from mfcli.data.ids import find_ids
from mfcli.data.prepared import Prepared

Doubt = Callable[[str], None]
"""Is told of what is odd but usable, or raises DataError where nothing odd is wanted."""

MOST = 5  # of many that a message names


def known_rows(prepared: Prepared, side: str, ids: Sequence[str], where: str, doubt: Doubt) -> Int64s:
    """(m,) int64: rows of those of (n,) ids that are known.

    Args:
        prepared: the data.
        side: ``users`` or ``items``.
        ids: as texts.
        where: they come from, for messages.
        doubt: is told of those that are unknown.
    """
    rows = find_ids(getattr(prepared, side)["id"], ids)
    unknown = [ids[place] for place in np.flatnonzero(rows < 0).tolist()]
    if unknown:
        named = ", ".join(unknown[:MOST]) + (", ..." if len(unknown) > MOST else "")
        doubt(f"{where}: {len(unknown):,} of {len(ids):,} {side} are not in the data: {named}")
    return rows[rows >= 0]
