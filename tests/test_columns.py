"""Which column is what: by usual names, by given names, by number; and files that others publish."""

from pathlib import Path
from typing import Any

import pytest

from mfcli.data.columns import CLICKS, ITEMS, RATINGS, find_places
from mfcli.data.files import find_source
from mfcli.data.form import Reading
from mfcli.data.newcomers import read_opinions
from mfcli.data.readers import read_ratings
from mfcli.data.table import join
from mfcli.errors import DataError, UsageError
from tests.inputs import put, read, rows_of


@pytest.mark.parametrize(
    ("header", "columns"),
    [
        ("User-ID;ISBN;Book-Rating", "User-ID,ISBN,Book-Rating"),
        ("user_id,anime_id,rating", "user_id,anime_id,rating"),
        ("user_id,parent_asin,rating,timestamp", "user_id,parent_asin,rating,timestamp"),
        ("reviewerID,asin,overall,unixReviewTime", "reviewerID,asin,overall,unixReviewTime"),
        ("userID,artistID,rating", "userID,artistID,rating"),
        ("rating,average_rating,user,item", "user,item,rating"),
        ("User Id,Item Id,Score,Date", "User Id,Item Id,Score,Date"),
        ("\ufeffuser,\u200bitem,rating", "user,item,rating"),
        ("user_id:token,item_id:token,rating:float", "user_id:token,item_id:token,rating:float"),
    ],
)
def test_usual_names_whatever_their_spelling(header: str, columns: str) -> None:
    names = [name.strip("\ufeff\u200b") for name in header.replace(";", ",").split(",")]
    places = find_places(header.replace(";", ",").split(","), None, RATINGS, "r.csv")
    assert [names[places[role]] for role in RATINGS.roles if role in places] == columns.split(",")


def test_of_the_items_a_title_comes_before_an_original_title() -> None:
    header = ["book_id", "original_title", "title"]
    assert find_places(header, None, ITEMS, "i.csv") == {"item": 0, "title": 2}


@pytest.mark.parametrize("how", [{"header": False}, {}])
def test_columns_without_names_have_numbers(how: dict[str, Any], tmp_path: Path) -> None:
    path = put(tmp_path, "r.csv", "0,24,14,4.5,1286563797\n1,20,12,3.5,1196595264\n")
    table = read(path, columns="2,3,4,5", **how)
    assert rows_of(table) == [(24, 14, 4.5, 1286563797), (20, 12, 3.5, 1196595264)]
    assert table.origin.columns == {
        "user": "column 2",
        "item": "column 3",
        "rating": "column 4",
        "timestamp": "column 5",
    }


def test_columns_with_names_can_have_numbers_too(tmp_path: Path) -> None:
    path = put(tmp_path, "r.csv", "a,b,c\n1,2,3\n")
    assert rows_of(read(path, columns="3,1,2")) == [(3, 1, 2.0)]


@pytest.mark.parametrize(
    ("columns", "error", "message"),
    [
        ("1,2,9", DataError, "r.csv, line 1: there is no column 9: it has 4"),
        ("0,1,2", UsageError, "with --no-header columns have numbers"),
        ("a,b,c", UsageError, "with --no-header columns have numbers"),
        ("1,2", UsageError, "'1,2' is not USER,ITEM,RATING"),
        ("1,1,2", UsageError, "'1,1,2' is not USER,ITEM,RATING"),
    ],
)
def test_numbers_that_cannot_be(columns: str, error: type[Exception], message: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=message):
        read(put(tmp_path, "r.csv", "1,2,3,4\n"), columns=columns, header=False)


@pytest.mark.parametrize("how", [{"header": False}, {}])
def test_more_than_four_columns_without_names_are_not_guessed(how: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"r.csv, line 1: 5 columns without names .*--columns"):
        read(put(tmp_path, "r.csv", "24\t14\t4.5\t1\t1286563797\n"), **how)


def test_a_first_line_of_numbers_is_a_row(tmp_path: Path) -> None:
    assert rows_of(read(put(tmp_path, "u.data", "196\t242\t3\t881250949\n"))) == [(196, 242, 3.0, 881250949)]


def test_a_header_is_not_taken_for_a_row(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"line 1: the rating 'rating' is not a number: is it a header\?"):
        read(put(tmp_path, "r.csv", "user,item,rating\n1,2,3\n"), header=False)


