"""Reading anybody's ratings, and saying by file and line what is wrong with them."""

import csv
import datetime
import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfcli.data.catalogue import CSV, DAT, ML100K, Layout
from mfcli.data.files import find_source
from mfcli.data.form import Reading
from mfcli.data.readers import read_ratings
from mfcli.data.table import plain_id
from mfcli.data.titles import read_own_items
from mfcli.data.wide import read_wide
from mfcli.errors import DataError, UsageError
from tests.inputs import put, read, rows_of

HEADER = "userId,movieId,rating,timestamp\n"
ROWS = [(1, 31, 2.5, 1260759144), (7, 31, 4.0, 851868750), (1, 10, 3.0, 1260759179)]
Row = tuple[Any, ...]


def text(separator: str, header: str = "", rows: list[Row] = ROWS) -> str:
    lines = [header.replace(",", separator)] if header else []
    return "".join(line + "\n" for line in [*lines, *(separator.join(map(str, row)) for row in rows)])


@pytest.mark.parametrize("layout", [CSV, DAT, ML100K])
def test_every_layout_of_the_catalogue(layout: Layout, tmp_path: Path) -> None:
    path = put(tmp_path, layout.ratings, text(layout.separator, HEADER.strip() if layout.header else ""))
    assert rows_of(read(path, separator=layout.separator, header=layout.header)) == ROWS


@pytest.mark.parametrize("separator", [",", "\t", "::", ";", "|", " "])
@pytest.mark.parametrize("header", [True, False])
def test_the_separator_is_found_by_looking(separator: str, header: bool, tmp_path: Path) -> None:
    path = put(tmp_path, "ratings.txt", text(separator, "user,item,rating,ts" if header else ""))
    assert rows_of(read(path, header=header)) == ROWS


@pytest.mark.parametrize("separator", ["\t", "\\t", "tab", "\\x09"])
def test_a_tab_may_be_given_by_name(separator: str, tmp_path: Path) -> None:
    path = put(tmp_path, "ratings.txt", text("\t", "user,item,rating,time"))
    assert rows_of(read(path, separator=separator)) == ROWS


@pytest.mark.parametrize("separator", ["é", "--", "#", "\x01"])
def test_any_separator_can_be_given(separator: str, tmp_path: Path) -> None:
    path = put(tmp_path, "ratings.txt", text(separator, "user,item,rating,time"))
    assert rows_of(read(path, separator=separator)) == ROWS


