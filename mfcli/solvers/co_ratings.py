"""Co-ratings: who rated what, as features of users and of items. ``--side`` calls them exposure.

X is 1 where a user rated an item and 0 elsewhere. Of its truncated singular value decomposition P S Vᵀ a user's
features are their row of P S over √n, and an item's its row of V S over √n, with n the row's ratings: the leading
directions of X's row over √n, whose length is 1. (SVD++ takes the whole row: Koren, KDD 2008.)
"""

from dataclasses import dataclass

import numpy as np

from mfcli.arrays import Float32s, Int32s
from mfcli.data.ratings import Ratings, Sides
from mfcli.data.shared import SharedRatings
from mfcli.models.exposure import directions
from mfcli.solvers.compute import Compute

WIDTH = 100  # directions kept
KIND = "exposure"  # what --side calls them


@dataclass(frozen=True)
class CoRatings:
    """Features of w directions.

    Attributes:
        rows: (n_users, w) and (n_items, w) float32; zeros for a row without ratings.
        basis: (n_items, w) float32 V: the features of somebody new who rated n items are the sum of these rows over √n.
    """

    rows: Sides[Float32s]
    basis: Float32s


def co_ratings(train: Ratings) -> CoRatings:
    """Features of the ratings to learn from, however they rate."""
    from scipy.sparse import csr_matrix

    shape = train.n_users, train.n_items
    rated = csr_matrix((np.ones(len(train), np.float32), (train.users, train.items)), shape=shape)
    rated.data[:] = 1  # also where somebody rated an item twice
    squares, loadings = directions(rated, WIDTH)
    basis = np.ascontiguousarray(loadings, np.float32)
    users = _over_root(rated @ basis, train.user_counts())
    items = _over_root(basis * np.sqrt(squares).astype(np.float32), train.item_counts())
    return CoRatings(Sides(users, items), basis)


def shared_co_ratings(train: Ratings | SharedRatings, compute: Compute) -> CoRatings:
    """The same in every process. Rank 0 reads all ratings for it."""

    def made() -> dict[str, Float32s]:
        found = co_ratings(train.whole())
        return {"users": found.rows.users, "items": found.rows.items, "basis": found.basis}

    arrays = compute.arrays(made)
    return CoRatings(Sides(arrays["users"], arrays["items"]), arrays["basis"])


def _over_root(rows: Float32s, counts: Int32s) -> Float32s:
    """(n, w) rows over the square roots of their (n,) counts; zeros where the count is 0."""
    weights = np.where(counts > 0, 1 / np.sqrt(np.maximum(counts, 1)), 0).astype(np.float32)
    return np.ascontiguousarray(rows * weights[:, None], np.float32)
