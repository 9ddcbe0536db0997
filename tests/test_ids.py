"""Lists of ids: one a line or a column of a table; and the rows that ids stand for."""

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfcli.data.id_files import IDS, read_ids
from mfcli.data.ids import find_ids
from mfcli.data.lookup import known_rows
from mfcli.data.table import plain_id
from mfcli.errors import DataError


@pytest.mark.parametrize(
    "content",
    [
        "1\nx y\n3\n",
        "\ufeff1\r\n\n  x y \r\n3\r\n1\r\n",
        "userId\n1\nx y\n3\n",
        "User-ID\n1.0\nx y\n3",
        "name,user_id,age\nann,1,7\nbob,x y,8\neve,3,9\n",
        "uid;name\n1;a\nx y;b\n3;c\n",
    ],
)
def test_ids_are_lines_or_a_column_and_come_once(content: str, tmp_path: Path) -> None:
    (tmp_path / "ids").write_text(content, "utf-8")
    assert read_ids(tmp_path / "ids", IDS.users) == ["1", "x y", "3"]


def test_ids_of_a_table(tmp_path: Path) -> None:
    pq.write_table(pa.table({"title": ["A", "B"], "movieId": [3, 1]}), tmp_path / "a.parquet")
    assert read_ids(tmp_path / "a.parquet", IDS.items) == ["3", "1"]


def test_a_line_that_only_looks_like_columns_is_an_id(tmp_path: Path) -> None:
    (tmp_path / "ids").write_text("a,b\nc;d\n")
    assert read_ids(tmp_path / "ids", IDS.items) == ["a,b", "c;d"]


def test_nothing_is_an_empty_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ids").write_text("\n \n")
    assert read_ids(tmp_path / "ids", IDS.users) == []
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"")))
    assert read_ids(Path("-"), IDS.users) == []


def test_a_list_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        read_ids(tmp_path / "ids", IDS.users)


@pytest.mark.parametrize("known", [pa.chunked_array([[5, 1], [300]]), pa.chunked_array([["5", "1"], ["300"]])])
def test_rows_of_ids(known: Any) -> None:
    assert find_ids(known, ["300", "5.0", " 1", "2", "", "01"]).tolist() == [2, 0, 1, -1, -1, -1]
    assert find_ids(known, []).tolist() == []


def test_unknown_ids_are_told_in_one_line_and_a_few_are_named() -> None:
    prepared: Any = SimpleNamespace(users=pa.table({"id": [1, 2]}))
    doubts: list[str] = []
    ids = ["2", *(f"x{n}" for n in range(7)), "1"]
    assert known_rows(prepared, "users", ids, "there", doubts.append).tolist() == [1, 0]
    assert doubts == ["there: 7 of 9 users are not in the data: x0, x1, x2, x3, x4, ..."]
    assert known_rows(prepared, "users", ["1"], "there", pytest.fail).tolist() == [0]


@given(
    known=st.one_of(
        st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 12), min_size=1, max_size=9, unique=True),
        st.lists(st.sampled_from(["a", " a", "1", "1.0", "01", "", "é"]), min_size=1, max_size=7, unique=True),
    ),
    ids=st.lists(
        st.sampled_from(["0", "-0", "1", " 1", "1.0", "01", "-2", "9" * 19, "a", " a", "", "é", "1e0"]) | st.text()
    ),
)
def test_ids_are_found_as_they_are_written_or_as_people_mean_them(known: list[Any], ids: list[str]) -> None:
    places = {str(one): place for place, one in enumerate(known)}
    expected = [places.get(one, places.get(plain_id(one), -1)) for one in [*ids, str(known[0])]]
    assert find_ids(pa.chunked_array([pa.array(known)]), [*ids, str(known[0])]).tolist() == expected
