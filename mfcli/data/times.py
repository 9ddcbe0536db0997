"""When a rating was given: anybody's dates and times, as seconds since 1970."""

import contextlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mfcli.arrays import Int64s
from mfcli.data.files import short
from mfcli.data.tables import numbers, to_arrow

LARGEST = 2.0**62
LATEST_SECOND = 1e11  # of the year 5138: larger numbers count milliseconds, microseconds or nanoseconds
DAYS = 19_000_101, 21_001_231  # numbers within are dates written as YYYYMMDD

UNLIKE = (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError, pa.ArrowKeyError)
"""What is raised of a text that is not written so, or of values of another kind; never for want of memory."""

ISO = tuple(pa.timestamp(unit, zone) for unit in ("us", "ns") for zone in (None, "UTC"))

FORMATS = (
    *("%Y%m%d", "%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M", "%Y/%m/%d", "%Y.%m.%d"),
    *("%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%d.%m.%Y", "%m %d, %Y"),
    *("%b %d, %Y", "%d %b %Y", "%d-%b-%Y", "%b %d %Y", "%a %b %d %H:%M:%S %Y", "%b %d, %Y %H:%M:%S"),
    *("%d %b %Y %H:%M:%S", "%a, %d %b %Y %H:%M:%S", "%Y-%m-%d %H:%M:%S UTC", "%Y%m%d%H%M%S"),
)
"""Of dates and times that are not ISO 8601. ``%b`` takes a month's name in full too."""

EITHER_WAY = tuple(
    (f"%d{mark}%m{mark}%Y{time}", f"%m{mark}%d{mark}%Y{time}")
    for mark in "/-"
    for time in ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
)
"""Forms that a date alone cannot tell apart: all dates of a file together may."""


class NoTimes(Exception):
    """The times cannot be used.

    Attributes:
        row: number of the first value that is at fault, from 0.
        reason: what is wrong with it.
    """

    def __init__(self, row: int, reason: str) -> None:
        super().__init__(reason)
        self.row, self.reason = row, reason


def to_seconds(column: Any) -> Int64s:
    """(n,) int64 seconds since 1970, of a pyarrow column of n numbers, texts, dates or times. Raises NoTimes.

    Numbers are seconds, or what else their size says: milliseconds, microseconds, nanoseconds, YYYYMMDD.
    """
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = _of_texts(pc.utf8_trim_whitespace(column))
    if column.null_count:
        raise NoTimes(_first(pc.is_null(column)), "the timestamp is empty")
    if pa.types.is_date(column.type) or pa.types.is_timestamp(column.type):
        seconds = column.cast(pa.timestamp("us", getattr(column.type, "tz", None)), safe=False).cast(pa.int64())
        return np.asarray(np.floor_divide(numbers(seconds), 1_000_000), np.int64)
    try:
        values = numbers(column.cast(pa.float64(), safe=False))
    except UNLIKE:
        raise NoTimes(0, f"a column of {column.type} holds no times") from None
    return _of_numbers(values)


def _of_numbers(numbers: Any) -> Int64s:
    bad = ~(np.abs(numbers) <= LARGEST)
    if bad.any():
        row = int(bad.argmax())
        raise NoTimes(row, f"the timestamp '{numbers[row]:g}' is too large")
    largest = float(np.abs(numbers).max(initial=0.0))
    if DAYS[0] <= numbers.min(initial=DAYS[0]) and largest <= DAYS[1]:
        days = numbers.astype(np.int64)
        month, day = days // 100 % 100, days % 100
        if ((days == numbers) & (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)).all():
            return to_seconds(pa.chunked_array([to_arrow(days)]).cast(pa.string()))
    while largest >= LATEST_SECOND:
        numbers, largest = numbers / 1000, largest / 1000
    return np.asarray(numbers.astype(np.int64))


def _of_texts(texts: Any) -> Any:
    """Numbers, or times with a resolution. Raises NoTimes."""
    empty = pc.or_kleene(pc.is_null(texts), pc.equal(texts, ""))
    if pc.any(empty).as_py():
        raise NoTimes(_first(empty), "the timestamp is empty")
    times = _parsed(texts)
    if times is not None:
        return times
    good, bad = 0, len(texts)  # the first so many can be read; not all of the first so many can
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if _parsed(texts[:middle]) is not None else (good, middle)
    wrong = "is not written like those before it" if good else "is not seconds, a date or a time"
    raise NoTimes(good, f"the timestamp '{short(texts[good].as_py())}' {wrong}")


def _parsed(texts: Any) -> Any | None:
    """Numbers or times, if all the texts are written in one of the ways that we know. Raises NoTimes."""
    if not pc.all(pc.match_substring_regex(texts, r"^(19|20)\d{6}$")).as_py():
        for kind in (pa.float64(), *ISO):
            with contextlib.suppress(*UNLIKE):
                return texts.cast(kind)
    for form in FORMATS:
        if (times := _strptime(texts, form)) is not None:
            return times
    for forms in EITHER_WAY:
        found = [times for form in forms if (times := _strptime(texts, form)) is not None]
        if len(found) == 2 and not found[0].equals(found[1]):
            raise NoTimes(
                0, f"dates like '{short(str(texts[0]))}' may have the day or the month first: write 2018-12-31"
            )
        if found:
            return found[0]
    return None


def _strptime(texts: Any, form: str) -> Any | None:
    try:
        return pc.strptime(texts, format=form, unit="s")
    except UNLIKE:
        return None


def _first(mask: Any) -> int:
    return int(pc.index(mask, True).as_py())
