"""A fault late in a long file: lines before it are passed over many at a time, and what is said of it is the same."""

import random
from pathlib import Path
from typing import Any

import pytest

from mfcli.data import faults, text
from mfcli.data.files import find_source
from mfcli.data.form import Reading
from mfcli.data.pairs import read_pairs
from mfcli.data.readers import read_ratings
from mfcli.errors import DataError

FAULTS = {
    "word": "7,8,good,9",
    "column less": "7,8,3",
    "column more": "7,8,3,9,10",
    "stray quote": '7,"8,3,9',
    "no number": "7,8,NaN,9",
    "infinite": "7,8,1e99,9",
    "no user": " ,8,3,9",
    "no item": "7,,3,9",
    "no rating": "7,8,,9",
    "header": "user,item,rating,time",
    "not UTF-8": "7,\udcff,3,9",
}
ODD = {
    "blank lines": ("", 40),
    "quoted": ('"5","6",3,9', 1),
    "line break in quotes": ('5,"a\nb",3,9', 40),
    "blanks": (" 5, 6 , 3,9", 3),
    "missing": ("5,6,NA,9", 30),
    "invisible": ("\u200b5,6,3,9", 30),
}


def lines(number: int, odd: tuple[str, int] | None = None) -> list[str]:
    """So many rows, and an odd line after every few of them."""
    draws, made = random.Random(0), ["user,item,rating,time"]
    for row in range(number):
        made.append(f"{draws.randrange(50)},{draws.randrange(50)},{draws.randrange(1, 11) / 2},{1000 + row}")
        if odd and row % odd[1] == 0:
            made.append(odd[0])
    return made


def said(folder: Path, content: list[str], end: str, **how: Any) -> str:
    path = folder / "r.csv"
    path.write_bytes((end.join(content) + end).encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError) as error:
        read_ratings(find_source(path), Reading(**how))
    return str(error.value)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("fault", FAULTS)
def test_it_is_found_as_if_every_line_were_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, end: str
) -> None:
    content = [*lines(300), FAULTS[fault], *lines(40)[1:]]
    slowly = said(tmp_path, content, end)
    monkeypatch.setattr(text, "PASSED_OVER", 256)
    assert said(tmp_path, content, end) == slowly
    assert "line 302" in slowly


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("fault", ["word", "stray quote"])
def test_odd_lines_before_it_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, odd: str) -> None:
    content, how = (
        [*lines(300, ODD[odd]), FAULTS[fault], *lines(40)[1:]],
        {"missing": ("NA",)} if odd == "missing" else {},
    )
    slowly = said(tmp_path, content, "\n", **how)
    monkeypatch.setattr(text, "PASSED_OVER", 256)
    assert said(tmp_path, content, "\n", **how) == slowly
    before = content[: content.index(FAULTS[fault])]
    assert f"line {len(before) + sum(line.count(chr(10)) for line in before) + 1}" in slowly


def test_few_lines_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked, row_fault = [], faults.row_fault

    def counted(*arguments: Any) -> str | None:
        looked.append(arguments)
        return row_fault(*arguments)

    monkeypatch.setattr(faults, "row_fault", counted)
    monkeypatch.setattr(text, "PASSED_OVER", 1024)
    assert "line 3002: the rating 'good'" in said(tmp_path, [*lines(3000), FAULTS["word"], *lines(9)[1:]], "\n")
    assert 0 < len(looked) < 300


def test_a_header_is_never_passed_over_for_a_row_of_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "p.csv").write_text("user,item\n" + "5,6\n" * 100 + "7,\n")
    monkeypatch.setattr(text, "PASSED_OVER", 64)
    with pytest.raises(DataError, match="line 102: the item id is empty"):
        read_pairs(tmp_path / "p.csv", pytest.fail)


@pytest.mark.parametrize("odd", [None, *ODD])
def test_a_row_is_placed_as_if_every_line_were_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, odd: str | None
) -> None:
    content = lines(200, ODD[odd] if odd else None)
    (tmp_path / "r.csv").write_text("\n".join(content))
    table = read_ratings(find_source(tmp_path / "r.csv"), Reading(missing=("NA",)))
    slowly = [table.origin.locate(row) for row in range(0, len(table), 7)]
    monkeypatch.setattr(text, "PASSED_OVER", 128)
    assert [table.origin.locate(row) for row in range(0, len(table), 7)] == slowly
    assert slowly[0].endswith("line 2")
