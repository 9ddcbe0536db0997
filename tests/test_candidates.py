"""Candidates: every filter against the obvious loop, and what an item's year is."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mfcli.config.recommend import RecommendConfig
from mfcli.data.candidates import find_candidates
from mfcli.data.sheet import Sheet
from mfcli.data.years import years
from mfcli.errors import DataError, UsageError

ITEMS = {
    "id": [10, 20, 30, 40, 50],
    "title": ["A (1990)", "B (1994)", "C (1995)", "D", "E (2001)"],
    "genres": ["Comedy|War", "Comedy", "War|Drama", "", "Drama"],
    "year": [1990, 1994, 1995, None, 2001],
    "train_ratings": [5, 0, 9, 3, 1],
}


def found(items: dict[str, list[Any]] | None = None, **options: Any) -> list[int] | None:
    """Ids of the candidates."""
    table = pa.table(items or ITEMS)
    rows = find_candidates(RecommendConfig(user=("1",), **options), SimpleNamespace(items=table), pytest.fail)  # type: ignore[arg-type]
    return None if rows is None else [ITEMS["id"][row] for row in rows]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"genre": ("Comedy",)}, [10, 20]),
        ({"genre": ("comedy", "DRAMA")}, [10, 20, 30, 50]),
        ({"exclude_genre": ("War",)}, [20, 40, 50]),
        ({"genre": ("Comedy",), "exclude_genre": ("War",)}, [20]),
        ({"year": "1990..1994"}, [10, 20]),
        ({"year": "1995.."}, [30, 50]),
        ({"year": "..1994"}, [10, 20]),
        ({"year": "1995"}, [30]),
        ({"year": "2100.."}, []),
        ({"min_ratings": 4}, [10, 30]),
        ({"genre": ("War",), "year": "1994..", "min_ratings": 9}, [30]),
    ],
)
def test_filters(options: dict[str, Any], expected: list[int]) -> None:
    assert found(**options) == expected


def test_without_a_filter_there_are_no_candidates_to_name() -> None:
    assert found() is None


def test_lists_of_ids(tmp_path: Path) -> None:
    (tmp_path / "some").write_text("movieId\n30\n10\n50\n")
    (tmp_path / "no").write_text("10\n")
    assert found(items_from=str(tmp_path / "some"), exclude=str(tmp_path / "no")) == [30, 50]
    (tmp_path / "no").write_text("")
    assert found(exclude=str(tmp_path / "no")) == ITEMS["id"]
    assert found(items_from=str(tmp_path / "no")) == []


def test_ids_of_a_list_that_are_unknown_are_doubted(tmp_path: Path) -> None:
    (tmp_path / "some").write_text("30\n31\n")
    doubts: list[str] = []
    config = RecommendConfig(user=("1",), items_from=str(tmp_path / "some"))
    rows = find_candidates(config, SimpleNamespace(items=pa.table(ITEMS)), doubts.append)  # type: ignore[arg-type]
    assert np.array_equal(rows, [2])
    assert "some: 1 of 2 items are not in the data: 31" in doubts[0]


@pytest.mark.parametrize("option", ["genre", "exclude_genre"])
def test_a_genre_that_no_item_has_is_an_error_that_lists_those_there_are(option: str) -> None:
    with pytest.raises(DataError, match="no item is of genre 'Opera': the genres are Comedy, Drama, War"):
        found(**{option: ("War", "Opera")})
    with pytest.raises(DataError, match="no item is of genre 'War': the items have no genres"):
        found(ITEMS | {"genres": [""] * 5}, **{option: ("War",)})


def test_years_where_none_is_known() -> None:
    with pytest.raises(DataError, match="the items have no years"):
        found(ITEMS | {"year": pa.array([None] * 5, pa.int16())}, year="1990..")


@pytest.mark.parametrize("year", ["", "nineties", "1990-1999", "..", "1990..1999..", "19900.."])
def test_years_that_are_none(year: str) -> None:
    with pytest.raises(UsageError, match="--year"):
        RecommendConfig(user=("1",), year=year)


def test_an_items_year_is_in_its_title_or_in_a_column() -> None:
    rows = {"1": ("One (1995)", "7"), "2": ("Two", ""), "3": ("Three (1990-1993)", "x"), "4": ("(2001) A", "2002.0")}
    sheet = Sheet(("title", "Other"), rows, roles={"title": "title"})
    assert years(sheet, ["1", "2", "3", "4", "5"]) == [1995, None, 1990, 2001, None]
    sheet = Sheet(("title", "Original-Publication-Year"), rows, roles={"title": "title"})
    assert years(sheet, ["1", "2", "3", "4", "5"]) == [7, None, None, 2002, None]
    assert years(Sheet(), ["1"]) == [None]
