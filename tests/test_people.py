"""What is known of users, in MovieLens's layouts and in anybody's own file."""

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mfcli.data.files import find_source
from mfcli.data.people import read_users
from mfcli.data.sheet import Sheet
from mfcli.errors import DataError


def read(folder: Path, name: str, content: bytes | str) -> Sheet:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_users(find_source(path))


@pytest.mark.parametrize("name", ["users.dat", "any.txt"])
def test_users_dat_is_known_by_its_layout(tmp_path: Path, name: str) -> None:
    sheet = read(tmp_path, name, "1::F::1::10::48067\n\n2::M::56::16::70072-1234\n")
    assert sheet.columns == ("gender", "age", "occupation", "zip")
    assert sheet.rows == {"1": ("F", "1", "10", "48067"), "2": ("M", "56", "16", "70072-1234")}
    assert sheet.kinds == {"gender": "category", "age": "number", "occupation": "category", "zip": "zip"}


@pytest.mark.parametrize("name", ["u.user", "any.txt"])
def test_u_user_is_known_by_its_layout(tmp_path: Path, name: str) -> None:
    sheet = read(tmp_path, name, "1|24|M|technician|85711\r\n2|53|F|other|V3N4P\r\n")
    assert sheet.columns == ("age", "gender", "occupation", "zip")
    assert sheet.rows == {"1": ("24", "M", "technician", "85711"), "2": ("53", "F", "other", "V3N4P")}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("users.csv", "userId,age,city\n1,25,Köln\n7,,\n"),
        ("users.csv", b"\xef\xbb\xbfage;User-ID;city\r\n25;1;K\xc3\xb6ln\r\n;7;\r\n"),
        ("users.csv", "userId,age,city\n1,25,Köln\n7,,\n".encode("cp1252")),
        ("users.tsv.gz", gzip.compress("id\tage\tcity\n1.0\t25\tKöln\n7.0\t\t\n".encode())),
    ],
)
def test_own_users_in_any_usual_form(tmp_path: Path, name: str, content: bytes | str) -> None:
    sheet = read(tmp_path, name, content)
    assert sheet.columns == ("age", "city")
    assert sheet.rows == {"1": ("25", "Köln"), "7": ("", "")}


def test_own_users_as_parquet_with_lists(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"user": ["a", "b"], "likes": [["x", "y"], None], "age": [3, None]}), tmp_path / "u.parquet"
    )
    sheet = read_users(find_source(tmp_path / "u.parquet"))
    assert (sheet.columns, sheet.rows) == (("likes", "age"), {"a": ("x|y", "3"), "b": ("", "")})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "u.csv: the file is empty"),
        (
            "name,age\nx,1\n",
            r"u.csv, line 1: no column looks like the user \(columns: name, age\): name them with a header",
        ),
        ("userId,age\n1,2\n1,2,3\n", "u.csv, line 3: 3 columns, not 2"),
        ("1::F::1::10::48067\n2::M::56\n", "u.csv, line 2: 3 columns, not 5"),
        ("1,24,M\n2,25,F\n", "u.csv, line 1: 3 columns without names"),
        ("sep=;\n5\n6\n", r"u.csv, line 1: 1 column without names \(5\): name them with a header"),
    ],
)
def test_what_is_wrong_with_a_users_file_is_said_with_its_line(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, "u.csv", content)


def test_the_real_users_of_ml_1m(real_data: Path) -> None:
    sheet = read_users(find_source(real_data / "ml-1m-users.dat"))
    assert len(sheet.rows) == 6040
    assert {len(set(sheet.column(name, list(sheet.rows)))) for name in ("gender", "age", "occupation")} == {2, 7, 21}
