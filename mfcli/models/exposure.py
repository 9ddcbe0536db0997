"""Exposure: how likely a user is to meet an item at all, learnt from who rated what.

A user with n training ratings has a row x with (1 + 0.2 z) n^-0.25 where they rated an item, and 0 elsewhere; z is the
rating in standard deviations from the mean. EASE (Steck, WWW 2019) predicts every entry of the rows from the others by
ridge regression, and its prediction for an item without a rating has a closed form. With X ≈ P S Vᵀ, cut to the largest
singular values as in PureSVD (Cremonesi, Koren and Turrin, RecSys 2010), D = S² / (S² + λ) and h = diag(V D Vᵀ):

    exposure of the user to item j = (x V D) · V_j / (1 - h_j)

No array is as large as items × items. The constants were chosen on validation parts of MovieLens.
"""

import contextlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from mfcli.arrays import Float32s, Float64s, Int32s, Int64s
from mfcli.data.ratings import Ratings, Sides
from mfcli.models.products import products
from mfcli.models.tensors import packed, unpacked
from mfcli.record import Guard
from mfcli.threads import one_blas_thread

FILE = "exposure.safetensors"
RANK = 256  # of the decomposition
LIKING = 0.2  # more of a rating for every standard deviation above the mean
EXTREME = 3.0  # standard deviations that count at the most, so that every rating counts for something
ACTIVITY = 0.25  # power of a user's number of ratings that their row is divided by
SHRINKAGE = 2.0  # λ in units of the largest squared singular value of noise as large as X
DENSE = 512  # rows or columns up to which all singular vectors are computed
LAYOUT = {
    "user_vectors": "float32 users rank",
    "item_vectors": "float32 items rank",
    "shares": "float32 rank",
    "leverages": "float32 items",
}
SCALARS = {"mean": float, "std": float}


@dataclass(frozen=True)
class Exposure:
    """How likely users are to meet items.

    Attributes:
        mean, std: of the training ratings.
        vectors: (n, r) float32 of users, x V D, and of items, V_j / (1 - h_j): their product is the exposure. Users
            without training ratings have the average user's vector, whose exposures are about the items' popularity.
        shares: (r,) float32 D.
        leverages: (n_items,) float32 h, below 1; 1 of new items, which tell nothing of others.
    """

    mean: float
    std: float
    vectors: Sides[Float32s]
    shares: Float32s
    leverages: Float32s

    @property
    def n_items(self) -> int:
        return len(self.vectors.items)

    @property
    def rank(self) -> int:
        """r, how many directions it keeps."""
        return len(self.shares)

    def scores(self, users: Int64s) -> Float32s:
        """(len(users), n_items) float32: the exposures of these rows of users to every item."""
        exposures: Float32s = self.vectors.users[users] @ self.vectors.items.T
        return exposures

    def exact(self, users: npt.NDArray[Any], items: npt.NDArray[Any]) -> Float64s:
        """(n,) float64: the exposures of (n,) pairs of rows, which do not depend on what else is asked for."""
        return products(self.vectors, users, items)

    def of_items(self, rows: Int32s) -> "Exposure":
        """The exposure to these (m,) rows of items alone."""
        vectors = Sides(self.vectors.users, self.vectors.items[rows])
        return replace(self, vectors=vectors, leverages=self.leverages[rows])

    def with_newcomer(self, items: Int32s, ratings: Float32s) -> "Exposure":
        """The same items with one user, row 0, whose vector is that of (n,) ``ratings`` of (n,) rows of ``items``."""
        if len(items):
            vector = self._weights(ratings) @ self._loadings(items) * self.shares
        else:
            vector = np.asarray(self.vectors.users).mean(0)
        return replace(self, vectors=Sides(vector.astype(np.float32)[None], self.vectors.items))

    def why(self, items: Int32s, ratings: Float32s, item: int) -> Float64s:
        """(n,) float64: what each of a user's (n,) rated ``items`` adds to their exposure to ``item``."""
        shares: Float64s = self._weights(ratings) * (self._loadings(items) * self.shares @ self.vectors.items[item])
        return shares

    @property
    def profiles(self) -> Float32s:
        """(n_items, r) float32 V D: the cosine of two is that of all weights that EASE gives to the two items."""
        return (self._loadings(np.arange(self.n_items)) * self.shares).astype(np.float32)

    def _loadings(self, items: npt.NDArray[Any]) -> Float64s:
        """(n, r) float64: the rows V of these items."""
        loadings: Float64s = self.vectors.items[items] * (1 - self.leverages[items].astype(np.float64))[:, None]
        return loadings

    def _weights(self, ratings: Float32s) -> Float64s:
        """(n,) float64: the row x of a user with these (n,) ratings, where it is not 0."""
        weights: Float64s = _liking(ratings, self.mean, self.std) * len(ratings) ** -ACTIVITY
        return weights

    def to_bytes(self) -> bytes:
        """The exposure as a safetensors file."""
        arrays = {"user_vectors": self.vectors.users, "item_vectors": self.vectors.items}
        arrays |= {"shares": self.shares, "leverages": self.leverages}
        return packed(arrays, {"mean": self.mean, "std": self.std})

    @classmethod
    def from_bytes(cls, content: bytes) -> "Exposure":
        """The exposure that :meth:`to_bytes` wrote. Raises ValueError if it is none."""
        exposure = cls.from_file(io.BytesIO(content))
        return replace(exposure, vectors=Sides(*map(np.asarray, exposure.vectors)))

    @classmethod
    def from_file(cls, file: IO[bytes], guard: Guard = contextlib.nullcontext) -> "Exposure":
        """The same from a file that stays open; of users a :class:`FileRows`, which reads within ``guard``."""

        def made(arrays: Mapping[str, npt.NDArray[Any]], scalars: Mapping[str, Any]) -> Exposure:
            others: dict[str, Any] = {**arrays, **scalars}
            exposure = cls(vectors=Sides(others.pop("user_vectors"), others.pop("item_vectors")), **others)
            shares, leverages = exposure.shares, exposure.leverages
            if exposure.std <= 0 or (leverages < 0).any() or (leverages >= 1).any() or abs(shares - 0.5).max() > 0.5:
                raise ValueError("its standard deviation, shares or leverages are what no exposure has")
            return exposure

        return unpacked(file, LAYOUT, SCALARS, made, guard)