@pytest.mark.parametrize("separator", ['"', "\n", "\r"])
def test_a_separator_that_cannot_be_is_a_usage_error(separator: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--separator"):
        read(put(tmp_path, "ratings.csv", text(",", HEADER.strip())), separator=separator)


@pytest.mark.parametrize("suffix", [".gz", ".GZ"])
@pytest.mark.parametrize("separator", [",", "::"])
def test_gzipped_text(suffix: str, separator: str, tmp_path: Path) -> None:
    half = text(separator).encode()
    path = put(tmp_path, f"ratings{suffix}", gzip.compress(half) + gzip.compress(half))  # of two members, as pigz -i
    assert rows_of(read(path, header=False)) == ROWS * 2


@pytest.mark.parametrize("separator", [",", "::"])
@pytest.mark.parametrize("header", ["user,item,rating,time", ""])
@pytest.mark.parametrize(
    ("before", "after"), [("", ""), ("\n", "\r\n"), ("\n", "\r"), ("\n", "\n\n"), ("", "\ufeff")], ids=repr
)
def test_line_ends_blank_lines_and_byte_order_marks(
    separator: str, header: str, before: str, after: str, tmp_path: Path
) -> None:
    content = text(separator, header)
    content = content.replace(before, after) if before else after + content
    for ending in (content, content.rstrip("\r\n")):
        assert rows_of(read(put(tmp_path, "ratings.txt", ending), header=bool(header))) == ROWS


@pytest.mark.parametrize(
    "names",
    [
        "userId,movieId,rating,timestamp",
        "USER_ID,item_id,Score,Time",
        " user , item , stars , ts ",
        "uid,iid,rating,ts",
    ],
)
def test_the_usual_names_are_recognized_whatever_their_case(names: str, tmp_path: Path) -> None:
    assert rows_of(read(put(tmp_path, "ratings.csv", f"{names}\n{text(',')}"))) == ROWS


def test_columns_are_found_by_name_wherever_they_are(tmp_path: Path) -> None:
    path = put(tmp_path, "ratings.csv", 'x,stamp,stars,film,x,who\n"a,b",9,4.5,f 1,,w\n,8,1,f 2,"c\nd",w\n')
    named = read(path, columns="who, film,stars ,stamp")
    assert rows_of(named) == [("w", "f 1", 4.5, 9), ("w", "f 2", 1.0, 8)]
    assert [named.origin.locate(row).rpartition(", ")[2] for row in (0, 1)] == ["line 2", "line 3"]
    assert rows_of(read(path, columns="who,film,stars")) == [("w", "f 1", 4.5), ("w", "f 2", 1.0)]


def test_a_long_file_of_notes_with_line_breaks_is_read_whole(tmp_path: Path) -> None:
    note = '"' + "line\n" * 13_000 + '"'
    path = put(tmp_path, "ratings.csv", "user,item,rating,note\n" + f"1,2,3,{note}\n" * 300)  # several read blocks
    assert rows_of(read(path)) == [(1, 2, 3.0)] * 300


def test_without_a_header_the_first_three_or_four_columns_count(tmp_path: Path) -> None:
    assert rows_of(read(put(tmp_path, "u1.base", "1\t2\t3\n"), header=False)) == [(1, 2, 3.0)]
    assert rows_of(read(put(tmp_path, "u1.base", "1\t2\t3\t4\n"), header=False)) == [(1, 2, 3.0, 4)]


def test_quotes_mean_nothing_beside_a_separator_of_two_characters(tmp_path: Path) -> None:
    path = put(tmp_path, "ratings.dat", '"a::1::3\nb::"::4\n')
    assert rows_of(read(path, header=False)) == [('"a', "1", 3.0), ("b", '"', 4.0)]


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (["7", "-3", "0"], [7, -3, 0]),
        ([str(2**63 - 1), str(-(2**63))], [2**63 - 1, -(2**63)]),
        ([str(2**63), "1"], [str(2**63), "1"]),
        (["007", "7"], ["007", "7"]),
        (["-0"], ["-0"]),
        (["1.0", "2", "1"], [1, 2, 1]),
        (["1.0", "x"], ["1.0", "x"]),
        (["NA", "null", "nan"], ["NA", "null", "nan"]),
        ([" 7", "7 ", "7"], [7, 7, 7]),
        (["é", "日本"], ["é", "日本"]),
        (["x" * 200_000], ["x" * 200_000]),
    ],
    ids=lambda ids: str(ids)[:30],
)
def test_ids_stay_what_they_are(ids: list[str], expected: list[object], tmp_path: Path) -> None:
    table = read(put(tmp_path, "ratings.csv", text(",", "user,item,rating", [(i, "x", 1) for i in ids])))
    assert table.ids.users[table.users].tolist() == expected


FAULTS = {
    "": "r.csv: the file is empty",
    "\n\n": "r.csv: the file is empty",
    HEADER: "r.csv: there are no ratings in it",
    HEADER.strip(): "r.csv: there are no ratings in it",
    "user,film,rating\n1,2,3\n": "r.csv, line 1: no column looks like the item (columns: user, film, rating)",
    "1,2,3,4,5\n1,3,3,4,5\n": "r.csv, line 1: 5 columns without names (1, 2, 3, 4, 5): say which is which",
    "user,item\n1,2\n": "r.csv, line 1: no separator cuts it",
    "user,item,rating,user\n1,2,3,4\n": "r.csv, line 1: two columns have the same name",
    f"{HEADER}1,2,3,4\n1,2,good,4\n": "r.csv, line 3: the rating 'good' is not a number",
    f"{HEADER}1,2,{'x' * 5000},4\n": f"r.csv, line 2: the rating '{'x' * 100}...' is not a number",
    f"{HEADER}1,2,nan,4\n": "r.csv, line 2: the rating 'nan' is not a finite number",
    f"{HEADER}1,2,-Inf,4\n": "r.csv, line 2: the rating '-Inf' is not a finite number",
    f"{HEADER}1,2,1e400,4\n": "r.csv, line 2: the rating '1e400' is not a finite number",
    f"{HEADER}1,2,1e39,4\n": "r.csv, line 2: the rating '1e39' is too large",
    f"{HEADER}1,2,1_0,4\n": "r.csv, line 2: the rating '1_0' is not a number",
    f"{HEADER}1,2,٤,4\n": "r.csv, line 2: the rating '٤' is not a number",
    f"{HEADER}\n1,2,,4\n": "r.csv, line 3: the rating is empty",
    f"{HEADER}1,2,3,4\n,2,3,4\n": "r.csv, line 3: the user id is empty",
    f'{HEADER}1,"",3,4\n': "r.csv, line 2: the item id is empty",
    f"{HEADER}  ,2,3,4\n": "r.csv, line 2: the user id is empty",
    f"{HEADER}1,2,3,4\n1,2,3\n": "r.csv, line 3: 3 columns, not 4",
    f"{HEADER}1,2,3,4,5\n": "r.csv, line 2: 5 columns, not 4",
    f'{HEADER}1,"2\n2",3,4\n5,6,x,8\n': "r.csv, line 4: the rating 'x'",
    f'{HEADER}1,2,3,4\n5,"6,7,8\n9,9,9,9\n': "r.csv, line 3: a quote opens in this row and is not closed",
    "user;item;rating\n1;2;4,5\n": "r.csv, line 2: the rating '4,5' is not a number",
    "user::item::rating\n1::2::3\n::2::3\n": "r.csv, line 3: the user id is empty",
    f"{HEADER}é,2,3,4\n".encode("latin-1"): "r.csv, line 2: the user id is not UTF-8 text",
    HEADER.encode() + b"1,2,3,4\n" * 3000 + b"1,\xe9,3,4\n": "r.csv, line 3002: the item id is not UTF-8 text",
    HEADER.encode("utf-16"): "r.csv: there are no ratings in it",
    HEADER.encode("utf-16-le"): "r.csv, line 1: there are NUL characters in it",
    gzip.compress(HEADER.encode()): "r.csv: there are no ratings in it",
}


