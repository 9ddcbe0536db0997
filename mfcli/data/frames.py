"""Ratings and items in files that are no text: parquet, feather, JSON."""

import json
from typing import Any

import pyarrow as pa

from mfcli.data.columns import Wanted, find_place, find_places
from mfcli.data.files import UNREADABLE, Source, one_line
from mfcli.data.form import Reading
from mfcli.data.text import BLOCK
from mfcli.errors import DataError


def read_frame(source: Source, how: Reading, wanted: Wanted) -> tuple[dict[str, Any], dict[str, str]]:
    """The columns of a file of ratings by their roles, and what the file calls them.

    Returns:
        Role -> pyarrow column: ids as dictionaries of strings, ratings as float32 or texts, timestamps as they are;
        and role -> name.

    Raises:
        DataError: the file cannot be read, a column is not there, or it cannot be what it should.
    """
    table = read_all(source)
    places = find_places(table.column_names, how.columns, wanted, source.name)
    if how.weights is not None:
        places["weight"] = find_place(table.column_names, how.weights, "--weights", table.num_columns, source.name)
    names = {role: table.column_names[place] for role, place in places.items()}
    columns = {}
    for role, place in places.items():
        column = table.column(place)
        if role in ("user", "item"):
            column = id_column(table, place, role, source.name)
        elif role in ("rating", "weight") and not pa.types.is_string(column.type):
            try:
                column = column.cast(pa.float32(), safe=False)
            except pa.ArrowException as error:
                raise _unusable(source.name, names[role], role, error) from None
        columns[role] = column
    return columns, names


def id_column(table: Any, place: int, role: str, where: str) -> Any:
    """A column of a table as ids: a dictionary of strings. Raises DataError.

    Args:
        table: of pyarrow.
        place: number of the column, from 0.
        role: ``user`` or ``item``.
        where: the file's name.
    """
    try:
        return _ids(table.column(place))
    except (pa.ArrowException, TypeError) as error:
        raise _unusable(where, table.column_names[place], role, error) from None


def _unusable(where: str, name: str, role: str, error: Exception) -> DataError:
    return DataError(f"{where}: column {name} cannot be the {role} ({one_line(error)})")


def read_all(source: Source) -> Any:
    """All columns of a parquet, feather or JSON file (objects in a list, or one a line). Raises DataError."""
    try:
        with source.seekable() as file:
            table = _read(source, file)
        _ = table.column_names  # which may not be UTF-8
        return table
    except (*UNREADABLE, ValueError) as error:
        raise DataError(f"{source.name}: not a {source.kind} file that can be read ({one_line(error)})") from None


def _read(source: Source, file: Any) -> Any:
    import pyarrow.feather as feather
    import pyarrow.json as pajson
    import pyarrow.parquet as pq

    if source.kind == "parquet":
        return pq.ParquetFile(file).read()  # pq.read_table would import pandas
    if source.kind == "feather":
        return feather.read_table(file)
    if source.head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        return pajson.read_json(file, pajson.ReadOptions(block_size=BLOCK))
    return _listed(json.loads(bytes(file.read()).decode("utf-8-sig")), source.name)


def _listed(rows: Any, name: str) -> Any:
    """The table of a list of objects. Raises DataError."""
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{name}: JSON, but neither a list of objects nor an object a line")
    return pa.Table.from_pylist(rows)


def _ids(column: Any) -> Any:
    """Ids as a dictionary of strings. Raises ArrowException, TypeError."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_floating(column.type):
        column = column.cast(pa.int64())  # 7.0 is 7; the cast refuses 7.5
    if pa.types.is_null(column.type):
        raise TypeError("there is nothing in it")
    return column.cast(pa.string()).dictionary_encode()
