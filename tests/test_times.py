"""Dates and times in any usual way become seconds since 1970."""

import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from mfcli.data.files import find_source
from mfcli.data.readers import read_ratings
from mfcli.data.times import NoTimes, to_seconds

DAY = 86_400
WAYS: dict[str, tuple[Any, list[int]]] = {
    "seconds": ([1286563797, 0], [1286563797, 0]),
    "fractions of a second": ([1286563797.9, 0.5], [1286563797, 0]),
    "milliseconds": ([1286563797123, 1196595264000], [1286563797, 1196595264]),
    "microseconds": ([1286563797123456, 1196595264000000], [1286563797, 1196595264]),
    "nanoseconds": ([1286563797123456789, 1196595264000000000], [1286563797, 1196595264]),
    "seconds as text": (["1286563797", " 0 "], [1286563797, 0]),
    "days as numbers": ([19700102, 20000101], [DAY, 946684800]),
    "days as text": (["19700102", "20000101"], [DAY, 946684800]),
    "dates": (["1970-01-02", "2000-01-01"], [DAY, 946684800]),
    "times": (["1970-01-02 00:00:01", "2000-01-01 00:00:00"], [DAY + 1, 946684800]),
    "times with T": (["1970-01-02T00:00:01", "2000-01-01T00:00:00.5"], [DAY + 1, 946684800]),
    "times with a zone": (["1970-01-02T01:00:00+01:00", "2000-01-01T00:00:00Z"], [DAY, 946684800]),
    "before 1970": (["1969-12-31T23:59:59.5", "1969-12-31"], [-1, -DAY]),
    "slashes": (["1970/01/02", "2000/01/01"], [DAY, 946684800]),
    "points": (["02.01.1970", "01.01.2000"], [DAY, 946684800]),
    "words": (["Jan 2, 1970", "January 1, 2000"], [DAY, 946684800]),
    "as Amazon writes": (["01 2, 1970", "01 1, 2000"], [DAY, 946684800]),
    "day first": (["02/01/1970", "31/12/1999"], [DAY, 946684800 - DAY]),
    "month first": (["01/02/1970", "12/31/1999"], [DAY, 946684800 - DAY]),
    "day first, with dashes": (["02-01-1970", "31-12-1999"], [DAY, 946684800 - DAY]),
    "twelve hours": (["1/2/1970 3:45 PM", "12/31/1999 12:00 AM"], [DAY + 56_700, 946684800 - DAY]),
    "nanoseconds as text": (["1970-01-02T00:00:00.123456789Z"], [DAY]),
    "two digits of the year": (["02.01.70", "01.01.00"], [DAY, 946684800]),
    "two digits, month first": (["01/02/70", "12/31/99"], [DAY, 946684800 - DAY]),
    "two digits, a word": (["02-JAN-70", "01-JAN-00"], [DAY, 946684800]),
    "a day and a time as a number": ([19700102000001, 20000101000000], [DAY + 1, 946684800]),
    "years": ([1970, 2000], [0, 946684800]),
    "months": (["1970-01", "2000-01"], [0, 946684800]),
    "without marks": (["19700102T000001Z", "20000101T000000Z"], [DAY + 1, 946684800]),
    "as Twitter writes": (["Fri Jan 02 01:00:00 +0100 1970", "Sat Jan 01 00:00:00 +0000 2000"], [DAY, 946684800]),
    "as in mail": (["Fri, 02 Jan 1970 00:00:00 GMT", "Sat, 01 Jan 2000 00:00:00 GMT"], [DAY, 946684800]),
    "milliseconds, and no time": ([1286563797123, 0, -1], [1286563797, 0, 0]),
    "arrow times": (pa.array([DAY * 1000 + 999, -1], pa.timestamp("ms")), [DAY, -1]),
    "arrow times with a zone": (pa.array([DAY * 10**9], pa.timestamp("ns", tz="Asia/Seoul")), [DAY]),
    "arrow dates": ([datetime.date(1970, 1, 2)], [DAY]),
    "a view of texts": (pa.array(["1970-01-02"]).cast(pa.string_view()), [DAY]),
    "a dictionary": (pa.array(["1970-01-02", "1970-01-02"]).dictionary_encode(), [DAY, DAY]),
}


@pytest.mark.parametrize(("values", "seconds"), WAYS.values(), ids=WAYS)
def test_times_in_any_usual_way(values: Any, seconds: list[int]) -> None:
    column = pa.chunked_array([values if isinstance(values, pa.Array) else pa.array(values)])
    found = to_seconds(column)
    assert (found.tolist(), str(found.dtype)) == (seconds, "int64")


@pytest.mark.parametrize(
    ("values", "row", "reason"),
    [
        (["2000-01-01", None], 1, "the timestamp is empty"),
        (["2000-01-01", "  "], 1, "the timestamp is empty"),
        ([1.0, None], 1, "the timestamp is empty"),
        (["2000-01-01", "2000-01-02", "soon"], 2, "the timestamp 'soon' is not written like those before it"),
        (["soon", "2000-01-02"], 0, "the timestamp 'soon' is not"),
        (["01/02/2000", "03/04/2000"], 0, "may have the day or the month first"),
        ([1.0, 1e30], 1, "the timestamp '1e.30' is too large"),
        ([1.0, float("nan")], 1, "the timestamp 'nan' is no number"),
        ([1286563797123, 1286563797], 1, "the timestamp '1286563797' counts other units than the largest"),
        (["01/02/03", "03/04/05"], 0, "may have the day or the month first"),
        ([[1], [2]], 0, "holds no times"),
    ],
)
def test_the_first_time_that_cannot_be_used_is_named(values: list[Any], row: int, reason: str) -> None:
    with pytest.raises(NoTimes, match=reason) as caught:
        to_seconds(pa.chunked_array([pa.array(values)]))
    assert caught.value.row == row


@pytest.mark.parametrize(
    ("times", "fault"),
    [
        (["", "2"], "line 2: the timestamp is empty"),
        (["1", "N/A"], "line 3: the timestamp 'N/A' is not written like those before it"),
        (["2018-09-26", "2018-09-27x"], "line 3: the timestamp '2018-09-27x' is not"),
    ],
)
def test_ratings_whose_times_cannot_be_used_are_read_without_them(times: list[str], fault: str, tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("user,item,rating,timestamp\n" + "".join(f"{n},1,4,{time}\n" for n, time in enumerate(times)))
    table = read_ratings(find_source(path))
    assert table.timestamps is None
    assert table.ratings.tolist() == [4.0, 4.0]
    assert table.origin.no_times is not None
    assert table.origin.no_times.startswith(f"{path}, {fault}")