@pytest.mark.parametrize(("content", "message"), FAULTS.items(), ids=[m[:60] for m in FAULTS.values()])
def test_a_fault_is_named_with_file_and_line(content: bytes | str, message: str, tmp_path: Path) -> None:
    path = put(tmp_path, "r.csv", content)
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{tmp_path}/{message}")
    assert "\n" not in str(caught.value)


def test_what_is_not_utf8_in_a_column_nobody_reads_does_no_harm(tmp_path: Path) -> None:
    table = read(put(tmp_path, "r.csv", "user,item,rating,note\n1,2,3,caf\xe9\n".encode("latin-1")))
    assert rows_of(table) == [(1, 2, 3.0)]
    assert table.origin.locate(0).endswith("r.csv, line 2")


@pytest.mark.parametrize("separator", [",", "::"])
@pytest.mark.parametrize("keep", [5, 40, -9, -1])
def test_a_gzip_file_that_is_cut_off_is_refused(separator: str, keep: int, tmp_path: Path) -> None:
    rows = [(i, i * 7919 % 1000, i % 5, i) for i in range(5000)]
    whole = gzip.compress(text(separator, HEADER.strip(), rows).encode())
    path = put(tmp_path, "r.csv.gz", whole[:keep])
    with pytest.raises(DataError, match=r"r.csv.gz.*Truncated compressed stream"):
        read(path)


@pytest.mark.parametrize("place", [12, 40, -3, -8])
def test_a_damaged_gzip_file_is_refused(place: int, tmp_path: Path) -> None:
    whole = bytearray(
        gzip.compress(text(",", HEADER.strip(), [(i, i * 7919 % 1000, i % 5, i) for i in range(5000)]).encode())
    )
    whole[place] ^= 0xFF
    with pytest.raises(DataError, match=r"r.csv.gz"):
        read(put(tmp_path, "r.csv.gz", bytes(whole)))


@pytest.mark.parametrize(
    ("columns", "error"),
    [
        ("user,item", UsageError),
        ("user,item,item", UsageError),
        ("user,,rating", UsageError),
        ("user,item,rating,time,more", UsageError),
        ("user,film,rating", DataError),
        ("USER,item,rating", DataError),
    ],
)
def test_columns_that_cannot_be(columns: str, error: type[Exception], tmp_path: Path) -> None:
    with pytest.raises(error, match=r"columns|no column '(film|USER)'"):
        read(put(tmp_path, "r.csv", "user,item,rating,time\n1,2,3,4\n"), columns=columns)


