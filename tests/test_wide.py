"""A matrix of ratings: a line a user, a column an item."""

from pathlib import Path
from typing import Any

import pytest

from mfcli.data.files import find_source
from mfcli.data.form import Reading
from mfcli.data.readers import read_ratings
from mfcli.data.wide import read_wide
from mfcli.errors import DataError

Rows = list[tuple[Any, ...]]


def read(folder: Path, content: str, **how: Any) -> Rows:
    path = folder / "wide.csv"
    path.write_text(content, encoding="utf-8")
    table = read_wide(find_source(path), Reading(**how))
    users, items = table.ids.users[table.users].tolist(), table.ids.items[table.items].tolist()
    assert table.origin.lines == len(content.splitlines())
    return list(zip(users, items, table.ratings.tolist(), strict=True))


@pytest.mark.parametrize("header", ["user,a,b,c", ",a,b,c", "userId,a,b,c"])
def test_a_header_names_the_items(header: str, tmp_path: Path) -> None:
    expected = [("x", "a", 4.0), ("x", "c", 5.0), ("y", "b", 3.5)]
    assert read(tmp_path, f"{header}\nx,4,,5\ny,,3.5,\n") == expected


def test_items_may_be_called_by_numbers(tmp_path: Path) -> None:
    assert read(tmp_path, "user;10;20\n7;4,5;\n8;;3\n", decimal=",") == [(7, 10, 4.5), (8, 20, 3.0)]


def test_blanks_stand_about_a_rating_or_for_none(tmp_path: Path) -> None:
    assert read(tmp_path, "user, a, b\nx, 4, \ny,\u00a0, 3\n") == [("x", "a", 4.0), ("y", "b", 3.0)]
    assert read(tmp_path, "user;a;b\nx;1.234,5;\ny;;3\n", decimal=",") == [("x", "a", 1234.5), ("y", "b", 3.0)]


def test_r_names_no_column_of_the_users(tmp_path: Path) -> None:
    assert read(tmp_path, "a,b\nx,4,NA\ny,,3\n", missing=("NA",)) == [("x", "a", 4.0), ("y", "b", 3.0)]


def test_a_first_line_of_decimal_commas_is_a_row(tmp_path: Path) -> None:
    assert read(tmp_path, "7;4,5;3,5\n8;;3\n", decimal=",") == [(7, 1, 4.5), (7, 2, 3.5), (8, 2, 3.0)]


def test_jesters_first_column_counts_the_ratings(tmp_path: Path) -> None:
    content = "2,-7.82,99,8.79\n1,99,4.08,99\n2,99,1.5,2.5\n"
    expected = [(1, 1, -7.82), (1, 3, 8.79), (2, 2, 4.08), (3, 2, 1.5), (3, 3, 2.5)]
    found = read(tmp_path, content, missing=("99",))
    assert [row[:2] for row in found] == [row[:2] for row in expected]
    assert [row[2] for row in found] == pytest.approx([row[2] for row in expected])


def test_without_a_header_items_are_numbered(tmp_path: Path) -> None:
    assert read(tmp_path, "70,4,NA\n80,,3\n", missing=("NA",)) == [(70, 1, 4.0), (80, 2, 3.0)]
    assert read(tmp_path, "x,4,\ny,,3\n", header=False) == [("x", 1, 4.0), ("y", 2, 3.0)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("user,item,rating\n1,2,3\n", r"line 1: a line of it is one rating .user,item,rating.: leave out --wide"),
        ("u,a,b\nx,1,good\n", "line 2, column 3: the rating 'good' is not a number"),
        ("u,a,b\nx,1\n", "line 2: 2 columns, not 3"),
        ("u,a,b\nx,1,1e39\n", "line 2, column 3: the rating '1e39' is too large"),
        ("u,a,b\nx,1,2\n\nx,2,1\n", "line 4: user 'x' is there twice"),
        ("u,a,a\nx,1,2\n", "line 1: two columns have the same name"),
        ("u,a,b\nx,,\n", "there are no ratings in it"),
    ],
)
def test_a_fault_is_named_with_its_place(content: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"wide.csv,? ?{message}|wide.csv: {message}"):
        read(tmp_path, content)


@pytest.mark.parametrize("header", ["user,Alpha,Beta,Gamma,Delta\n", ""], ids=["named", "unnamed"])
def test_a_matrix_without_the_option_draws_a_hint(tmp_path: Path, header: str) -> None:
    path = tmp_path / "wide.csv"
    path.write_text(header + "a,5,,3,1\nb,4,2,,\n")
    with pytest.raises(DataError, match=r"a matrix, a line a user and a column an item, is read by --wide$"):
        read_ratings(find_source(path))
