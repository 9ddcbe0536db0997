"""The training part from its file, a piece at a time: what one of several processes wants of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from mfcli.arrays import Float32s
from mfcli.data.prepared import Prepared
from mfcli.data.ratings import Chosen, Ratings, Sides, Summary

AT_ONCE = 2**17  # ratings read at a time


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
        columns = ("user", "item", "rating", *(("timestamp",) if self.timed else ()))
        for piece in self._pieces(*columns):
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

    def told(self) -> tuple[Summary, float]:
        """What is known of the ratings as a whole, and their median."""
        pieces = (piece["rating"].combine_chunks() for piece in self._pieces("rating"))
        values: Float32s = np.concatenate([np.from_dlpack(piece) for piece in pieces])
        return Summary.of(values), float(np.median(values))