def test_columns_need_a_header(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--no-header"):
        read(put(tmp_path, "r.csv", "1,2,3\n"), columns="a,b,c", header=False)


@pytest.mark.parametrize("name", ["none.csv", "none.parquet", "file/none.csv", "n" * 300])
def test_a_missing_file_is_a_data_error(name: str, tmp_path: Path) -> None:
    put(tmp_path, "file", "")
    with pytest.raises(DataError, match=r"No such file|Not a directory|too long"):
        read(tmp_path / name)


@pytest.mark.parametrize("name", ["", "folder.parquet"])
def test_an_empty_folder_is_a_data_error(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder.parquet").mkdir()
    with pytest.raises(DataError, match=r"there is no file to read in this folder"):
        read(tmp_path / name)


# ── parquet ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def parquet(folder: Path, user: Any = (1, 2), item: Any = (3, 4), rating: Any = (1.5, 2.0), **more: Any) -> Path:
    columns = {"user": user, "item": item, "rating": rating, **more}
    table = pa.table({name: c if isinstance(c, pa.Array) else pa.array(list(c)) for name, c in columns.items()})
    pq.write_table(table, folder / "r.parquet", row_group_size=1)
    return folder / "r.parquet"


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (pa.array([7, 9], pa.int32()), [7, 9]),
        (pa.array([2**64 - 1, 3], pa.uint64()), [str(2**64 - 1), "3"]),
        (["a", "b"], ["a", "b"]),
        (["01", "1"], ["01", "1"]),
        (pa.array(["a", "b"], pa.large_string()), ["a", "b"]),
        (pa.array(["b", "a"]).dictionary_encode(), ["b", "a"]),
        (pa.array([9, 7]).dictionary_encode(), [9, 7]),
        (pa.array([b"a", b"b"]), ["a", "b"]),
    ],
    ids=str,
)
def test_ids_of_parquet(ids: Any, expected: list[object], tmp_path: Path) -> None:
    table = read(parquet(tmp_path, user=ids))
    assert table.ids.users[table.users].tolist() == expected
    assert table.origin.locate(1) == f"{tmp_path}/r.parquet, row 2"


@pytest.mark.parametrize(
    "times",
    [
        [86400, 1],
        [86400.9, 1.0],
        ["86400", "1"],
        pa.array([86_400_000, 1_999], pa.timestamp("ms")),
        pa.array([86_400_000_000, 1_000_000], pa.timestamp("us", tz="Asia/Seoul")),
    ],
    ids=str,
)
def test_timestamps_of_parquet_become_seconds(times: Any, tmp_path: Path) -> None:
    table = read(parquet(tmp_path, timestamp=times))
    assert table.timestamps is not None
    assert table.timestamps.tolist() == [86400, 1]


def test_dates_of_parquet_become_seconds(tmp_path: Path) -> None:
    table = read(parquet(tmp_path, timestamp=[datetime.date(1970, 1, 2), datetime.date(1969, 12, 31)]))
    assert table.timestamps is not None
    assert table.timestamps.tolist() == [86400, -86400]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"user": [1, None]}, "row 2: no usable user"),
        ({"item": ["a", " "]}, "row 2: no usable item"),
        ({"user": [1.5, 2.0]}, "column user cannot be the user"),
        ({"user": pa.nulls(2)}, "column user cannot be the user"),
        ({"user": [[1], [2]]}, "column user cannot be the user"),
        ({"user": [b"\xff", b"a"]}, "column user cannot be the user"),
        ({"rating": [1.0, None]}, "row 2: the rating is empty: --missing '' drops such rows"),
        ({"rating": [float("nan"), 1.0]}, "row 1: the rating 'nan' is not a finite number"),
        ({"rating": [1.0, 1e300]}, "row 2: the rating 'inf' is not a finite number"),
        ({"rating": ["1", "good"]}, "row 2: the rating 'good' is not a number"),
        ({"rating": [[1.0], [2.0]]}, "column rating cannot be the rating: a row of it holds several values, not one"),
        ({"rating": pa.array(["4,5", "3"], pa.large_string())}, "row 1: the rating '4,5' is not a number: .*--decimal"),
        ({"user": [1.0, float("nan")]}, "row 2: no usable user"),
        ({"user": [2.0**53, 1.0]}, "column user cannot be the user: floats so large stand for several whole numbers"),
    ],
)
def test_a_fault_in_parquet_is_named_with_its_row(columns: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = parquet(tmp_path, **columns)
    with pytest.raises(DataError, match=f"r.parquet(, |: ){message}"):
        read(path)


@pytest.mark.parametrize(("rating", "missing"), [([1.0, None], ""), ([1.0, float("nan")], "NaN"), (["1", ""], "")])
def test_what_a_message_advises_drops_ratings_of_parquet(rating: list[Any], missing: str, tmp_path: Path) -> None:
    table = read(parquet(tmp_path, rating=rating), missing=(missing,))
    assert (table.ratings.tolist(), table.origin.missing) == ([1.0], 1)


def test_columns_of_parquet_can_be_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"r": [5], "a.b": ["x"], "u": [1]}), tmp_path / "r.pq")
    assert rows_of(read(tmp_path / "r.pq", columns="u,a.b,r")) == [(1, "x", 5.0)]
    with pytest.raises(DataError, match=r"no column looks like the user"):
        read(tmp_path / "r.pq")


