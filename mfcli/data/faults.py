"""Saying what is wrong with a file of ratings, and where.

Files are read whole, and fast, by pyarrow, which says little of a fault. A file that it could not read is read once
more here, slowly, to name the line.
"""

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mfcli.data.files import UNREADABLE, is_utf8, one_line, short
from mfcli.data.form import Form, rows_of
from mfcli.errors import DataError

LARGEST = {"rating": float(np.finfo(np.float32).max), "timestamp": 2.0**62}
"""Of the numbers that are read, by role."""

NO_RATINGS = "there are no ratings in it"


def text_fault(path: Path, form: Form, otherwise: str = "a value cannot be used") -> DataError:
    """The first fault of a text file, with its line's number; ``otherwise`` if every line is good."""
    number, seen = 0, False
    try:
        for number, row in rows_of(path, form.separator):
            if not row or (number == 1 and form.header):
                continue
            seen = True
            fault = row_fault(row, form.places, form.width)
            if fault:
                return DataError(f"{path}, line {number}: {fault}")
    except UNREADABLE as error:
        return DataError(f"{path}, line {number + 1} or soon after: {one_line(error)}")
    return DataError(f"{path}: {otherwise if seen else NO_RATINGS}")


def row_fault(row: list[str], places: dict[str, int], width: int) -> str | None:
    """What is wrong with a row that should have ``width`` columns; None if nothing is.

    Args:
        row: its columns.
        places: role -> number of its column.
        width: columns that it should have.
    """
    if len(row) != width:
        return f"{len(row)} columns, not {width}"
    faults = (_field_fault(role, row[place].strip()) for role, place in places.items())
    return next((fault for fault in faults if fault), None)


def _field_fault(role: str, text: str) -> str | None:
    name = f"{role} id" if role in ("user", "item") else role
    if not text:
        return f"the {name} is empty"
    if not is_utf8(text):
        return f"the {name} is not UTF-8 text"
    if role not in LARGEST:
        return None
    try:
        value = float(text.encode("ascii").replace(b"_", b"?"))  # 1_000 and ٤ are numbers to Python alone
    except ValueError:
        return f"the {role} '{short(text)}' is not a number"
    if not math.isfinite(value):
        return f"the {role} '{short(text)}' is not a finite number"
    if abs(value) > LARGEST[role]:
        return f"the {role} '{short(text)}' is too large"
    return None


def table_fault(path: Path, table: pa.Table) -> DataError:
    """The first value of a parquet file that is missing or cannot be used, by its row.

    Args:
        path: of the file.
        table: its columns by their roles; ids as dictionaries of strings, the others as numbers.
    """
    for role in table.column_names:
        column = table[role]
        if role in LARGEST:
            good = pc.less_equal(pc.abs(column), LARGEST[role])
        else:
            good = pc.not_equal(pc.utf8_trim_whitespace(column.cast(pa.string())), "")
        row = pc.index(pc.fill_null(good, False), False).as_py()
        if row >= 0:
            return DataError(f"{path}, row {row + 1}: no usable {role}")
    return DataError(f"{path}: {'a value cannot be used' if table.num_rows else NO_RATINGS}")