def test_amazons_order_is_known(tmp_path: Path) -> None:
    path = put(tmp_path, "r.csv", "B00LLGCFY9,A3NECGJYKC1UAB,5.0,1286563797\n0001048791,AKLHN5Z0ZZZZ,4.0,1196595264\n")
    expected = [("A3NECGJYKC1UAB", "B00LLGCFY9"), ("AKLHN5Z0ZZZZ", "0001048791")]
    assert [row[:2] for row in rows_of(read(path))] == expected
    assert read(path).origin.columns["item"] == "column 1"
    assert [row[:2] for row in rows_of(read(path, columns="1,2,3,4"))] == [one[::-1] for one in expected]


def test_netflix_files_have_the_item_on_a_line_of_its_own(tmp_path: Path) -> None:
    content = "1:\n1488844,3,2005-09-06\n822109,5,2005-05-13\n2:\n885013,4,2005-10-19"
    for ends in (content, f"{content}\n", content.replace("\n", "\r\n")):
        table = read(put(tmp_path, "combined_data_1.txt", ends))
        assert rows_of(table) == [
            (1488844, 1, 3.0, 1125964800),
            (822109, 1, 5.0, 1115942400),
            (885013, 2, 4.0, 1129680000),
        ]
        assert table.origin.locate(2).endswith("line 5")
        assert table.origin.lines == 5


def test_book_crossing_as_published(tmp_path: Path) -> None:
    path = put(
        tmp_path, "r.csv", '"User-ID";"ISBN";"Book-Rating"\r\n"276725";"034545104X";"0"\r\n"2";"0155061224";"5"\r\n'
    )
    assert rows_of(read(path)) == [(276725, "034545104X", 0.0), (2, "0155061224", 5.0)]


@pytest.mark.parametrize("words", ["made by a shop", "exported 2024-01-02 by shop", "made in 2024 by a shop", "a"])
def test_a_comment_in_the_place_of_the_header_is_named(words: str, tmp_path: Path) -> None:
    path = put(tmp_path, "r.csv", f"# {words}\nuser,item,rating\n1,2,3\n# the end\n")
    with pytest.raises(DataError, match=r"line 1: .*if the line is a comment, give --comment '#'"):
        read(path)
    table = read(path, comment="#")
    assert rows_of(table) == [(1, 2, 3.0)]
    assert (table.origin.lines, table.origin.locate(0).rpartition(" ")[2]) == (4, "3")


def test_a_first_line_may_tell_the_separator(tmp_path: Path) -> None:
    table = read(put(tmp_path, "r.csv", "sep=;\nuser;item;rating\n1;2;3\n"))
    assert rows_of(table) == [(1, 2, 3.0)]
    assert table.origin.locate(0).endswith("line 3")


@pytest.mark.parametrize(
    "content",
    ["     24       14 5 \n  3  20\t3\n", "24\t 14  5\n3 20 3\n", "24 14 5\r\n3 20 3 \r\n", "24\t\t14\t5\n3\t20\t3\n"],
)
def test_runs_of_blanks_are_one_separator(content: str, tmp_path: Path) -> None:
    assert rows_of(read(put(tmp_path, "epinions.txt", content))) == [(24, 14, 5.0), (3, 20, 3.0)]
    assert rows_of(read(put(tmp_path, "r.csv", content), separator=" ")) == [(24, 14, 5.0), (3, 20, 3.0)]


