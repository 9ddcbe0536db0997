"""Titles and genres, in the layouts of the catalogue and in anybody's own file."""

import gzip
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mfcli.data.catalogue import CSV, DAT, DAT_LATIN, ML100K, Layout
from mfcli.data.files import find_source
from mfcli.data.form import Reading
from mfcli.data.sheet import Sheet
from mfcli.data.titles import read_items, read_own_items, upright
from mfcli.errors import DataError
from tests.inputs import put

Titles = dict[str, tuple[str, str]]  # id -> title, genres
TWO: Titles = {"1": ("Les Misérables (1995)", "Drama|War"), "7": ("Toy Story (1995)", "")}
AS_CSV = 'movieId,title,genres\n1,"Misérables, Les (1995)",Drama|War\n\n7,Toy Story (1995),(no genres listed)\n'
AS_DAT = "1::Misérables, Les (1995)::Drama|War\n\n7::Toy Story (1995)::\n"
AS_U_ITEM = "1|Misérables, Les (1995)|01-Jan-1995||http://x|0|1|1\n\n7|Toy Story (1995)|01-Jan-1995||http://x|0|0|0\n"
U_GENRE = "unknown|0\nDrama|1\nWar|2\n\n"


def items_of(path: Path, layout: Layout) -> Titles:
    return titles(read_items(find_source(path), layout))


def own_items(path: Path, **how: Any) -> Titles:
    return titles(read_own_items(find_source(path), Reading(**how)))


def titles(sheet: Sheet) -> Titles:
    ids = list(sheet.rows)
    return dict(zip(ids, zip(sheet.column("title", ids), sheet.column("genres", ids), strict=True), strict=True))


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Matrix, The (1999)", "The Matrix (1999)"),
        ("Shawshank Redemption, The", "The Shawshank Redemption"),
        ("Enfer, L' (1994)", "L'Enfer (1994)"),
        ("Postino, Il (Postman, The) (1994)", "Il Postino (The Postman) (1994)"),
        (
            "Bad and the Ugly, The (Brutto, il cattivo, Il) (1966)",
            "The Bad and the Ugly (Il Brutto, il cattivo) (1966)",
        ),
        ("Crouching Tiger, Hidden Dragon (2000)", "Crouching Tiger, Hidden Dragon (2000)"),
        ("Net, Theft (1995)", "Net, Theft (1995)"),
    ],
)
def test_an_inverted_article_comes_to_the_front(title: str, expected: str) -> None:
    assert upright(title) == expected


@pytest.mark.parametrize(("layout", "text"), [(CSV, AS_CSV), (DAT, AS_DAT), (DAT_LATIN, AS_DAT), (ML100K, AS_U_ITEM)])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_every_layout_of_the_catalogue(layout: Layout, text: str, line_end: str, tmp_path: Path) -> None:
    put(tmp_path, "u.genre", U_GENRE)
    path = put(tmp_path, layout.items, text.replace("\n", line_end).encode(layout.items_encoding))
    assert items_of(path, layout) == TWO


def test_latin_1_where_utf_8_was_expected_is_read_all_the_same(tmp_path: Path) -> None:
    assert items_of(put(tmp_path, "movies.csv", AS_CSV.encode("latin-1")), CSV) == TWO


def test_a_title_may_hold_the_separator_or_a_line_break(tmp_path: Path) -> None:
    assert items_of(put(tmp_path, "movies.dat", "1::A::B::Drama\n"), DAT) == {"1": ("A::B", "Drama")}
    text = 'movieId,title,genres\n1,"A\nB",Drama\n2,short\n'
    with pytest.raises(DataError, match=r"movies.csv, line 4: 2 columns, not at least 3"):
        items_of(put(tmp_path, "movies.csv", text), CSV)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("items.csv", AS_CSV),
        ("items.csv", b"\xef\xbb\xbf" + AS_CSV.encode()),
        ("items.csv", AS_CSV.encode("latin-1")),
        ("items.csv.gz", gzip.compress(AS_CSV.encode())),
        ("items.tsv", "Item\t Title \tGenre\n1\tMisérables, Les (1995)\tDrama|War\n7\tToy Story (1995)\t\n"),
        ("items.txt", "name;id;genres\nMisérables, Les (1995);1;Drama|War\nToy Story (1995);7;\n"),
        ("movies.dat", AS_DAT.encode("latin-1")),
        ("u.item", AS_U_ITEM.encode("latin-1")),
    ],
)
def test_own_items_in_any_usual_form(name: str, content: bytes | str, tmp_path: Path) -> None:
    put(tmp_path, "u.genre", U_GENRE)
    assert own_items(put(tmp_path, name, content)) == TWO


