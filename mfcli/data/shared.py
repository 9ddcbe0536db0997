"""The training part among several processes: each one's share of it, read from its file a piece at a time."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import IO, Any

import numpy as np

from mfcli.arrays import Bools, Float32s, Int32s
from mfcli.data.prepared import Prepared
from mfcli.data.ratings import Ratings, Sides, Summary

AT_ONCE = 2**17  # ratings read at a time

Chosen = Callable[[Ratings, int], Sides[Bools]]
"""Says which ratings a process wants for its own users, and which for its own items: of some ratings, the first of
which is the training part's of that number, two masks."""


@dataclass(frozen=True)
class SharedRatings:
    """The training part as one of several processes has it: what is known of all of it, and how to read the rest.

    It stands in for the :class:`Ratings`, and keeps none in memory.

    Attributes:
        summary: of all ratings.
        typical: their median.
        counts: (n_users,) and (n_items,) int32 ratings of each user and item, of all.
        timed: whether it is known when they were given.
        read: reads the ratings of this process's users, and of its items, in the order in which the whole has them.
        whole: reads all of them.
    """

    summary: Summary
    typical: float
    counts: Sides[Int32s]
    timed: bool
    read: Callable[[], Sides[Ratings]]
    whole: Callable[[], Ratings]

    @classmethod
    def of(cls, ratings: Ratings, chosen: Chosen) -> "SharedRatings":
        """From all ratings, what one process is to have."""

        def read() -> Sides[Ratings]:
            return Sides(*(ratings.take(mask) for mask in chosen(ratings, 0)))

        return cls(ratings.summary, ratings.median(), ratings.counts, ratings.timed, read, lambda: ratings)

    @property
    def mine(self) -> Sides[Ratings]:
        """As :class:`Ratings` has it, read anew each time."""
        return self.read()

    @property
    def n_users(self) -> int:
        return len(self.counts.users)

    @property
    def n_items(self) -> int:
        return len(self.counts.items)

    def __len__(self) -> int:
        return int(self.counts.users.sum(dtype=np.int64))

    def median(self) -> float:
        """As :class:`Ratings` has it."""
        return self.typical

    def user_counts(self) -> Int32s:
        """As :class:`Ratings` has it."""
        return self.counts.users

    def item_counts(self) -> Int32s:
        """As :class:`Ratings` has it."""
        return self.counts.items

    def divided(self, scale: float) -> "SharedRatings":
        """As :class:`Ratings` has it."""

        def read() -> Sides[Ratings]:
            return Sides(*(ratings.divided(scale) for ratings in self.read()))

        summary, typical = self.summary.divided(scale), self.typical / scale
        return replace(self, summary=summary, typical=typical, read=read, whole=lambda: self.whole().divided(scale))


@dataclass(frozen=True)
class TrainFile:
    """The training part's file, open: what is read stays the same when other data are prepared meanwhile.

    Attributes:
        file: the parquet file, open and checked.
        prepared: the data that it belongs to.
        times: whether to read when the ratings were given.
    """

    file: IO[bytes]
    prepared: Prepared
    times: bool

    def _reader(self) -> Any:
        import pyarrow.parquet as pq

        self.file.seek(0)
        return pq.ParquetFile(self.file, pre_buffer=False)

    @property
    def timed(self) -> bool:
        """Whether it is known when they were given, and read."""
        return self.times and "timestamp" in self._reader().schema_arrow.names

    def _pieces(self, *columns: str) -> Iterator[Any]:
        """Some columns of the ratings in order, as pyarrow tables of not too many rows."""
        import pyarrow as pa

        for batch in self._reader().iter_batches(AT_ONCE, columns=columns, use_threads=False):
            yield pa.Table.from_batches([batch])

    def _ratings(self) -> Iterator[Ratings]:
        """The ratings in order, not too many at a time."""
        left_out = set() if self.times else {"timestamp"}
        for piece in self._pieces(*(name for name in self._reader().schema_arrow.names if name not in left_out)):
            yield Ratings.from_arrow(piece, self.prepared.n_users, self.prepared.n_items)

    def read(self, chosen: Chosen) -> Sides[Ratings]:
        """The ratings that a process wants for its users and for its items."""
        begin = 0
        found: Sides[list[Ratings]] = Sides([], [])
        for ratings in self._ratings():
            for kept, mask in zip(found, chosen(ratings, begin), strict=True):
                kept.append(ratings.take(mask))
            begin += len(ratings)
        return Sides(*(Ratings.joined(kept) for kept in found))

    def whole(self) -> Ratings:
        """All of the ratings."""
        return Ratings.joined(list(self._ratings()))

    def summarized(self) -> tuple[Summary, float]:
        """What is known of the ratings as a whole, and their median."""
        pieces = (piece["rating"].combine_chunks() for piece in self._pieces("rating"))
        values: Float32s = np.concatenate([np.from_dlpack(piece) for piece in pieces])
        return Summary.of(values), float(np.median(values))
