"""What kind of attribute a column is, and which features are made of it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfcli.data import describe as module
from mfcli.data.attributes import Described
from mfcli.data.describe import BINS, describe
from mfcli.data.sheet import Sheet
from mfcli.errors import DataError


def described(cells: list[str], name: str = "x", kind: str | None = None, **more: list[str]) -> Described:
    """The features of one column, or more, of as many rows as it has cells."""
    columns = {name: cells, **more}
    ids = [str(row) for row in range(len(cells))]
    rows = dict(zip(ids, zip(*columns.values(), strict=True), strict=True))
    roles = {"title": name} if kind == "title" else {}
    return describe(Sheet(tuple(columns), rows, {name: kind} if kind else {}, roles), ids)


def features(cells: list[str], name: str = "x", kind: str | None = None) -> list[list[str]]:
    return described(cells, name, kind).features


# ── kinds ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_categories_that_two_rows_share_are_features() -> None:
    assert features(["red", "blue", " red", "green", "blue", "NULL"]) == [
        ["x=red"],
        ["x=blue"],
        ["x=red"],
        [],
        ["x=blue"],
        [],
    ]


def test_a_cell_may_hold_several_values() -> None:
    made = features(["Comedy|Drama", "Drama", "Drama|Comedy|Drama", "", "(no genres listed)"], "genres")
    assert made == [["genres=Comedy", "genres=Drama"], ["genres=Drama"], ["genres=Drama", "genres=Comedy"], [], []]


def test_few_different_numbers_are_categories() -> None:
    """1.0 is 1, as in a column of which pandas made floats because a cell was missing."""
    assert features(["1.0", "2", "1", "nan", "2.0"]) == [["x=1"], ["x=2"], ["x=1"], [], ["x=2"]]


def test_many_different_numbers_fall_into_bins_of_about_as_many_rows() -> None:
    """Whole numbers are told with both ends, others with the next bin's begin."""
    numbers = np.random.default_rng(0).permutation(np.repeat(np.arange(18, 78), 10))
    made = described([str(n) for n in numbers], "age")
    (age,) = made.attributes
    assert age.values[:2] == ("18-21", "22-25")
    assert age.values[-1] == "74-77"
    assert len(age.values) == BINS
    assert made.features[int(np.flatnonzero(numbers == 20)[0])] == ["age=18-21"]
    (weight,) = described([str(n / 8) for n in numbers], "weight").attributes
    assert weight.values[:2] == ("2.25-2.75", "2.75-3.25")
    (below,) = described([str(n - 50) for n in numbers], "x").attributes
    assert below.values[0] == "-32 to -29"


def test_decimal_commas_are_numbers_where_they_are_asked_for_and_else_a_doubt() -> None:
    cells = [f"{1000 + n // 2 * 7}" if n % 20 == 0 else f"1.{n // 2 * 7:03},50" for n in range(120)]
    sheet = Sheet(("Preis", "size"), {str(row): (cell, "1,5") for row, cell in enumerate(cells)})
    ids = list(sheet.rows)
    words, numbers = describe(sheet, ids), describe(sheet, ids, decimal=",")
    assert (words.with_commas, numbers.with_commas) == (("Preis",), ())
    (price,) = numbers.attributes
    assert (price.kind, price.bins[0][0], len(price.values)) == ("decimal comma", 1000, BINS)
    assert (
        price.words("1007,5")
        == price.words("1.007,50")
        == price.words("1007.5")
        == numbers.features[2][0].split("=")[1:]
    )
    assert price.words("cheap") == ["cheap"]
    codes = Sheet(("code",), {one: (one,) for one in ids}, {"code": "category"})
    assert describe(codes, ids).with_commas == (), "its layout says that these are no numbers"


@pytest.mark.parametrize("point", [".", ","])
def test_one_point_that_is_not_between_thousands_makes_all_points_of_a_column_decimal(point: str) -> None:
    cells = [f"{n // 2}{point}125" for n in range(120)]
    columns = {str(row): (cell, "7.5" if row == 2 else cell) for row, cell in enumerate(cells)}
    made = describe(Sheet(("large", "small"), columns), list(columns), decimal=",")
    large, small = made.attributes
    assert (large.kind, small.kind) == ("decimal comma", "decimal comma or point")
    assert (large.bins[0][0], small.bins[0][0]) == (125 if point == "." else 0.125, 0.125)
    assert small.words("7.125") == small.words("7,125") == small.words("7.13")


def test_a_number_known_by_its_layout_has_a_bin_of_its_own_up_to_the_next() -> None:
    """MovieLens's ages are the youngest of a group."""
    (age,) = described(["18", "25", "35", "18", "25", "35"], "age", "number").attributes
    assert age.values == ("18-24", "25-34", "35")


