"""Ratings and items in files that are no text: parquet, feather, JSON."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa

from mfcli.data.columns import Wanted, find_place, find_places
from mfcli.data.faults import VALUES
from mfcli.data.files import JSON_START, UNREADABLE, Source, one_line, short
from mfcli.data.form import Reading
from mfcli.data.tables import undressed
from mfcli.data.text import BLOCK
from mfcli.errors import DataError

MIXED = (pa.ArrowInvalid, pa.ArrowTypeError)
"""What is raised of values of several kinds."""

FLOAT_IDS = 2.0**53  # from which not every whole number is a float64


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
        elif role in VALUES:
            try:
                column = undressed(column)
                column = column if pa.types.is_string(column.type) else column.cast(pa.float32(), safe=False)
            except pa.ArrowException as error:
                raise _unusable(source.name, names[role], role, column.type, error) from None
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
    column = table.column(place)
    try:
        return _ids(column)
    except (pa.ArrowException, TypeError) as error:
        raise _unusable(where, table.column_names[place], role, column.type, error) from None


def _unusable(where: str, name: str, role: str, kind: Any, error: Exception) -> DataError:
    """The error of a column that cannot be what it should, by its type."""
    reason = "a row of it holds several values, not one" if pa.types.is_nested(kind) else short(one_line(error))
    return DataError(f"{where}: column {name} cannot be the {role}: {reason}")


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
    if source.head.lstrip(JSON_START).startswith(b"{"):
        try:
            return pajson.read_json(file, pajson.ReadOptions(block_size=BLOCK))
        except pa.ArrowInvalid:
            file.seek(0)
            return _listed(list(_objects(file, source.name)), source.name)
    return _listed(json.loads(bytes(file.read()).decode("utf-8-sig")), source.name)


def _objects(lines: Iterable[bytes], name: str) -> Iterator[Any]:
    """What stands in each line. Raises DataError with the number of the first that is no JSON."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield json.loads(line.decode("utf-8-sig"))
            except ValueError as error:
                raise DataError(
                    f"{name}, line {number}: {one_line(error)}: JSON has a list of objects, or an object a line"
                ) from None


def _listed(rows: Any, name: str) -> Any:
    """The table of a list of objects; what are numbers in one and texts in another are texts. Raises DataError."""
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{name}: JSON, but neither a list of objects nor an object a line")
    try:
        return pa.Table.from_pylist(rows)
    except MIXED:
        names = dict.fromkeys(name for row in rows for name in row)
        return pa.table({name: _column([row.get(name) for row in rows]) for name in names})


def _column(values: list[Any]) -> Any:
    """A pyarrow array of values, as texts if they are of several kinds."""
    try:
        return pa.array(values)
    except MIXED:
        return pa.array([None if value is None else str(value) for value in values])


def _ids(column: Any) -> Any:
    """Ids as a dictionary of strings. Raises ArrowException, TypeError."""
    column = undressed(column)
    if pa.types.is_floating(column.type):
        column = _whole(column)
    if pa.types.is_null(column.type) and len(column):
        raise TypeError("there is nothing in it")
    return column.cast(pa.string()).dictionary_encode()


def _whole(column: Any) -> Any:
    """Ids that are floats as integers: 7.0 is 7, NaN is none. Raises TypeError, and ArrowException for 7.5."""
    import pyarrow.compute as pc

    column = column.cast(pa.float64())
    column = pc.if_else(pc.is_nan(column), None, column)
    if pc.any(pc.greater_equal(pc.abs(column), FLOAT_IDS)).as_py():
        raise TypeError("floats so large stand for several whole numbers: write ids as integers or texts")
    return column.cast(pa.int64())