def learn(train: Ratings, rank: int = RANK) -> Exposure:
    """The exposure of all users and items, from the training part alone. The same ratings, the same bytes.

    Args:
        train: at least one rating.
        rank: of the decomposition, at most.
    """
    from scipy.sparse import csr_matrix

    mean, std = float(train.ratings.mean(dtype=np.float64)), float(train.ratings.std(dtype=np.float64)) or 1.0
    counts = train.user_counts()
    values = _liking(train.ratings, mean, std) * counts[train.users] ** -ACTIVITY
    matrix = csr_matrix((values.astype(np.float32), (train.users, train.items)), (train.n_users, train.n_items))
    # Noise as large as X, of any kind, has about this as its largest squared singular value.
    noise = (np.linalg.norm(values) * (train.n_users**-0.5 + train.n_items**-0.5)) ** 2
    with one_blas_thread():  # which is faster here than several
        squares, loadings = directions(matrix, rank)
        shares = squares / (squares + SHRINKAGE * noise)
        users = (matrix @ loadings.astype(np.float32)) * shares.astype(np.float32)
    users[counts == 0] = users[counts > 0].mean(0)
    leverages = loadings**2 @ shares
    items = loadings / (1 - leverages)[:, None]
    return Exposure(
        mean=mean,
        std=std,
        vectors=Sides(users, items.astype(np.float32, order="C")),
        shares=shares.astype(np.float32),
        leverages=leverages.astype(np.float32),
    )


def directions(matrix: Any, rank: int) -> tuple[Float64s, Float64s]:
    """The leading right singular vectors of a matrix, the same on every run.

    Args:
        matrix: (rows, columns) float32 ``scipy.sparse.csr_matrix`` with no negative entry.
        rank: how many, at most: there are no more than the matrix has directions.

    Returns:
        (r,) float64 squared singular values, the largest first, and (columns, r) float64 singular vectors, in which the
        largest entry of each is positive.
    """
    from scipy.sparse.linalg import svds

    if min(matrix.shape) <= max(DENSE, rank):
        squares, vectors = _all_directions(matrix.astype(np.float64))
    else:
        # ARPACK starts at random by default. Nothing is lost in float32, where it takes half the time.
        _, singular, rows = svds(matrix, rank, v0=np.ones(min(matrix.shape), np.float32), return_singular_vectors="vh")
        squares, vectors = singular.astype(np.float64) ** 2, rows.T.astype(np.float64)
    order = np.argsort(-squares, kind="stable")[:rank]
    order = order[squares[order] > 1e-6 * squares.max()]
    squares, vectors = squares[order], vectors[:, order]
    largest = np.abs(vectors).argmax(0)
    return squares, vectors * np.where(vectors[largest, np.arange(len(order))] < 0, -1.0, 1.0)


def _all_directions(matrix: Any) -> tuple[Float64s, Float64s]:
    """All squared singular values and right singular vectors, by the products of the shorter side's rows."""
    wide = matrix.shape[0] <= matrix.shape[1]
    squares, vectors = np.linalg.eigh((matrix @ matrix.T if wide else matrix.T @ matrix).toarray())
    if wide:
        vectors = (matrix.T @ vectors) / np.sqrt(np.maximum(squares, np.finfo(np.float64).tiny))
    return squares, vectors


def _liking(ratings: Float32s, mean: float, std: float) -> Float64s:
    """What a rating counts for in a user's row: 1 if it is the mean, more if the item was liked; always positive."""
    weights: Float64s = 1 + LIKING * np.clip((ratings.astype(np.float64) - mean) / std, -EXTREME, EXTREME)
    return weights
