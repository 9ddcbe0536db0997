"""Who rated what, as features of users and of items.

X is 1 where a user rated an item and 0 elsewhere. Of its truncated singular value decomposition P S Vᵀ a user's
features are their row of P S over √n, and an item's its row of V S over √n, with n the row's ratings: the leading
directions of X's row over √n, whose length is 1. (SVD++ takes the whole row: Koren, KDD 2008.)
"""

from dataclasses import dataclass

import numpy as np

from mfcli.data.ratings import Float32s, Int32s, Ratings, Sides

WIDTH = 100  # directions kept
NOTHING = 1e-4  # of the largest singular value: what is below has no direction but rounding's


@dataclass(frozen=True)
class Exposures:
    """Features from who rated what, of w directions.

    Attributes:
        rows: (n_users, w) and (n_items, w) float32; zeros for a row without ratings.
        basis: (n_items, w) float32 V: the features of somebody new who rated n items are the sum of these rows over √n.
    """

    rows: Sides[Float32s]
    basis: Float32s


def exposures(train: Ratings) -> Exposures | None:
    """Those of the ratings to learn from, however they rate; None where there are too few users or items for any."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.linalg import svds

    shape = train.n_users, train.n_items
    width = min(WIDTH, min(shape) - 1)
    if width < 1:
        return None
    rated = csr_matrix((np.ones(len(train), np.float32), (train.users, train.items)), shape=shape)
    rated.data[:] = 1  # also where somebody rated an item twice
    left, values, right = svds(rated, width, v0=np.ones(min(shape), np.float32))
    order = [at for at in np.argsort(-values, kind="stable") if values[at] > NOTHING * values.max()]
    users, strengths, items = left[:, order], values[order], right[order].T
    signs = np.sign(items[np.abs(items).argmax(0), np.arange(len(order))])
    basis = np.ascontiguousarray(items * signs, np.float32)
    rows = Sides(users * signs * strengths, basis * strengths)
    counts = Sides(train.user_counts(), train.item_counts())
    scaled = (_over_root(side, count) for side, count in zip(rows, counts, strict=True))
    return Exposures(Sides(*scaled), basis)


def _over_root(rows: Float32s, counts: Int32s) -> Float32s:
    """(n, w) rows over the square roots of their (n,) counts; zeros where the count is 0."""
    weights = np.where(counts > 0, 1 / np.sqrt(np.maximum(counts, 1)), 0).astype(np.float32)
    return np.ascontiguousarray(rows * weights[:, None], np.float32)
