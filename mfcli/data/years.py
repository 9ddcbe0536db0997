"""The year of an item: of a column of years if there is one, else the year in its title."""

from collections.abc import Sequence

from mfcli.data.attributes import NUMBERS, is_missing
from mfcli.data.columns import plain_name
from mfcli.data.sheet import Sheet

NAMES = ("year", "releaseyear", "startyear", "publicationyear", "yearofpublication", "originalpublicationyear")
"""Usual names of a column of years, without case, blanks or punctuation."""

YEARS = range(-9999, 10_000)


def years(sheet: Sheet, ids: Sequence[str]) -> list[int | None]:
    """The years of the items with these ids; None where nothing tells."""
    column = next((one for one in sheet.columns if plain_name(one) in NAMES), None)
    kinds = ("title",) if column is None else ("number", "date")
    return [_year(cell, kinds) for cell in sheet.column(column or "title", ids)]


def _year(cell: str, kinds: Sequence[str]) -> int | None:
    numbers = (NUMBERS[kind](cell) for kind in kinds if not is_missing(cell))
    year = next((int(number) for number in numbers if number is not None), None)
    return year if year in YEARS else None