def test_a_parquet_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"r.parquet: not a parquet file"):
        read(put(tmp_path, "r.parquet", b"PAR1 but no more PAR1"))


def test_an_empty_or_cut_off_parquet_file_is_refused(tmp_path: Path) -> None:
    path = parquet(tmp_path)
    put(tmp_path, "cut.parquet", path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"cut.parquet: not a parquet file"):
        read(tmp_path / "cut.parquet")
    pq.write_table(pq.read_table(path).slice(0, 0), path)
    with pytest.raises(DataError, match=r"r.parquet: there are no ratings in it"):
        read(path)


# ── properties ───────────────────────────────────────────────────────────────────────────────────────────────────────

IDS = st.one_of(
    st.integers(-(2**64), 2**64).map(str),
    st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1, max_size=8).filter(
        lambda text: text.strip() and plain_id(text) == text.strip()
    ),
)
NUMBERS = st.floats(width=32, allow_nan=False, allow_infinity=False)
TIMES = st.integers(-(10**11) + 1, 10**11 - 1).filter(lambda time: not 1900 <= time <= 21_001_231)  # nor a date


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(st.tuples(IDS, IDS, NUMBERS, TIMES), min_size=1, max_size=12),
    separator=st.sampled_from(",;|\t"),
    gz=st.booleans(),
)
def test_what_a_csv_writer_wrote_is_read_back_the_same(
    rows: list[tuple[str, str, float, int]], separator: str, gz: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / f"generated.csv{'.gz' if gz else ''}"
    with (
        gzip.open(path, "wt", encoding="utf-8", newline="")
        if gz
        else path.open("w", encoding="utf-8", newline="") as file
    ):
        writer = csv.writer(file, delimiter=separator)
        writer.writerow(["user", "item", "rating", "timestamp"])
        writer.writerows(rows)
    table = read(path, separator=separator)
    users, items, ratings, timestamps = zip(*rows_of(table), strict=True)
    assert list(map(str, users)) == [row[0].strip() for row in rows]
    assert list(map(str, items)) == [row[1].strip() for row in rows]
    assert np.array_equal(np.array(ratings, np.float32), np.array([row[2] for row in rows], np.float32))
    assert list(timestamps) == [row[3] for row in rows]


BEGINNINGS = [
    b"",
    HEADER.encode(),
    b"1,2,3\n",
    b"u,a,b\n",
    b"id|title\n",
    b"1:\n",
    b"sep=;\n",
    b"\x1f\x8b",
    b"PK\x03\x04",
    b"{",
    b"[",
]
HOWS = st.builds(
    Reading,
    columns=st.sampled_from([None, "1,2,3", "user,item,rating"]),
    separator=st.sampled_from([None, ",", "::", " ", "é"]),
    header=st.sampled_from([None, False]),
    encoding=st.sampled_from([None, "cp1252", "utf-16"]),
    quoting=st.sampled_from(["auto", "none", "backslash"]),
    comment=st.sampled_from([None, "#"]),
    decimal=st.sampled_from([".", ","]),
    missing=st.sampled_from([(), ("99",), ("NA", "")]),
)


@settings(max_examples=300, deadline=None)
@given(
    beginning=st.sampled_from(BEGINNINGS),
    content=st.binary(max_size=200) | st.text('1,;"\n .\\#x', max_size=80),
    how=HOWS,
)
def test_no_content_whatever_ends_in_anything_but_a_table_or_one_line(
    beginning: bytes, content: bytes | str, how: Reading, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = content.encode() if isinstance(content, str) else content
    path = put(tmp_path_factory.getbasetemp(), "any", beginning + content)
    for reader in (read_ratings, read_wide, read_own_items):
        said = ""
        try:
            reader(find_source(path), how)
        except (DataError, UsageError) as error:
            said = str(error)
        assert "\n" not in said
