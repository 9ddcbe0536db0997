"""Ratings in memory: who rated what how, and when."""

import functools
import hashlib
import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, NamedTuple, Self, TypeVar

import numpy as np
import numpy.typing as npt

from mfcli.arrays import Float32s, Int32s, Int64s
from mfcli.data.tables import RATINGS, numbers, to_arrow

T = TypeVar("T")


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
    def from_pairs(cls, users: Int32s, items: Int32s, n_users: int) -> "ItemLists":
        """The lists of (n,) pairs of a user and an item, each in the order of the pairs."""
        order = np.argsort(users, kind="stable")
        starts = np.zeros(n_users + 1, np.int64)
        np.cumsum(np.bincount(users, minlength=n_users), out=starts[1:])
        return cls(starts, items[order])

    def for_user(self, user: int | np.int64) -> Int32s:
        """(k,) int32: the items of one user."""
        return self.items[self.starts[user] : self.starts[user + 1]]

    def among(self, rows: Int32s) -> "ItemLists":
        """The lists with only these (m,) rows of items, each called by its place in ``rows``."""
        places = np.full(max(self.items.max(initial=-1), rows.max(initial=-1)) + 1, -1, np.int32)
        places[rows] = np.arange(len(rows), dtype=np.int32)
        items = places[self.items]
        kept = items >= 0
        return ItemLists(np.append(0, np.cumsum(kept))[self.starts], items[kept])


class Parts(NamedTuple, Generic[T]):
    """The same thing of the three parts of the ratings. Without validation, ``val`` is empty."""

    train: T
    val: T
    test: T


@dataclass(frozen=True)
class Summary:
    """What is known of ratings as a whole.

    Attributes:
        mean, variance, minimum, maximum: of the ratings.
    """

    mean: float
    variance: float
    minimum: float
    maximum: float

    @classmethod
    def of(cls, ratings: Float32s) -> "Summary":
        """That of (n,) ratings, at least one."""
        mean, variance = float(ratings.mean(dtype=np.float64)), float(ratings.var(dtype=np.float64))
        return cls(mean, variance, float(ratings.min()), float(ratings.max()))

    @property
    def std(self) -> float:
        """Standard deviation."""
        return math.sqrt(self.variance)

    @property
    def largest(self) -> float:
        """The largest absolute value."""
        return max(abs(self.minimum), abs(self.maximum))

    @property
    def alike(self) -> bool:
        """Whether all ratings are the same."""
        return self.minimum == self.maximum

    def divided(self, scale: float) -> "Summary":
        """That of the ratings divided by a power of two."""
        return Summary(
            self.mean / scale, self.variance / scale**2, *(bound / scale for bound in (self.minimum, self.maximum))
        )


COLUMNS = {f"{name}s": name for name in RATINGS}
"""Fields of :class:`Ratings` with an entry a rating -> their columns in files."""

UNKNOWN = Summary(math.nan, math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class Ratings:
    """n ratings of dense users and items.

    Attributes:
        users: (n,) int32, row of the users table.
        items: (n,) int32, row of the items table.
        ratings: (n,) float32, finite; of clicks their weights, above 0: how often, how long or how much.
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

    columns: ClassVar[tuple[str, ...]] = tuple(COLUMNS)  # fields with an entry a rating

    def __post_init__(self) -> None:
        n = len(self.ratings)
        if len(self.users) != n or len(self.items) != n:
            raise ValueError("users, items and ratings differ in length")
        for ids, size, what in ((self.users, self.n_users, "user"), (self.items, self.n_items, "item")):
            if n and (ids.min() < 0 or ids.max() >= size):
                raise ValueError(f"a rating's {what} is not a row of the {what}s table")

    def __len__(self) -> int:
        return len(self.ratings)

    def take(self, rows: npt.NDArray[Any]) -> Self:
        """The ratings at these rows (indices or a mask), in this order."""
        return replace(self, **{name: values[rows] for name, values in self.known.items()})

    @property
    def known(self) -> dict[str, npt.NDArray[Any]]:
        """The fields with an entry a rating, those that are there."""
        return {name: values for name in self.columns if (values := getattr(self, name)) is not None}

    def digest(self) -> str:
        """SHA-256 over who rated what how: the same ratings in the same order and rows, the same digest."""
        columns = (self.users.astype("<i4"), self.items.astype("<i4"), self.ratings.astype("<f4"))
        return hashlib.sha256(b"".join(column.tobytes() for column in columns)).hexdigest()

    @functools.cached_property
    def summary(self) -> Summary:
        """What is known of them as a whole."""
        return Summary.of(self.ratings)

    def median(self) -> float:
        """Of the ratings."""
        return float(np.median(self.ratings.astype(np.float64)))

    @property
    def counts(self) -> "Sides[Int32s]":
        """(n_users,) and (n_items,) int32: ratings of every user and of every item."""
        return Sides(self.user_counts(), self.item_counts())

    @property
    def timed(self) -> bool:
        """Whether it is known when they were given."""
        return self.timestamps is not None

    @classmethod
    def joined(cls, pieces: "list[Ratings]") -> "Ratings":
        """The ratings of some pieces, at least one, one after the other; the list is emptied."""
        first = pieces[0]
        whole: dict[str, Any] = {
            name: np.concatenate([getattr(piece, name) for piece in pieces]) for name in first.known
        }
        pieces.clear()
        return replace(first, **whole)

    @property
    def mine(self) -> "Sides[Ratings]":
        """Those of the rows that are this process's own: all."""
        return Sides(self, self)

    def whole(self) -> "Ratings":
        """All of them."""
        return self

    def divided(self, scale: float) -> "Ratings":
        """The same with every rating divided by a power of two."""
        return replace(self, ratings=self.ratings / np.float32(scale))

    def user_counts(self) -> Int32s:
        """(n_users,) int32: ratings of each user."""
        return np.bincount(self.users, minlength=self.n_users).astype(np.int32)

    def item_counts(self) -> Int32s:
        """(n_items,) int32: ratings of each item."""
        return np.bincount(self.items, minlength=self.n_items).astype(np.int32)

    def by_user(self) -> "ItemLists":
        """The items that every user rated."""
        return ItemLists.from_pairs(self.users, self.items, self.n_users)

    def to_arrow(self) -> Any:
        """A pyarrow table of the columns user, item, rating and, if known, timestamp."""
        import pyarrow as pa

        known = self.known
        return pa.table({column: to_arrow(known[name]) for name, column in COLUMNS.items() if name in known})

    @classmethod
    def from_arrow(cls, table: Any, n_users: int, n_items: int) -> "Ratings":
        """The ratings in a table that :meth:`to_arrow` made."""
        known = {name: numbers(table[column]) for name, column in COLUMNS.items() if column in table.column_names}
        return Ratings(**known, n_users=n_users, n_items=n_items)
