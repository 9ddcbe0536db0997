"""Ratings of people whom training has not seen: read in any form, their items found by id or by title."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mfcli.data.newcomers import read_newcomers, read_opinions
from mfcli.errors import DataError
from tests.inputs import put

TITLES = {
    1: "The Lighthouse (1998)",
    7: "Lighthouse Road (2001)",
    9: "Die Ärzte (2003)",
    12: "Sabre (1954)",
    13: "Sabre (1995)",
    300: "A Long Road (1987)",
}


def prepared_of(titles: dict[Any, str]) -> Any:
    columns = {"id": list(titles), "title": list(titles.values()), "ratings": list(range(len(titles), 0, -1))}
    return SimpleNamespace(
        feedback="ratings",
        items=pa.table(columns),
        facts=SimpleNamespace(minimum=0.5, maximum=5.0),
        n_items=len(titles),
    )


def read(folder: Path, content: str) -> tuple[dict[str, dict[int, float]], list[str]]:
    """Name -> id -> rating, and what was doubted."""
    prepared, doubts = prepared_of(TITLES), []
    people = read_newcomers(put(folder, "mine.csv", content), prepared, doubts.append)
    ids = list(TITLES)
    return {
        one.name: {ids[row]: float(rating) for row, rating in zip(one.items, one.ratings, strict=True)}
        for one in people
    }, doubts


@pytest.mark.parametrize(
    "content",
    [
        "item,rating\n1,4\n300,5\n",
        "1,4\n300,5",
        "rating\tmovieId\n4\t1\n5\t300\n",
        "1::4\n\n300::5\n",
        "\ufeffItem;Rating\r\n1;4\r\n300;5",
        "item,rating\n1.0,4\n 300 ,5\n",
        "title,rating\nThe Lighthouse (1998),4\nA Long Road (1987),5\n",
        "title,rating\nlighthouse,4\nLONG ROAD,5\n",
        'title,rating\n"Lighthouse, The",4\n"Long Road, A (1987)",5\n',
        "Name,Year,Rating\nThe Lighthouse,1998,4\nA Long Road,1987,5\n",
        "Const,Your Rating,Title\ntt001,4,The Lighthouse\ntt002,5,A Long Road\n",
        "movie,rating\nthe lighthouse,4\n300,5\n",
    ],
)
def test_one_persons_ratings_by_id_or_by_title(content: str, tmp_path: Path) -> None:
    assert read(tmp_path, content) == ({"new": {1: 4.0, 300: 5.0}}, [])


@pytest.mark.parametrize("content", ["user,item,rating\nann,1,4\nbob,7,3\nann,9,2\n", "ann,1,4\nbob,7,3\nann,9,2\n"])
def test_several_people_each_have_their_own(content: str, tmp_path: Path) -> None:
    assert read(tmp_path, content) == ({"ann": {1: 4.0, 9: 2.0}, "bob": {7: 3.0}}, [])


def test_a_table_is_read_as_a_text_is(tmp_path: Path) -> None:
    path = tmp_path / "mine.parquet"
    pq.write_table(pa.table({"title": ["Lighthouse"], "rating": [4.5], "user": [42]}), path)
    (person,) = read_newcomers(path, prepared_of(TITLES), pytest.fail)
    assert (person.name, person.items.tolist(), person.ratings.tolist()) == ("42", [0], [4.5])


@pytest.mark.parametrize(
    ("title", "found"),
    [
        ("Die Arzte", 9),  # accents do not count
        ("ärzte", 9),  # nor does an article
        ("The Lighthouse", 1),  # a whole title goes before a part of another
        ("lighthouse r", 7),  # a part, if it is one title's only
        ("Sabre (1995)", 13),
    ],
)
def test_what_people_call_an_item(title: str, found: int, tmp_path: Path) -> None:
    assert read(tmp_path, f"title,rating\n{title},4\n") == ({"new": {found: 4.0}}, [])


@pytest.mark.parametrize(
    ("row", "doubt"),
    [
        ("sabre,3", "'sabre' is not clear, it may be 12 Sabre (1954) (3 ratings); 13 Sabre (1995) (2 ratings)"),
        ("road,3", "'road' is not clear, it may be 7 Lighthouse Road (2001) (5 ratings); 300 A Long Road (1987)"),
        ("no such thing,3", "1 items are not in the data: no such thing"),
        ("98,3", "1 items are not in the data: 98"),  # a number is no part of a title
        ("lighthouse,6", "1 of 2 ratings are not from 0.5 to 5 as in the data, and are left out: 6"),
        ("A Long Road,", "1 of 2 lines have no rating"),
        ("A Long Road,NA", "1 of 2 lines have no rating"),
        ("The Lighthouse,3", "1 ratings are of an item that the user has rated before: the last one counts"),
    ],
)
def test_what_cannot_be_used_is_doubted_and_the_rest_counts(row: str, doubt: str, tmp_path: Path) -> None:
    people, doubts = read(tmp_path, f"title,rating\nlighthouse,4\n{row}\n")
    assert people == {"new": {1: 3.0 if "Lighthouse" in row else 4.0}}
    (text,) = doubts
    assert doubt in text
    assert text.startswith(str(tmp_path))


def test_many_doubtful_titles_are_a_few_lines(tmp_path: Path) -> None:
    titles = {place: f"Part {place} of it (2000)" for place in range(100)}
    doubts: list[str] = []
    content = "title,rating\nPart 0 of it,5\n" + "".join(f"part {digit},4\n" for digit in range(1, 10))
    read_newcomers(put(tmp_path, "mine.csv", content), prepared_of(titles), doubts.append)
    assert len(doubts) == 6
    assert "4 more titles are not clear" in doubts[-1]


def test_somebody_without_a_usable_rating_is_left_out(tmp_path: Path) -> None:
    people, doubts = read(tmp_path, "user,item,rating\nann,1,4\nbob,8,3\n")
    assert people == {"ann": {1: 4.0}}
    assert "1 of 2 users have no rating that can be used: bob" in doubts[-1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "mine.csv: the file is empty"),
        ("item,rating\n", "mine.csv: there are no ratings in it"),
        ("item,rating\n1,4\n2,much\n", "mine.csv, line 3: the rating 'much' is not a number"),
        ("item,rating\n,4\n", "mine.csv, line 2: the item id is empty"),
        ("user,item,rating\n,1,4\n", "mine.csv, line 2: the user id is empty"),
        ("1,4\n2\n", "mine.csv, line 2: 1 column, not 2"),
        ("1,inf\n", "mine.csv, line 1: the rating 'inf' is not a finite number"),
        ("1,85%\n", "mine.csv, line 1: the rating '85%' is not a number: leave nothing but the number in the column"),
        ("item;rating\n1;4,5\n", r"line 2: the rating '4,5' is not a number: .* decimal comma\? write it with a point"),
        ("1,2,3,4\n", "mine.csv, line 1: 4 columns without names: name them in a header, user,item,rating"),
    ],
)
def test_a_fault_in_the_file_is_named(content: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read_opinions(put(tmp_path, "mine.csv", content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "item,rating\n1,100\n300,80\n",
            "2 of 2 ratings are not from 0.5 to 5 as in the data: 100, 80: put them on that",
        ),
        ("item,rating\n1,\n300,n/a\n", "no rating in it can be used"),
        ("item,rating\n8,4\n", "no rating in it can be used"),
    ],
)
def test_no_rating_that_can_be_used_is_the_end(content: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, content)


def test_a_table_with_a_fault_says_which_row(tmp_path: Path) -> None:
    pq.write_table(pa.table({"item": ["1", None], "rating": [4.5, 3]}), tmp_path / "mine.parquet")
    with pytest.raises(DataError, match=r"mine\.parquet, row 2: the item is empty"):
        read_opinions(tmp_path / "mine.parquet")
