"""Saying what is wrong with a file of ratings, and where.

Files are read whole, and fast, by pyarrow, which says little of a fault. A file that it could not read is read once
more here, slowly, to name the line.
"""

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from mfcli.data.files import UNREADABLE, one_line, short
from mfcli.data.form import Form, Reading
from mfcli.data.lines import count_lines
from mfcli.data.remedies import BY_OPTION, Remedies
from mfcli.errors import DataError

LARGEST_RATING = float(np.finfo(np.float32).max)

VALUES = ("rating", "weight")  # the roles of columns of numbers
NO_RATINGS = "there are no ratings in it"
ABSENT = re.compile(r"(\\N|na|n/a|nan|null|none|nil|-|\?|\.)", re.IGNORECASE)  # what people write for no rating
DECIMAL_COMMA = re.compile(r"-?(\d{1,3}(\.\d{3})+|\d+),\d+")


def text_fault(
    form: Form,
    missing: tuple[str, ...] = (),
    otherwise: str = "a value cannot be used",
    sound: Callable[[bytes], bool] = lambda _: False,
) -> DataError:
    """The first fault of a text file, with its line's number; ``otherwise`` if every line is good.

    Args:
        missing: what stands for a rating that is not there.
        sound: tells of many whole lines, quickly, whether each is a row without fault.
    """
    name, number, seen = form.text.name, form.skip, False

    def passed(block: bytes) -> bool:
        nonlocal number, seen
        if not sound(block):
            return False
        number, seen = number + count_lines(block), True
        return True

    try:
        for number, row in form.rows(lambda row: row_fault(row, form, missing) is None, passed):
            fault = row_fault(row, form, missing)
            if fault:
                return DataError(f"{name}, line {number}: {fault}{_hint(row, form, seen)}")
            seen = True
    except UNREADABLE as error:
        return DataError(f"{name}, line {number + 1} or soon after: {one_line(error)}")
    except DataError as error:
        return error
    return DataError(f"{name}: {otherwise if seen else NO_RATINGS}")


def _hint(row: list[str], form: Form, seen: bool) -> str:
    """What a faulty row may be, if it is no row of ratings at all."""
    if form.header is not None:
        again = [field.strip() for field in row] == form.header
        return ": the header again: give files that were put together apart, each by --ratings" if again else ""
    if not seen and not any(map(_number, row)):
        return f": {form.text.remedies.header}"
    return "" if seen else f": {form.text.remedies.columns}"


def row_fault(row: list[str], form: Form, missing: tuple[str, ...] = ()) -> str | None:
    """What is wrong with a row of a file of ratings; None if nothing is. Timestamps are not looked at."""
    if len(row) != form.width:
        return f"{len(row)} columns, not {form.width}"
    remedies = form.text.remedies
    for role, place in form.places.items():
        text = row[place].strip()
        if role == "timestamp" or (role in VALUES and text in missing):
            continue
        name = f"{role} id" if role in ("user", "item") else role
        if not text:
            return f"the {name} is empty{_drops(remedies, '') * (role in VALUES)}"
        if any("\udc80" <= c <= "\udcff" for c in text):
            return f"the {name} is not UTF-8 text: {remedies.encoding}"
        fault = rating_fault(text, form.decimal, role, remedies) if role in VALUES else None
        if fault:
            return fault
    return None


def is_absent(text: str) -> bool:
    """Whether this stands for a rating that is not there."""
    return not text or ABSENT.fullmatch(text) is not None


def _drops(remedies: Remedies, text: str) -> str:
    """The advice where a text stands for a rating that is not there."""
    return f": {remedies.missing.format(short(text))}"


def rating_fault(text: str, decimal: str = ".", role: str = "rating", remedies: Remedies = BY_OPTION) -> str | None:
    """What is wrong with the text of a rating, or of a click's weight; None if nothing is."""
    quoted = f"the {role} '{short(text)}'"
    value = _number(text if decimal == "." else text.replace(".", "?").replace(decimal, "."))
    if value is None:
        hint = ""
        if decimal == "." and DECIMAL_COMMA.fullmatch(text):
            hint = f": is it a decimal comma? {remedies.decimal}"
        elif is_absent(text):
            hint = _drops(remedies, text)
        elif re.search(r"\d", text):
            hint = ": leave nothing but the number in the column"
        return f"{quoted} is not a number{hint}"
    if not math.isfinite(value):
        return f"{quoted} is not a finite number{_drops(remedies, text)}"
    return f"{quoted} is too large" if abs(value) > LARGEST_RATING else None


def _number(text: str) -> float | None:
    try:
        return float(text.encode("ascii").replace(b"_", b"?"))  # 1_000 and ٤ are numbers to Python alone
    except ValueError:
        return None


def table_fault(name: str, columns: dict[str, Any], how: Reading, otherwise: str) -> DataError:
    """The first value that is missing or cannot be used in a file that is no text, by its row.

    Args:
        name: of the file.
        columns: role -> pyarrow column: ids as dictionaries of strings, ratings or weights as numbers or texts.
        how: what stands for a rating that is not there.
        otherwise: what to say if every value is good.
    """
    import pyarrow.compute as pc  # which few who find faults need

    for role in ("user", "item"):
        good = pc.not_equal(pc.utf8_trim_whitespace(columns[role].cast(pa.string())), "")
        row = pc.index(pc.fill_null(good, False), False).as_py()
        if row >= 0:
            return DataError(f"{name}, row {row + 1}: no usable {role}")
    for role in set(VALUES) & set(columns):
        for row, value in enumerate(columns[role].to_pylist(), 1):
            text = "" if value is None else str(value).strip()
            fault = rating_fault(text, how.decimal, role) if text else f"no usable {role}"
            if text not in how.missing and fault:
                return DataError(f"{name}, row {row}: {fault}")
    return DataError(f"{name}: {otherwise if len(columns['user']) else NO_RATINGS}")
