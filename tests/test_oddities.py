"""Ratings that can be used, but may not be what their owner means."""

import re

import numpy as np
import pytest

from mfcli.data.oddities import odd_ids, odd_times, odd_values
from mfcli.data.ratings import Sides

TEN = dict.fromkeys(range(1, 11), 100)


@pytest.mark.parametrize(
    ("histogram", "words"),
    [
        ({1: 900}, "all ratings are 1"),
        (TEN | {99: 300}, "23% of the ratings are 99, the others 1 to 10: .*--missing 99 leaves it out"),
        (TEN | {-1: 180}, "15% of the ratings are -1, the others 1 to 10: .*--missing -1"),
        (dict.fromkeys(range(6), 100) | {-1: 180}, "23% of the ratings are -1, the others 0 to 5: .*--missing -1"),
        (TEN | {0: 1600}, "62% of the ratings are 0, the others 1 to 10: .*--missing 0"),
        ({964982703: 1, 964981247: 1}, "like times: --columns says which column is what"),
        ({value / 2: 9 for value in range(-14, 19)} | {99: 40}, "--missing 99"),
    ],
)
def test_a_value_that_may_stand_for_no_rating_is_told(histogram: dict[float, int], words: str) -> None:
    values = sorted(histogram)
    (warning,) = odd_values(np.array(values), np.array([histogram[value] for value in values]))
    assert re.search(words, warning)


@pytest.mark.parametrize(
    "histogram",
    [
        {value / 2: 10 for value in range(1, 11)},
        dict.fromkeys(range(-10, 11), 10),
        dict.fromkeys(range(0, 101), 10),
        {-1: 50, 1: 50},
        {-1: 50, 0: 10, 1: 50},
        {0: 50, 1: 50},
        {0: 30, 1: 30, 2: 30, 3: 30, 4: 30, 5: 300},
        TEN | {99: 3},
        {1: 5, 2: 10, 3: 20, 4: 40, 5: 500},
    ],
)
def test_usual_scales_are_not_odd(histogram: dict[float, int]) -> None:
    values = sorted(histogram)
    assert odd_values(np.array(values), np.array([histogram[value] for value in values])) == []


def test_an_id_that_is_none_is_told() -> None:
    (warning,) = odd_ids(Sides(np.array(["7", "NULL"], object), np.array([1])))
    assert warning == "one of the users is called 'NULL': take out lines without an id"


def test_numbers_that_are_no_times_are_told() -> None:
    (warning,) = odd_times(np.array([1, 5]))
    assert warning.startswith("the timestamps are 1 to 5 seconds after 1970, unlike times: --columns")
    assert odd_times(np.array([1, 964982703])) == []


def test_ids_that_a_spreadsheet_has_shortened_are_told() -> None:
    good, bad = np.array([1, 2]), np.array(["1.23457E+12", "1.23458E+12", "B00E5"], object)
    (warning,) = odd_ids(Sides(good, bad))
    assert warning.startswith("2 ids of items are like 1.23457E+12")
    assert odd_ids(Sides(good, np.array(["a", "1e5x"], object))) == []