def test_own_items_as_parquet_with_genres_as_lists(tmp_path: Path) -> None:
    titles = ["Misérables, Les (1995)", "Toy Story (1995)"]
    table = pa.table({"item_id": [1, 7], "title": titles, "genres": [["Drama", "War"], None]})
    pq.write_table(table, tmp_path / "items.parquet")
    assert own_items(tmp_path / "items.parquet") == TWO
    as_bytes = pa.array([title.encode() for title in titles])
    pq.write_table(table.set_column(1, "title", as_bytes), tmp_path / "items.parquet")
    assert own_items(tmp_path / "items.parquet") == TWO


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("i.csv", "", "i.csv: the file is empty"),
        (
            "i.csv",
            "film,title\n1,x\n",
            r"i.csv, line 1: no column looks like the item \(columns: film, title\): .*--item-columns",
        ),
        ("i.csv", "item,title\n1,Matrix, The\n", "i.csv, line 2: 3 columns, not 2"),
        ("i.csv", 'item,title\n1,"A\nB"\n2\n', "i.csv, line 4: 1 column, not 2"),
        ("i.dat", "1::A\n", "i.dat, line 1: 2 columns, not at least 3"),
        ("i.csv.gz", gzip.compress(AS_CSV.encode())[:-12], "i.csv.gz: Truncated compressed stream"),
        ("i.parquet", b"PAR1 and more", "i.parquet: not a parquet file"),
        ("u.item", AS_U_ITEM, "u.item, line 1: 8 columns, not 24"),
        (
            "i.csv",
            "1,A\n2,B\n",
            "i.csv, line 1: 2 columns without names .1, A.: say which is which with --item-columns",
        ),
        ("i.tsv", 'item\ttitle\n1\tA\n2\t"B\n3\tC\n', "i.tsv, line 3: a quote opens in this row and is not closed"),
        ("i.tsv", 'item\ttitle\n1\t"A\n2\tB\n3\t"C\n', "i.tsv, line 2: a quote in this row encloses line 3"),
    ],
)
def test_what_is_wrong_with_an_items_file_is_said_with_its_line(
    name: str, content: bytes | str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        own_items(put(tmp_path, name, content))


U_ITEM = "|".join(["267", "A Title (1990)", "", "", "", *"1000000000000000001"])


def test_u_item_is_known_without_u_genre_and_by_any_name(tmp_path: Path) -> None:
    expected = {"267": ("A Title (1990)", "unknown|Western")}
    assert own_items(put(tmp_path, "u.item", U_ITEM)) == expected
    assert own_items(put(tmp_path, "films.txt", f"{U_ITEM}\n")) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('"ISBN";"Book-Title";"Book-Author"\r\n"034X";"A \\"B\\" C";"D"\r\n', {"034X": ('A "B" C', "")}),
        ("book_id,authors,original_title,title\n1.0,X,Y,Z\n", {"1": ("Z", "")}),
        ("parent_asin,title,category\nB0,A,Toys\n", {"B0": ("A", "Toys")}),
        (
            "tconst\tprimaryTitle\tgenres\ntt1\tA\tDrama,War\ntt2\tB\t\\N\n",
            {"tt1": ("A", "Drama|War"), "tt2": ("B", "")},
        ),
        ("id,name\n1,\u201cA\u201d \u2013 é\n".encode("cp1252"), {"1": ("\u201cA\u201d \u2013 é", "")}),
        ("id,name\n1,A\n".encode("utf-16"), {"1": ("A", "")}),
        ('{"asin": "B0", "title": "A"}\n{"asin": "B1", "title": "B"}\n', {"B0": ("A", ""), "B1": ("B", "")}),
    ],
)
def test_items_as_others_publish_them(content: bytes | str, expected: Titles, tmp_path: Path) -> None:
    assert own_items(put(tmp_path, "items", content)) == expected


