"""Saying what is wrong with a file of ratings, and where.

Files are read whole, and fast, by pyarrow, which says little of a fault. A file that it could not read is read once
more here, slowly, to name the line.
"""

import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from mfcli.data.columns import mark_of_comment
from mfcli.data.files import UNREADABLE, short, why_broken
from mfcli.data.form import Form, Reading
from mfcli.data.lines import count_lines
from mfcli.data.numerals import COMMAS, DECIMAL_COMMA, number_in
from mfcli.data.remedies import BY_OPTION, Remedies
from mfcli.errors import DataError

LARGEST_RATING = float(np.finfo(np.float32).max)

VALUES = ("rating", "weight")  # the roles of columns of numbers
NO_RATINGS = "there are no ratings in it"
NONE = re.compile(r"\\N|<NA>|#N/A|nan|null|none", re.IGNORECASE)  # what programs write for nothing
ABSENT = re.compile(rf"{NONE.pattern}|na|n/a|nil|-|\?|\.", re.IGNORECASE)  # what people write for no rating


class NoRatings(DataError):
    """There is nothing to read in a file, but nothing wrong with it."""


class Fault(NamedTuple):
    """A fault of one row: what is wrong, what to do about it, and what to do where nothing better is known."""

    what: str
    remedy: str = ""
    otherwise: str = ""

    def __str__(self) -> str:
        return self.with_remedy("")

    def with_remedy(self, another: str) -> str:
        """The fault and its remedies, with another that its surroundings suggest."""
        return ": ".join(filter(None, (self.what, self.remedy, another))) + (
            f": {self.otherwise}" if self.otherwise and not self.remedy and not another else ""
        )


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
                return DataError(f"{name}, line {number}: {fault.with_remedy(_hint(fault, row, form, seen))}")
            seen = True
    except UNREADABLE as error:
        return DataError(f"{name}, line {number + 1} or soon after: {why_broken(error)}")
    except DataError as error:
        return error
    return DataError(f"{name}: {otherwise}") if seen else NoRatings(f"{name}: {NO_RATINGS}")


def _hint(fault: Fault, row: list[str], form: Form, seen: bool) -> str:
    """What a faulty row may be, if it is no row of ratings at all."""
    if form.header is not None:
        again = [field.strip() for field in row] == form.header
        return "the header again: give files that were put together apart, each by --ratings" if again else ""
    if not seen and not fault.remedy and not any(map(number_in, row)):
        return form.text.remedies.header
    return "" if seen else form.text.remedies.columns


def width_fault(row: list[str], width: int, remedies: Remedies = BY_OPTION) -> Fault | None:
    """That a row has not so many columns; None if it has."""
    if len(row) == width:
        return None
    if start := mark_of_comment("".join(row[:1])):
        otherwise = remedies.comment.format(start)
    elif len(row) < width:
        otherwise = "is it cut off? Mend it, or take it out"
    else:
        otherwise = "is one of them part of a text or a number? Put that in quotes"
    return Fault(f"{len(row)} column{'s' * (len(row) != 1)}, not {width}", otherwise=otherwise)


def row_fault(row: list[str], form: Form, missing: tuple[str, ...] = ()) -> Fault | None:
    """What is wrong with a row of a file of ratings; None if nothing is. Timestamps are not looked at."""
    if len(row) != form.width:
        return width_fault(row, form.width, form.text.remedies)
    remedies = form.text.remedies
    for role, place in form.places.items():
        text = row[place].strip()
        if role == "timestamp" or (role in VALUES and text in missing):
            continue
        name = f"{role} id" if role in ("user", "item") else role
        if not text and role not in VALUES:
            return Fault(f"the {name} is empty", otherwise="fill it in, or take the line out")
        if any("\udc80" <= c <= "\udcff" for c in text):
            return Fault(f"the {name} is not UTF-8 text", remedies.encoding)
        fault = value_fault(text, form.decimal, role, remedies) if role in VALUES else None
        if fault:
            return fault
    return None


def value_fault(text: str, decimal: str, role: str, remedies: Remedies = BY_OPTION) -> Fault | None:
    """What is wrong with the cell of a rating, or of a click's weight; None if nothing is."""
    if not text:
        return Fault(f"the {role} is empty", remedies.missing.format(""))
    return rating_fault(text, decimal, role, remedies)


def is_absent(text: str) -> bool:
    """Whether this stands for a rating that is not there."""
    return not text or ABSENT.fullmatch(text) is not None


def is_none(text: str) -> bool:
    """Whether this is how a program writes that there is nothing."""
    return NONE.fullmatch(text) is not None


def rating_fault(text: str, decimal: str = ".", role: str = "rating", remedies: Remedies = BY_OPTION) -> Fault | None:
    """What is wrong with the text of a rating, or of a click's weight; None if nothing is."""
    quoted = f"the {role} '{short(text)}'"
    value, drops = number_in(text, decimal), remedies.missing.format(short(text))
    if value is None:
        hints = []
        if decimal == "." and DECIMAL_COMMA.fullmatch(text):
            hints.append(f"is it a decimal comma? {remedies.decimal}")
        if decimal == "." and COMMAS.fullmatch(text):
            hints.append("take out commas between thousands")
        if not hints and is_absent(text):
            hints.append(drops)
        if not hints and re.search(r"\d", text):
            hints.append("leave nothing but the number in the column")
        return Fault(f"{quoted} is not a number", "; ".join(hints), f"write a number, or {drops}")
    if not math.isfinite(value):
        return Fault(f"{quoted} is not a finite number", drops)
    return Fault(f"{quoted} is too large", otherwise=drops) if abs(value) > LARGEST_RATING else None


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
    words = [word.lower() for word in how.missing]  # NaN may be written in any way
    for role in set(VALUES) & set(columns):
        for row, value in enumerate(columns[role].to_pylist(), 1):
            text = "" if value is None else str(value).strip()
            fault = value_fault(text, how.decimal, role)
            if fault and text.lower() not in words:
                return DataError(f"{name}, row {row}: {fault}")
    return DataError(f"{name}: {otherwise}") if len(columns["user"]) else NoRatings(f"{name}: {NO_RATINGS}")
