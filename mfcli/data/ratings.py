"""Ratings in memory and as parquet: who rated what how, and when."""

import io
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from mfcli.errors import DataError

T = TypeVar("T")

Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]
Float32s = npt.NDArray[np.float32]


def read_table(content: bytes) -> Any:
    """The pyarrow table in a parquet file's bytes. (``pq.read_table`` would import pandas on its way.)"""
    import pyarrow.parquet as pq

    # No threads: one that still held our bytes when a closed pipe ended the process would abort it.
    return pq.ParquetFile(io.BytesIO(content), pre_buffer=False).read(use_threads=False)


class Sides(NamedTuple, Generic[T]):
    """The same thing of the users and of the items."""

    users: T
    items: T


class ItemLists(NamedTuple):
    """A list of items for every user, as compressed rows.

    Attributes:
        starts: (n_users + 1,) int64.
        items: (n,) int32; ``items[starts[u]:starts[u + 1]]`` are those of user u.
    """

    starts: Int64s
    items: Int32s

    @classmethod
    def of_pairs(cls, users: Int32s, items: Int32s, n_users: int) -> "ItemLists":
        """The lists of (n,) pairs of a user and an item, each in the order of the pairs."""
        order = np.argsort(users, kind="stable")
        starts = np.zeros(n_users + 1, np.int64)
        np.cumsum(np.bincount(users, minlength=n_users), out=starts[1:])
        return cls(starts, items[order])

    def of(self, user: int | np.int64) -> Int32s:
        """The items of one user."""
        return self.items[self.starts[user] : self.starts[user + 1]]


@dataclass(frozen=True)
class Ratings:
    """n ratings of dense users and items.

    Attributes:
        users: (n,) int32, row of the users table.
        items: (n,) int32, row of the items table.
        ratings: (n,) float32, finite.
        timestamps: (n,) int64 seconds since 1970, or None.
        n_users: rows of the users table, whether they occur here or not.
        n_items: rows of the items table.
    """

    users: Int32s
    items: Int32s
    ratings: Float32s
    n_users: int
    n_items: int
    timestamps: Int64s | None = None

    def __post_init__(self) -> None:
        n = len(self.ratings)
        if len(self.users) != n or len(self.items) != n:
            raise ValueError("users, items and ratings differ in length")
        for ids, size, what in ((self.users, self.n_users, "user"), (self.items, self.n_items, "item")):
            if n and (ids.min() < 0 or ids.max() >= size):
                raise DataError(f"a rating's {what} is not a row of the {what}s table")

    def __len__(self) -> int:
        return len(self.ratings)

    def take(self, rows: npt.NDArray[Any]) -> "Ratings":
        """The ratings at these rows (indices or a mask), in this order."""
        timestamps = None if self.timestamps is None else self.timestamps[rows]
        return Ratings(self.users[rows], self.items[rows], self.ratings[rows], self.n_users, self.n_items, timestamps)

    def user_counts(self) -> Int32s:
        """(n_users,) int32: ratings of each user."""
        return np.bincount(self.users, minlength=self.n_users).astype(np.int32)

    def item_counts(self) -> Int32s:
        """(n_items,) int32: ratings of each item."""
        return np.bincount(self.items, minlength=self.n_items).astype(np.int32)

    def by_user(self) -> "ItemLists":
        """The items that every user rated."""
        return ItemLists.of_pairs(self.users, self.items, self.n_users)

    def to_parquet(self) -> Any:
        """A pyarrow table of the columns user, item, rating and, if known, timestamp."""
        import pyarrow as pa

        columns: dict[str, Any] = {"user": self.users, "item": self.items, "rating": self.ratings}
        if self.timestamps is not None:
            columns["timestamp"] = self.timestamps
        return pa.table(columns)

    @classmethod
    def from_parquet(cls, content: bytes, n_users: int, n_items: int) -> "Ratings":
        """The ratings that :meth:`to_parquet` wrote."""
        table = read_table(content)
        # Not to_numpy, which imports pandas; and copies, since torch wants arrays that can be written to.
        columns: dict[str, Any] = {
            name: np.from_dlpack(table[name].combine_chunks()).copy() for name in table.column_names
        }
        return cls(columns["user"], columns["item"], columns["rating"], n_users, n_items, columns.get("timestamp"))


@dataclass(frozen=True)
class TrainingData:
    """What a solver is built from.

    Attributes:
        train: the ratings to learn from.
        validation: those by which an epoch is judged, or None.
    """

    train: Ratings
    validation: Ratings | None = None
