"""Reading other people's ratings: in any separator or parquet, with any usual names of columns."""

import io
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from mfcli.data.faults import LARGEST, NO_RATINGS, row_fault, table_fault, text_fault
from mfcli.data.files import UNREADABLE, first_line, is_parquet, one_line, open_bytes, require_file
from mfcli.data.form import (
    USUAL_NAMES,
    Form,
    by_usual_names,
    find_form,
    find_places,
    find_separator,
    is_plain,
    rows_of,
    split_line,
)
from mfcli.data.ratings import Int32s, Sides
from mfcli.data.table import INT64, INTEGER, Ids, Table
from mfcli.errors import DataError

STAND_IN = "\x1f"
"""In place of a separator that pyarrow's reader, of one-character separators, cannot take."""


def read_ratings(path: Path, *, columns: str | None = None, separator: str | None = None, header: bool = True) -> Table:
    """Read a file of ratings.

    Args:
        path: text or parquet, possibly gzipped.
        columns: names of its columns, USER,ITEM,RATING[,TIMESTAMP]; None for the usual names.
        separator: between columns; None to find it by looking.
        header: whether the first line names the columns.

    Raises:
        DataError: the file is absent, empty or has a fault; with the line's number for text.
        UsageError: the columns asked for make no sense.
    """
    require_file(path)
    if is_parquet(path):
        columns_by_role = _read_parquet(path, columns)
        return _table(columns_by_role, lambda: table_fault(path, columns_by_role), lambda row: f"{path}, row {row + 1}")
    form = find_form(path, columns=columns, separator=separator, header=header)
    return _table(_read_text(path, form), lambda: text_fault(path, form), lambda row: _locate(path, form, row))


def _read_text(path: Path, form: Form) -> pa.Table:
    """The columns of a text file by their roles: ids as dictionaries of strings, the others as numbers."""
    ids = pa.dictionary(pa.int32(), pa.string())
    types = {"user": ids, "item": ids, "rating": pa.float32(), "timestamp": pa.float64()}
    names = [str(place) for place in range(form.width)]  # the header's may be the same twice
    plain = is_plain(form.separator)
    try:
        with _open_plain(path, form.separator) as stream:
            table = pacsv.read_csv(
                stream,
                read_options=pacsv.ReadOptions(
                    column_names=names, skip_rows=0 if form.header is None else 1, block_size=1 << 24
                ),
                parse_options=pacsv.ParseOptions(
                    delimiter=form.separator if plain else STAND_IN,
                    quote_char='"' if plain else False,
                    newlines_in_values=plain,
                ),
                convert_options=pacsv.ConvertOptions(
                    column_types={names[place]: types[role] for role, place in form.places.items()},
                    include_columns=[names[place] for place in form.places.values()],
                    null_values=[""],
                    strings_can_be_null=True,
                ),
            )
    except (pa.ArrowException, *UNREADABLE) as error:
        raise text_fault(path, form, one_line(error)) from None
    return table.rename_columns(list(form.places))


def _open_plain(path: Path, separator: str) -> Any:
    """A stream of a text, its separator replaced where pyarrow cannot take it."""
    stream = open_bytes(path)
    if is_plain(separator):
        return stream
    with stream:
        return io.BytesIO(stream.read().replace(separator.encode(), STAND_IN.encode()))


def _locate(path: Path, form: Form, row: int) -> str:
    """File and line of the row-th rating, blank lines counted."""
    filled = (number for number, fields in rows_of(path, form.separator) if fields)
    return f"{path}, line {next(itertools.islice(filled, row + (form.header is not None), None))}"


def _read_parquet(path: Path, columns: str | None) -> pa.Table:
    """The columns of a parquet file by their roles: ids as dictionaries of strings, the others as numbers."""
    try:
        file = pq.ParquetFile(path)  # pq.read_table would import pandas
        names = file.schema_arrow.names
        places = find_places(names, columns, str(path))
        table = file.read([names[place] for place in places.values()])
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a parquet file that can be read ({one_line(error)})") from None
    made = {}
    for role, place in places.items():
        column = table[names[place]]
        try:
            made[role] = _ids(column) if role in ("user", "item") else _numbers(column, role)
        except (pa.ArrowException, TypeError) as error:
            raise DataError(f"{path}: column {names[place]} cannot be the {role} ({one_line(error)})") from None
    return pa.table(made)