def test_dates_are_told_by_their_year() -> None:
    dates = [
        "1995-01-31",
        "31-Jan-1995",
        "31.1.1996",
        "1996-02-01T12:00:00Z",
        "January 5, 1997",
        "12/24/1997",
        "1995/06",
    ]
    years = ["1995", "1995", "1996", "1996", "1997", "1997", "1995"]
    assert features(dates, "born") == [[f"born={year}"] for year in years]


def test_the_year_of_a_title() -> None:
    titles = [
        "A (1995)",
        "B (1995)",
        "C (1996-1999)",
        "D (1996–) ",
        "1984",
        "E",
        "Blade (I) Runner 2049",
        "(500) Days (1995)",
    ]
    made = features(titles, "Title", "title")
    assert made == [["year=1995"], ["year=1995"], ["year=1996"], ["year=1996"], [], [], [], ["year=1995"]]


def test_a_column_called_year_wins_over_the_title() -> None:
    made = described(["A (1995)", "B (1995)", "C (2000)"], "title", "title", Year=["1", "1", "2"])
    assert [one.source for one in made.attributes] == ["Year"]


def test_of_a_postal_code_the_first_and_the_first_three_are_taken() -> None:
    made = features(["48067", "48067-1", "70072", "V3N4P", "V3A"], "Zip_Code")
    assert made == [["Zip_Code=4", "Zip_Code=480"], ["Zip_Code=4", "Zip_Code=480"], [], ["Zip_Code=V"], ["Zip_Code=V"]]


# ── what is left out ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ([f"text {row}" for row in range(50)], "nearly every row has its own"),
        ([f"text {max(row, 4)}" for row in range(60)], "nearly every row has its own"),
        (["", "NA", "nan"], "nothing in it"),
        (["a", "a", "a"], "the same in every row"),
        (["12345", "67890", "23456"], "no two rows share a value"),
    ],
)
def test_what_is_no_feature_and_why(cells: list[str], reason: str) -> None:
    made = described(cells, "zip" if cells[0] == "12345" else "x")
    assert list(made.left_out.values()) == [reason]
    assert (made.attributes, made.rows) == ((), 0)


def test_a_few_words_among_numbers_are_missing() -> None:
    """As in Book-Crossing's years of publication, some of which are publishers."""
    made = described([str(1900 + row) for row in range(95)] + ["DK Publishing"] * 5, "year")
    assert made.attributes[0].kind == "number"
    assert made.rows == 95


def test_the_most_frequent_features_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 3)
    made = described(["a", "a", "b", "b", "b", "c", "c"], "x", y=["1", "2", "1", "2", "1", "2", "1"])
    assert [one.features for one in made.attributes] == [["x=b"], ["y=1", "y=2"]]
    assert made.dropped == 2


def test_attributes_are_chosen_by_name_in_any_case() -> None:
    sheet = Sheet(
        ("Title", "Genres", "a=b"),
        {str(r): ("T (1990)", "x", "y") for r in (1, 2)},
        {"Title": "title"},
        {"title": "Title"},
    )
    made = describe(sheet, ["1", "2", "3"], ["YEAR", "a B"])
    assert made.features[0] == ["year=1990", "a b=y"]
    assert describe(sheet, ["1", "2", "3"], []).attributes == ()
    with pytest.raises(DataError, match="no features can be made of 'pages': the columns are Genres, a b, year"):
        describe(sheet, ["1"], ["pages"])
    with pytest.raises(DataError, match="'pages': nothing is known beside ratings"):
        describe(Sheet(), ["1"], ["pages"])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6) | st.integers(-100, 100), min_size=31, max_size=200, unique=True))
def test_every_number_is_in_the_bin_that_it_is_told_to_be_in(numbers: list[float]) -> None:
    """Bins ascend, every row has exactly one of them, and about as many rows are in each."""
    (attribute,) = described([repr(n) for n in numbers]).attributes
    starts = np.array([start for start, _ in attribute.bins])
    assert (np.diff(starts) > 0).all()
    assert len({words for _, words in attribute.bins}) == len(starts) <= BINS
    sizes = np.bincount(np.searchsorted(starts, numbers, side="right") - 1, minlength=len(starts))
    assert sizes.min() >= len(numbers) / BINS / 2
    assert sizes.max() <= len(numbers) / BINS * 1.5 + 1
    for number in numbers:
        assert attribute.words(repr(number)) == [
            attribute.bins[int(np.searchsorted(starts, number, side="right")) - 1][1]
        ]