def test_columns_of_items_can_be_given_by_name_and_by_number(tmp_path: Path) -> None:
    named = put(tmp_path, "a.csv", "film,was,kind\n7,A,Drama\n")
    assert own_items(named, columns="film,was,kind") == {"7": ("A", "Drama")}
    assert own_items(named, columns="1,2") == {"7": ("A", "")}
    unnamed = put(tmp_path, "b.csv", "1,2003,A\n2,2004,B, the Second\n")  # as Netflix has it
    assert own_items(unnamed, columns="1,3") == {"1": ("A", ""), "2": ("B, the Second", "")}
    with pytest.raises(DataError, match="there is no column 4: it has 3"):
        own_items(named, columns="1,4")


def test_quotes_that_are_letters(tmp_path: Path) -> None:
    path = put(tmp_path, "i.tsv", 'item\ttitle\n1\t"A\n2\tB\n')
    assert own_items(path, quoting="none") == {"1": ('"A', ""), "2": ("B", "")}


def test_joiners_stay_in_titles_and_not_in_ids(tmp_path: Path) -> None:
    sheet = read_own_items(find_source(put(tmp_path, "i.csv", "item,title\n1\u200c,\u0645\u06cc\u200c\u062e\u200b\n")))
    assert sheet.column("title", ["1"]) == ["\u0645\u06cc\u200c\u062e"]


def test_what_is_odd_about_items_is_told(tmp_path: Path) -> None:
    content = b"item,title\n1,A\n1,A\n2,B\n2,Caf\xe9\n,lost\n"
    sheet = read_own_items(find_source(put(tmp_path, "i.csv", content)))
    assert sheet.column("title", ["1", "2"]) == ["A", "Café"]
    assert sheet.doubts == (
        "it is not UTF-8, and is read as cp1252: if it looks odd, give --encoding",
        "1 lines without an id are left out",
        "1 ids are there more than once, with other words: the last line counts (2)",
    )
    assert not read_own_items(find_source(put(tmp_path, "i.csv", content)), Reading(encoding="cp1252")).doubts[2:]


def test_a_missing_file_and_a_folder_are_data_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"No such file"):
        own_items(tmp_path / "none.csv")
    with pytest.raises(DataError, match=r"there is no file to read in this folder"):
        own_items(tmp_path)
    with pytest.raises(DataError, match=r"No such file"):
        items_of(tmp_path / "movies.csv", CSV)


def test_the_real_titles_of_ml_1m(real_data: Path) -> None:
    items = items_of(real_data / "ml-1m-movies.dat", DAT_LATIN)
    assert len(items) == 3883
    assert items["1"] == ("Toy Story (1995)", "Animation|Children's|Comedy")
    assert items["73"] == ("Les Misérables (1995)", "Drama|Musical")


def test_other_columns_are_kept_by_name(tmp_path: Path) -> None:
    """The number of a row, which pandas leaves in a column without a name, says nothing."""
    text = ',Name,pages,id,Genre,pages,Unnamed: 6\n0,"Net, The",310,n,Crime|Drama,9,x\n'
    sheet = read_own_items(find_source(put(tmp_path, "items.csv", text)))
    assert sheet.columns == ("Name", "pages", "Genre")
    assert sheet.rows == {"n": ("The Net", "310", "Crime|Drama")}
    assert sheet.roles == {"item": "id", "title": "Name", "genres": "Genre"}
    assert sheet.column("pages", ["n", "other"]) == ["310", ""]
    assert sheet.column("weight", ["n"]) == [""]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("userId,age\n1,25\n", "line 1: its columns are userId, age, not movieId,title,genres"),
        ("", "there is no item in it"),
        ("movieId,title,genres\n\n", "there is no item in it"),
    ],
)
def test_another_file_in_the_place_of_the_items_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    """Else the ages of users would be titles."""
    with pytest.raises(DataError, match=f"movies.csv.*{reason}"):
        items_of(put(tmp_path, "movies.csv", text), CSV)