def _ids(column: Any) -> Any:
    """Ids as a dictionary of strings. Raises ArrowException, TypeError."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_floating(column.type):
        raise TypeError("ids are integers or strings, not floating-point numbers")
    return column.cast(pa.string()).dictionary_encode()


def _numbers(column: Any, role: str) -> Any:
    """float32 ratings or float64 timestamps, in seconds where the column holds dates. Raises ArrowException."""
    if role == "rating":
        return column.cast(pa.float32(), safe=False)
    if pa.types.is_date(column.type) or pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("s"), safe=False).cast(pa.int64())
    return column.cast(pa.float64(), safe=False)


def _table(columns: pa.Table, fault: Callable[[], DataError], locate: Callable[[int], str]) -> Table:
    """The ratings in columns named by their roles.

    Args:
        columns: ids as dictionaries of strings, the others as numbers.
        fault: finds what to complain of where something cannot be used.
        locate: says where the n-th rating was read.
    """
    ratings = columns["rating"].to_numpy().astype(np.float32, copy=False)
    if not len(ratings) or any(column.null_count for column in columns.columns) or not np.isfinite(ratings).all():
        raise fault()
    if len(ratings) >= 2**31:
        raise DataError("more than 2^31 ratings in one file")
    users, user_ids = _codes(columns["user"])
    items, item_ids = _codes(columns["item"])
    if any(ids.dtype == object and "" in ids for ids in (user_ids, item_ids)):
        raise fault()
    timestamps = None
    if "timestamp" in columns.column_names:
        seconds = columns["timestamp"].to_numpy()
        if not (np.abs(seconds) <= LARGEST["timestamp"]).all():
            raise fault()
        timestamps = seconds.astype(np.int64)
    return Table(
        users=users,
        items=items,
        ratings=ratings,
        timestamps=timestamps,
        own_test=np.zeros(len(ratings), bool),
        n_users=len(user_ids),
        n_items=len(item_ids),
        ids=Sides(user_ids, item_ids),
        locate=locate,
    )


def _codes(column: Any) -> tuple[Int32s, Ids]:
    """Codes (n,) int32 and the ids they stand for, blanks around them removed."""
    column = column.unify_dictionaries().combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0)
    codes = column.indices.to_numpy().astype(np.int32, copy=False)
    texts = [text.strip() for text in column.dictionary.to_pylist()]
    distinct, which = np.unique(np.array(texts, dtype=object), return_inverse=True)
    if len(distinct) < len(texts):
        codes, texts = which.astype(np.int32)[codes], list(distinct)
    if all(INTEGER.fullmatch(text) for text in texts) and all(int(text) in INT64 for text in texts):
        return codes, np.array([int(text) for text in texts], np.int64)
    return codes, np.array(texts, dtype=object)


def read_item_ratings(path: Path) -> tuple[list[str], npt.NDArray[np.float32]]:
    """What one person thinks of some items: columns item and rating, by name or, without names, in that order.

    Returns:
        Ids as text, and (n,) float32 ratings.

    Raises:
        DataError: the file is absent, empty or has a fault; with the line's number.
    """
    require_file(path)
    wanted = ("item", "rating")
    line = first_line(path)
    separator = find_separator(path, wanted)
    first = split_line(line, separator)
    places = by_usual_names(first, {role: USUAL_NAMES[role] for role in wanted})
    header = len(places) == len(wanted)
    if not header:
        places = {role: place for place, role in enumerate(wanted)}
    ids, ratings = [], []
    try:
        for number, row in rows_of(path, separator):
            if not row or (header and number == 1):
                continue
            fault = row_fault(row, places, len(first))
            if fault:
                raise DataError(f"{path}, line {number}: {fault}")
            ids.append(row[places["item"]].strip())
            ratings.append(float(row[places["rating"]]))
    except UNREADABLE as error:
        raise DataError(f"{path}: {one_line(error)}") from None
    if not ids:
        raise DataError(f"{path}: {NO_RATINGS}")
    return ids, np.array(ratings, np.float32)