@pytest.mark.parametrize(
    "content",
    [
        '"user" "item" "rating"\n"1" 10 20 4\n"2" 11 20 5\n',  # R's write.table: every row begins with its name
        "user,item,rating\n10,20,4,\n11,20,5,\n",  # a separator after the last column too
        ",user,item,rating\n0,10,20,4\n1,11,20,5\n",  # the index of a pandas frame
        "user,item,rating\n10,20,4\n11,20,5\n,,\n,,\n\x1a",  # what spreadsheets and old systems leave at the end
        "user, item, rating\n10, 20, +4\n 11 ,20 , 5.\n",
        'user, item, rating, title\n"10", "20", "4", "A, B"\n11, 20, 5, "C"\n',
        "user,\titem,\trating\n10,\t20,\t4\n11,\t20,\t5\n",
        '"sep=;"\nuser;item;rating\n10;20;4\n11;20;5\n',
    ],
)
def test_tables_as_programs_write_them(content: str, tmp_path: Path) -> None:
    assert rows_of(read(put(tmp_path, "r.csv", content))) == [(10, 20, 4.0), (11, 20, 5.0)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("user,item,rating\n1,2,3\nuser,item,rating\n3,4,5\n", "line 3: .*: the header again: .*each by --ratings"),
        ("u1\tm1\tsome artist\t2137\n", "line 1: the rating 'some artist' is not a number: --columns says which"),
        ("u1\tm1\t4/5\nu1\tm2\t3/5\n", "line 1: the rating '4/5' is not a number: leave nothing but the number"),
        ("user,item,rating\n1,2,3\n4,5\n", "line 3: 2 columns, not 3: is it cut off"),
        ("user,item,rating\n1,2,3\n4,5,6,7\n", "line 3: 4 columns, not 3: .* Put that in quotes"),
        ("user,item,rating\n1,2,3\n(1 row affected)\n", r"line 3: 1 column, not 3: .*--comment '\('"),
        ('"user,item,rating"\n"1,2,3"\n', "line 1: .*the whole line stands in quotes: take them out"),
        ("Ratings of 2019\n\nuser,item,rating\n1,2,3\n", "the names of the columns stand on line 3: take out"),
        ("Ratings\n\nuser,item,rating\n1,2,3\n", "line 1: .*: the names of the columns stand further down"),
        ("user,item,rating\n1,2,3\n------\n", "line 3: 1 column, not 3: .*--comment '--'"),
        ("\x15x\n1 2 3\n", "line 1: no separator cuts it into user, item and rating: give --separator"),
        ("%\n1 2 3\n", "line 1: .*--comment '%'"),
        ("1,2\n1,3\n", "line 1: .*a file without ratings goes to --clicks"),
        ("1:\n30878,2005-12-26\n", "lines with an item and a colon, but no ratings after them"),
        ("1:\n30878\n2647871\n", "lines with an item and a colon, but no ratings after them"),
    ],
)
def test_what_is_no_table_of_ratings_comes_with_a_remedy(content: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read(put(tmp_path, "r.csv", content))


@pytest.mark.parametrize(
    "content", ["ann\tbread\t2009-05-04T23:08:57Z\n", "u1\tbread\tx\nu23\tbeer\tx\n", "ann\tbread\tx\nann\tbeer\tx\n"]
)
def test_a_first_line_like_those_below_it_is_a_row(content: str, tmp_path: Path) -> None:
    table = read_ratings(find_source(put(tmp_path, "c.tsv", content)), Reading(columns="1,2"), CLICKS)
    assert len(table) == content.count("\n")


def test_pieces_of_a_file_of_which_the_first_has_the_names(tmp_path: Path) -> None:
    pieces = [put(tmp_path, "a.csv", "item,user,rating\n10,1,5\n"), put(tmp_path, "b.csv", "20,2,4\n")]
    with pytest.raises(DataError, match=r"b.csv: it names no columns, and those of .*a.csv .*--columns 2,1,3$"):
        join([read(piece) for piece in pieces])
    assert rows_of(join([read(piece, columns="2,1,3") for piece in pieces])) == [(1, 10, 5.0), (2, 20, 4.0)]
    same = [put(tmp_path, "a.csv", "user,item,rating\n1,10,5\n"), pieces[1]]
    assert rows_of(join([read(piece) for piece in same])) == [(1, 10, 5.0), (20, 2, 4.0)]


def test_times_that_only_some_files_have_are_left_out_and_told(tmp_path: Path) -> None:
    one, two = put(tmp_path, "a.csv", "user,item,rating,time\n1,10,5,9\n"), put(tmp_path, "b.csv", "1,20,4\n")
    table = join([read(one), read(two)])
    assert table.timestamps is None
    assert table.origin.no_times == f"{two} has no column of them"


# ── what one person thinks ───────────────────────────────────────────────────────────────────────────────────────────


def test_the_export_of_movielens_is_one_persons(tmp_path: Path) -> None:
    header = "movie_id,imdb_id,tmdb_id,rating,average_rating,title\n"
    path = put(tmp_path, "r.csv", f"{header}1,0114709,862,3.5,3.89,A (1995)\n7,1,2,4,3.1,B (2023)\n")
    opinions = read_opinions(path)
    assert [(one.item, one.title, one.rating) for one in opinions] == [("1", "A (1995)", 3.5), ("7", "B (2023)", 4.0)]
    with pytest.raises(DataError, match=r"no column looks like the user .*`mfcli recommend --ratings`"):
        read(path)


@pytest.mark.parametrize("text", ["item,rating\n1,100\n", "Title;Your Rating\nx;3\n"])
def test_the_ratings_of_one_person_are_told_from_a_wrong_separator(text: str, tmp_path: Path) -> None:
    path = put(tmp_path, "mine.csv", text)
    remedy = "`mfcli recommend --ratings`" if text.startswith("item") else "give --separator"
    with pytest.raises(DataError, match=f"line 1: no separator cuts it into user, item and rating: .*{remedy}"):
        read(path)
