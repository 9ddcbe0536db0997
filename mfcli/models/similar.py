"""Similar items: the nearest by the cosine of their vectors (Sarwar, Karypis, Konstan and Riedl, WWW 2001)."""

import numpy as np

from mfcli.arrays import Float32s, Int32s
from mfcli.models.ranking import top_n


def nearest(vectors: Float32s, item: int, n: int, candidates: Int32s | None = None) -> tuple[Int32s, Float32s]:
    """The n items most like one, the nearest first, itself left out.

    Args:
        vectors: (n_items, r) of all items.
        item: row of the one.
        n: at most so many.
        candidates: (m,) rows of the items that may be, ascending; None for all.

    Returns:
        (k,) int32 rows and (k,) float32 cosines. An item without a direction, all zeros, is like no other.
    """
    rows = np.arange(len(vectors), dtype=np.int32) if candidates is None else candidates
    lengths = np.linalg.norm(vectors[rows], axis=1)
    cosines = np.full(len(rows), -np.inf, np.float32)
    length = np.linalg.norm(vectors[item])
    known = (lengths > 0) & (rows != item) & (length > 0)
    cosines[known] = vectors[rows[known]] @ vectors[item] / (lengths[known] * length)
    (places,), _ = top_n(cosines[None], n)
    places = places[places >= 0]
    return rows[places], cosines[places]
