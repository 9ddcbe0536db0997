"""Odd texts: stray quotes, encodings, invisible characters, decimal commas, values that stand for no rating."""

import codecs
from pathlib import Path

import pytest

from mfcli.data import text as module
from mfcli.errors import DataError
from tests.inputs import put, read, rows_of

HEADER = "user,item,rating,title\n"


# ── nothing is lost in silence ───────────────────────────────────────────────────────────────────────────────────────

MANY = "".join(f"{n},1,4,Film\n" for n in range(3, 3000))


@pytest.mark.parametrize(
    ("content", "line", "fault"),
    [
        (f'1,1,5,Alpha\n2,1,4,"Heroes\n{MANY}', 3, "is not closed before the file ends"),
        (f'1,1,5,"Alpha\n2,1,4,Heroes\n3,1,4,"Film\n{MANY}', 2, "encloses line 3"),
        (f'1,1,5,"Alpha\n2,1,4,"Heroes\n{MANY}', 2, "encloses line 3"),
        ('1,1,5,"Alpha\n2,1,4,Heroes"\n', 2, "encloses line 3"),
        (f'1,1,5,Alpha\n"2,1,4,Heroes\n{MANY}', 3, "is not closed before the file ends"),
        (f'{MANY}9999,1,4,"Film', 2999, "is not closed before the file ends"),
        (f'1,1,5,"a\nb"\n2,1,4,"Heroes\n{MANY}', 4, "is not closed before the file ends"),
    ],
)
def test_a_stray_quote_is_an_error_that_names_its_line(content: str, line: int, fault: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=fault) as caught:
        read(put(tmp_path, "r.csv", HEADER + content))
    assert f"r.csv, line {line}: a quote" in str(caught.value)
    assert str(caught.value).endswith("mend it, or give --quoting none")


def test_a_nul_anywhere_is_an_error_that_names_its_line(tmp_path: Path) -> None:
    path = put(tmp_path, "r.csv", f"{HEADER}{MANY}9999\0,1,4,Film\n")
    with pytest.raises(DataError, match=r"line 2999: a NUL character, .*: take it out, or fetch the file again"):
        read(path)


def test_without_quoting_quotes_are_letters(tmp_path: Path) -> None:
    path = put(tmp_path, "r.csv", f'{HEADER}"1,1,5,Alpha\n2,1,4,"Heroes\n3,1,3,Ga"mma\n')
    assert rows_of(read(path, quoting="none")) == [('"1', 1, 5.0), ("2", 1, 4.0), ("3", 1, 3.0)]


def test_text_of_several_lines_within_quotes_is_no_stray_quote(tmp_path: Path) -> None:
    text = '1,1,5,"Good.\nWith, commas, and, more\n"\n\n2,"1",4,"He said ""so""\n"\n'
    table = read(put(tmp_path, "r.csv", HEADER + text))
    assert rows_of(table) == [(1, 1, 5.0), (2, 1, 4.0)]
    assert table.origin.lines == 7
    assert table.origin.locate(1).endswith("line 6")


def test_quotes_after_a_backslash(tmp_path: Path) -> None:
    path = put(tmp_path, "r.csv", HEADER + '1,1,5,"A \\"great\\" one, said I"\n2,1,4,"B"\n')
    assert rows_of(read(path)) == rows_of(read(path, quoting="backslash")) == [(1, 1, 5.0), (2, 1, 4.0)]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("block", [7, 64, 1 << 24])
