"""When a rating was given: anybody's dates and times, as seconds since 1970."""

import contextlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mfcli.arrays import Int64s
from mfcli.data.files import short
from mfcli.data.tables import numbers, to_arrow, undressed

LARGEST = 2.0**62
LATEST_SECOND = 1e11  # of the year 5138: larger numbers count milliseconds, microseconds or nanoseconds
FIRST_YEAR = -30_610_224_000  # the second that the year 1000 begins: an earlier year was written with two digits

AS_NUMBERS = {
    "%Y": (1900, 2100),
    "%Y%m%d": (19_000_101, 21_001_231),
    "%Y%m%d%H%M%S": (19_000_101_000_000, 21_001_231_235_959),
}
"""Dates that are written as whole numbers, and the range that they are in."""

UNLIKE = (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError, pa.ArrowKeyError)
"""What is raised of a text that is not written so, or of values of another kind; never for want of memory."""

ISO = tuple(pa.timestamp(unit, zone) for unit in ("us", "ns") for zone in (None, "UTC"))

FORMATS = (
    *("%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M", "%Y/%m/%d", "%Y.%m.%d", "%Y-%m"),
    *("%Y-%m-%d %H:%M:%S UTC", "%Y-%m-%d %H:%M:%S %z", "%Y-%m-%d %I:%M:%S %p", "%Y%m%dT%H%M%SZ", "%Y%m%dT%H%M%S"),
    *("%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%d.%m.%Y", "%d.%m.%y", "%m %d, %Y"),
    *("%b %d, %Y", "%d %b %Y", "%d-%b-%Y", "%d-%b-%y", "%b-%d-%Y", "%b %d %Y", "%b %d, %Y %H:%M:%S"),
    *("%d %b %Y %H:%M:%S", "%a, %d %b %Y %H:%M:%S", "%a, %d %b %Y %H:%M:%S GMT", "%a, %d %b %Y %H:%M:%S %z"),
    *("%a %b %d %H:%M:%S %Y", "%a %b %d %H:%M:%S UTC %Y", "%a %b %d %H:%M:%S %z %Y"),
)
"""Of dates and times that are not ISO 8601. ``%b`` takes a month's name in full too."""

EITHER_WAY = tuple(
    tuple(f"{date}{time}" for date in dates)
    for mark in "/-"
    for dates in (
        (f"%d{mark}%m{mark}%Y", f"%m{mark}%d{mark}%Y"),
        (f"%d{mark}%m{mark}%y", f"%m{mark}%d{mark}%y", f"%y{mark}%m{mark}%d"),
    )
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

    Numbers are seconds, or what else their size says: milliseconds, microseconds, nanoseconds, dates without marks.
    """
    column = undressed(column)
    if pa.types.is_string(column.type):
        column = _of_texts(pc.utf8_trim_whitespace(column))
    if column.null_count:
        raise NoTimes(_first(pc.is_null(column)), "the timestamp is empty")
    if pa.types.is_date(column.type) or pa.types.is_timestamp(column.type):
        return _of_times(column)
    try:
        values = numbers(column.cast(pa.float64(), safe=False))
    except UNLIKE:
        raise NoTimes(0, f"a column of {column.type} holds no times") from None
    return _of_numbers(values)


def _of_times(times: Any) -> Int64s:
    """The seconds of dates or times."""
    micros = times.cast(pa.timestamp("us", getattr(times.type, "tz", None)), safe=False).cast(pa.int64())
    return np.asarray(np.floor_divide(numbers(micros), 1_000_000), np.int64)


def _of_numbers(values: Any) -> Int64s:
    """The seconds that (n,) float64 numbers mean. Raises NoTimes."""
    bad = ~(np.abs(values) <= LARGEST)
    if bad.any():
        row = int(bad.argmax())
        wrong = "no number" if np.isnan(values[row]) else "too large"
        raise NoTimes(row, f"the timestamp '{values[row]:g}' is {wrong}")
    largest = float(np.abs(values).max(initial=0.0))
    for form, (first, last) in AS_NUMBERS.items():
        if first <= values.min(initial=first) and largest <= last and (values == np.floor(values)).all():
            texts = pa.chunked_array([to_arrow(values.astype(np.int64))]).cast(pa.string())
            if (times := _strptime(texts, form)) is not None:
                return _of_times(times)
    a_second = 1  # in the unit that they count
    while largest / a_second >= LATEST_SECOND:
        a_second *= 1000
    if a_second > 1:
        smaller = (np.abs(values) > 1) & (np.abs(values) < LATEST_SECOND / 1000 * a_second)  # 0 and -1 are no times
        if smaller.any():
            row = int(smaller.argmax())
            raise NoTimes(row, f"the timestamp '{values[row]:.0f}' counts other units than the largest, {largest:.0f}")
        values = values / a_second
    return np.asarray(values.astype(np.int64))


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
    for kind in (pa.float64(), *ISO):
        with contextlib.suppress(*UNLIKE):
            return texts.cast(kind)
    for form in FORMATS:
        if (times := _strptime(texts, form)) is not None:
            return times
    for forms in EITHER_WAY:
        found = [times for form in forms if (times := _strptime(texts, form)) is not None]
        if not all(times.equals(found[0]) for times in found):
            raise NoTimes(
                0, f"dates like '{short(str(texts[0]))}' may have the day or the month first: write 2018-12-31"
            )
        if found:
            return found[0]
    return None


def _strptime(texts: Any, form: str) -> Any | None:
    """The times, if all the texts are written in this form: ``%Y`` is a year of four digits."""
    try:
        times = pc.strptime(texts, format=form, unit="s")
    except UNLIKE:
        return None
    return times if pc.min(times.cast(pa.int64())).as_py() >= FIRST_YEAR else None


def _first(mask: Any) -> int:
    return int(pc.index(mask, True).as_py())
