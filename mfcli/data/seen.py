"""The items that every user has rated, kept so that those of one are read without those of the others."""

from pathlib import Path
from typing import IO

import numpy as np

from mfcli.arrays import Int32s, Int64s
from mfcli.data.ratings import ItemLists, Parts, Ratings
from mfcli.data.tables import to_arrow

FILE = "seen.parquet"
USERS_AT_ONCE = 4096  # those of a row group, of which all or none are read


def write_seen(parts: Parts[Ratings], path: Path) -> None:
    """Write a row for every user: the rows of the items that they rated in any part, ascending."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    n_users, n_items = parts.train.n_users, parts.train.n_items
    pairs = np.concatenate([part.users.astype(np.int64) * n_items + part.items for part in parts])
    pairs.sort()
    ends = np.searchsorted(pairs, np.arange(n_users + 1) * n_items).astype(np.int32)
    lists = pa.ListArray.from_arrays(to_arrow(ends), to_arrow((pairs % n_items).astype(np.int32)))
    with path.open("wb") as file:
        pq.write_table(pa.table({"items": lists}), file, row_group_size=USERS_AT_ONCE)


def read_seen(file: IO[bytes], users: Int64s, counts: Int32s, n_items: int) -> ItemLists:
    """What some users have rated; the lists of others may be empty.

    Args:
        file: as :func:`write_seen` wrote it.
        users: (n,) rows of users.
        counts: (n_users,) how many ratings every user has.
        n_items: how many items there are.

    Raises:
        ValueError: it is no such file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    wanted = np.zeros(-(-len(counts) // USERS_AT_ONCE), bool)
    wanted[users // USERS_AT_ONCE] = True
    read = wanted[np.arange(len(counts)) // USERS_AT_ONCE]
    try:
        reader = pq.ParquetFile(file, pre_buffer=False)
        table = reader.read_row_groups(np.flatnonzero(wanted).tolist(), columns=["items"], use_threads=False)
        table.validate(full=True)
        lists = table["items"].combine_chunks()
        if lists.values.type != pa.int32():
            raise ValueError(f"its column items is {lists.type}")
        items: Int32s
        # The array's own sizes and items (value_lengths, flatten) would import all that pyarrow can compute.
        ends, items = (np.asarray(np.from_dlpack(one), np.int32) for one in (lists.offsets, lists.values))
    except (pa.ArrowException, OSError, KeyError, TypeError, AttributeError, BufferError) as error:
        raise ValueError(f"no parquet file of items that can be read ({error})") from None
    if lists.null_count or not np.array_equal(np.diff(ends), counts[read]):
        raise ValueError("its lists are not as long as the users have ratings")
    if len(items) and not 0 <= items.min() <= items.max() < n_items:
        raise ValueError("it has items that there are not")
    starts = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(np.where(read, counts, 0), out=starts[1:])
    return ItemLists(starts, items[ends[0] : ends[-1]].copy())