def test_lines_are_counted_whatever_ends_them(
    end: str, block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK", block)
    monkeypatch.setattr(module, "SMALL_BLOCK", block)
    rows = [f"{n},1,4,x" for n in range(50)]
    for last in ("", end):
        for separator in (",", "::", " "):
            content = end.join([HEADER.strip(), *rows]).replace(",", separator) + last
            table = read(put(tmp_path, "r.csv", content))
            assert (len(table), table.origin.lines) == (50, 51)


# ── encodings and invisible characters ───────────────────────────────────────────────────────────────────────────────

NAMED = "user,item,rating\né,a,4\nb,日本,5\n"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_tells_the_encoding(encoding: str, tmp_path: Path) -> None:
    assert rows_of(read(put(tmp_path, "r.csv", NAMED.encode(encoding)))) == [("é", "a", 4.0), ("b", "日本", 5.0)]


def test_big_endian_too(tmp_path: Path) -> None:
    content = codecs.BOM_UTF16_BE + NAMED.encode("utf-16-be")
    assert rows_of(read(put(tmp_path, "r.csv", content))) == [("é", "a", 4.0), ("b", "日本", 5.0)]


def test_an_encoding_can_be_given(tmp_path: Path) -> None:
    path = put(tmp_path, "r.csv", "user,item,rating\né,a,4\n".encode("cp1252"))
    assert rows_of(read(path, encoding="cp1252")) == [("é", "a", 4.0)]
    with pytest.raises(DataError, match=r"line 2: the user id is not UTF-8 text: give --encoding \(cp1252"):
        read(path)
    with pytest.raises(DataError, match="not ascii text: give --encoding"):
        read(path, encoding="ascii")


@pytest.mark.parametrize("mark", ["\u200b", "\ufeff", "\u200e", "\u202a", "\u2060", " ", "\u00a0"])
def test_what_has_no_width_makes_no_other_user_and_no_fault(mark: str, tmp_path: Path) -> None:
    path = put(
        tmp_path, "r.csv", f"user,item,rating\n1{mark},a,4\n1,b{mark},5\n{mark}1,c,{mark if ord(mark) > 160 else ''}3\n"
    )
    assert rows_of(read(path)) == [(1, "a", 4.0), (1, "b", 5.0), (1, "c", 3.0)]


def test_lines_of_blanks_are_blank(tmp_path: Path) -> None:
    table = read(put(tmp_path, "r.csv", "user,item,rating\n1,2,3\n   \n\t\n4,5,1\n  "))
    assert rows_of(table) == [(1, 2, 3.0), (4, 5, 1.0)]
    assert table.origin.locate(1).endswith("line 5")


def test_ids_with_and_without_a_fraction_of_zero_are_the_same(tmp_path: Path) -> None:
    assert rows_of(read(put(tmp_path, "r.csv", "user,item,rating\n24.0,7,4\n24,7.00,5\n"))) == [
        (24, 7, 4.0),
        (24, 7, 5.0),
    ]


def test_a_fraction_of_zero_is_a_version_where_no_id_is_the_same_without(tmp_path: Path) -> None:
    table = read(put(tmp_path, "r.csv", "user,item,rating\n1.0,7,4\n1,8,5\n2.0,7,3\nx,7,3\n"))
    assert [row[0] for row in rows_of(table)] == ["1", "1", "2.0", "x"]


@pytest.mark.parametrize("mark", ["\u00ad", "\u061c", "\u180e", "\u200d", "\ufe0f"])
def test_marks_that_only_words_need_make_no_other_user(mark: str, tmp_path: Path) -> None:
    assert rows_of(read(put(tmp_path, "r.csv", f"user,item,rating\n5{mark},7,4\n5,8,5\n")))[0][0] == 5


# ── numbers ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_decimal_commas(tmp_path: Path) -> None:
    path = put(tmp_path, "r.csv", "user;item;rating\n1;2;4,5\n3;4;5\n")
    with pytest.raises(DataError, match=r"line 2: the rating '4,5' is not a number: .*--decimal , reads it"):
        read(path)
    assert rows_of(read(path, decimal=",")) == [(1, 2, 4.5), (3, 4, 5.0)]
    with pytest.raises(DataError, match=r"line 2: the rating '4\.5' is not a number"):
        read(put(tmp_path, "r.csv", "user;item;rating\n1;2;4.5\n"), decimal=",")
    path = put(tmp_path, "r.csv", "user;item;rating\n1;2;1.234,5\n3;4;-2.000.000\n5;6;7,5\n")
    assert [row[2] for row in rows_of(read(path, decimal=","))] == [1234.5, -2e6, 7.5]


def test_blanks_of_any_kind_may_stand_about_a_rating(tmp_path: Path) -> None:
    path = put(tmp_path, "r.csv", "user,item,rating\n1,2,\u00a04\u2003\n3,4,5\n")
    assert rows_of(read(path)) == [(1, 2, 4.0), (3, 4, 5.0)]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("5 stars", "leave nothing but the number in the column"),
        ("NA", "--missing 'NA' drops such rows"),
        ("\\N", r"--missing '\\N' drops such rows"),
        ("1.234,5", "--decimal , reads it"),
        ("1,234", "--decimal , reads it; take out commas between thousands"),
        ("1,234.5", "is not a number: take out commas between thousands"),
        ("#N/A", "--missing '#N/A' drops such rows"),
        ("<NA>", "--missing '<NA>' drops such rows"),
        ("good", "is not a number: write a number, or --missing 'good' drops such rows"),
        ("nan", "--missing 'nan' drops such rows"),
        ("", "the rating is empty: --missing '' drops such rows"),
    ],
)
def test_a_rating_that_is_none_comes_with_a_remedy(text: str, hint: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"line 3: .*{hint}"):
        read(put(tmp_path, "r.csv", f"user;item;rating\n1;1;4\n1;2;{text}\n"))


@pytest.mark.parametrize(
    ("missing", "kept"),
    [
        (("99",), [1, 2, 4, 5]),
        (("99", "-1"), [1, 4, 5]),
        (("99.0", "-1", "0"), [1, 4]),
    ],
)
def test_values_that_stand_for_no_rating_are_left_out(
    missing: tuple[str, ...], kept: list[int], tmp_path: Path
) -> None:
    values = ["3", "-1", "99", "4.5", "0"]
    path = put(
        tmp_path, "r.csv", "user,item,rating\n" + "".join(f"{n},1,{value}\n" for n, value in enumerate(values, 1))
    )
    table = read(path, missing=missing)
    assert table.ids.users[table.users].tolist() == kept
    assert table.origin.missing == 5 - len(kept)
    assert table.origin.locate(len(kept) - 1).endswith(f"line {kept[-1] + 1}")


def test_words_and_nothing_can_stand_for_no_rating(tmp_path: Path) -> None:
    path = put(tmp_path, "r.csv", "user;item;rating\n1;1;4,5\n2;1;NA\n3;1;\n4;1;99\n5;1;3\n")
    table = read(path, missing=("NA", "", "99"), decimal=",")
    assert rows_of(table) == [(1, 1, 4.5), (5, 1, 3.0)]
    with pytest.raises(DataError, match="line 4: the rating is empty"):
        read(path, missing=("NA",), decimal=",")
    with pytest.raises(DataError, match=r"r\.csv: every rating is one of --missing"):
        read(put(tmp_path, "r.csv", "user,item,rating\n1,1,99\n"), missing=("99",))
