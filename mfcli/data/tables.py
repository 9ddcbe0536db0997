"""The tables of the data stage as parquet files: written, and checked when they are read."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

Columns = dict[str, tuple[str, ...]]
"""Name -> the types that the column may have, as pyarrow calls them; in the order of the table."""

RATINGS: Columns = {"user": ("int32",), "item": ("int32",), "rating": ("float",), "timestamp": ("int64",)}
_WHO: Columns = {"index": ("int32",), "id": ("int64", "string")}
_COUNTED: Columns = {
    "ratings": ("int32",),
    "train_ratings": ("int32",),
    "features": ("list<element: string>", "list<item: string>"),
}
USERS = _WHO | _COUNTED
ITEMS = _WHO | {"title": ("string",), "genres": ("string",), "year": ("int16",)} | _COUNTED
MAY_BE_ABSENT = ("timestamp",)
MAY_BE_NULL = ("year",)


def write_table(table: Any, path: Path) -> None:
    """Write a pyarrow table."""
    import pyarrow.parquet as pq

    with path.open("wb") as file:  # pyarrow cannot open every path that Python can
        pq.write_table(table, file)


def read_table(content: bytes, columns: Columns) -> Any:
    """The pyarrow table in a parquet file's bytes. Raises ValueError if it has not these columns, or no row."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # pq.read_table would import pandas on its way. No threads: one that still held our bytes when a closed pipe
        # ended the process would abort it.
        table = pq.ParquetFile(io.BytesIO(content), pre_buffer=False).read(use_threads=False)
        table.validate(full=True)
    except (pa.ArrowException, OSError, KeyError, TypeError) as error:
        raise ValueError(f"no parquet file that can be read ({error})") from None
    wanted = [name for name in columns if name in table.column_names or name not in MAY_BE_ABSENT]
    if table.column_names != wanted:
        raise ValueError(f"its columns are {', '.join(table.column_names)}, not {', '.join(wanted)}")
    for field in table.schema:
        if str(field.type) not in columns[field.name]:
            raise ValueError(f"its column {field.name} is {field.type}, not {' or '.join(columns[field.name])}")
        if table[field.name].null_count and field.name not in MAY_BE_NULL:
            raise ValueError(f"its column {field.name} has gaps")
    if not len(table):
        raise ValueError("it has no rows")
    return table


def read_rows(content: bytes, columns: Columns, count: int) -> Any:
    """The table of so many users or items, each with an id of its own, in order. Raises ValueError."""
    table = read_table(content, columns)
    if len(table) != count:
        raise ValueError(f"it has {len(table):,} rows, not {count:,}")
    index, all_, train = (numbers(table[name]) for name in ("index", "ratings", "train_ratings"))
    if (index != np.arange(count)).any():
        raise ValueError("its rows are not in order")
    if not _distinct(table["id"]):
        raise ValueError("two rows have the same id")
    if (train < 0).any() or (all_ < train).any():
        raise ValueError("its counts are not those of ratings")
    return table


def _distinct(ids: Any) -> bool:
    """Whether no two of a column's ids are the same. (Not ``unique``, which imports all that pyarrow can compute.)"""
    if str(ids.type) == "string":
        return len(set(ids.to_pylist())) == len(ids)
    ordered = np.sort(numbers(ids), kind="stable")  # which is quick where they are in order
    return bool((ordered[1:] != ordered[:-1]).all())


def numbers(column: Any) -> Any:
    """A pyarrow column of numbers as a NumPy array of one's own. (Not ``to_numpy``, which imports pandas.)"""
    chunks = column.chunks or [column.combine_chunks()]
    return np.concatenate([np.from_dlpack(chunk) for chunk in chunks])


def undressed(column: Any) -> Any:
    """A pyarrow column of plain values: no dictionary, and texts of any kind as strings."""
    import pyarrow as pa

    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if str(kind) in ("large_string", "string_view", "binary", "large_binary", "binary_view"):
        kind = pa.string()
    return column if column.type == kind else column.cast(kind)


def to_arrow(values: Any) -> Any:
    """A pyarrow array of a NumPy array of numbers, or of texts. (Not ``pa.array``, which imports pandas.)"""
    import pyarrow as pa

    if isinstance(values, np.ndarray) and values.dtype != object:
        buffer = pa.py_buffer(np.ascontiguousarray(values))
        return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, buffer])
    if isinstance(values, pa.Array):
        return values
    texts = [text.encode() for text in values]
    return pa.StringArray.from_buffers(len(texts), pa.py_buffer(_ends(texts)), pa.py_buffer(b"".join(texts)))


def lists_to_arrow(lists: Sequence[Sequence[str]], kind: Any) -> Any:
    """A pyarrow array of lists of texts, of that type."""
    import pyarrow as pa

    texts = [text for one in lists for text in one]
    return pa.ListArray.from_arrays(to_arrow(_ends(lists)), to_arrow(texts), type=kind)


def years_to_arrow(years: Sequence[int | None]) -> Any:
    """A pyarrow array of int16 with gaps."""
    import pyarrow as pa

    known = np.packbits([year is not None for year in years], bitorder="little")
    values = np.array([year or 0 for year in years], np.int16)
    return pa.Array.from_buffers(pa.int16(), len(years), [pa.py_buffer(known), pa.py_buffer(values)])


def _ends(values: Sequence[Any]) -> Any:
    """(n + 1,) int32: 0, and where each of n texts or lists ends, if they stand one behind the other."""
    return np.cumsum([0, *map(len, values)], dtype=np.int32)
