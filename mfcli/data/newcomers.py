"""Reading the ratings of people whom training has not seen, one person's or several people's; items by id or title."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mfcli.arrays import Float32s, Int32s
from mfcli.data.by_title import Titles
from mfcli.data.columns import NEW_CLICKS, NEWCOMERS, TITLE, by_usual_names, find_places, plain_name
from mfcli.data.faults import NO_RATINGS, Fault, is_absent, rating_fault, row_fault
from mfcli.data.files import RATINGS_FILES, UNREADABLE, Source, find_source, one_line, short
from mfcli.data.form import Form, Reading, find_form
from mfcli.data.frames import read_all
from mfcli.data.ids import find_ids
from mfcli.data.lookup import MOST, Doubt
from mfcli.data.prepared import Prepared
from mfcli.data.remedies import BY_HAND
from mfcli.data.separators import SEPARATORS
from mfcli.data.sheet import rows_of_frame
from mfcli.data.table import plain_id
from mfcli.data.text import Text, guess_encoding
from mfcli.data.titles import YEAR_BEHIND
from mfcli.errors import DataError

NAME = "new"  # of the person in a file of one person's ratings


class Opinion(NamedTuple):
    """One rating as read: whose, of which item, by its id and title, '' if it has none; NaN if there is no rating."""

    user: str
    item: str
    title: str
    rating: float


@dataclass(frozen=True)
class Newcomer:
    """Somebody new.

    Attributes:
        name: the user in the file, or :data:`NAME`.
        items: (n,) int32 rows of the items that they rated, all different.
        ratings: (n,) float32.
    """

    name: str
    items: Int32s
    ratings: Float32s


def read_newcomers(path: Path, prepared: Prepared, doubt: Doubt, click: float | None = None) -> list[Newcomer]:
    """The people whose ratings are in a file, in its order.

    Args:
        path: text, parquet, feather or JSON; - for standard input. As :func:`read_opinions` reads it.
        prepared: knows the items.
        doubt: is told, with counts, of ratings that are missing or out of the scale, of unknown or ambiguous items, of
            items rated twice and of people of whom no rating is left.
        click: for a model of clicks what each weighs: then a line is a click, and ratings are not read.

    Raises:
        DataError: the file has a fault, or no rating in it can be used.
    """
    opinions = read_opinions(path, click)
    there = [one for one in opinions if not math.isnan(one.rating)]
    if len(there) < len(opinions):
        doubt(f"{path}: {len(opinions) - len(there):,} of {len(opinions):,} lines have no rating")
    return newcomers_of(there, prepared, str(path), doubt)


def newcomers_of(opinions: list[Opinion], prepared: Prepared, where: str, doubt: Doubt) -> list[Newcomer]:
    """The people whose ratings these are, in their order. Raises as :func:`read_newcomers`; ``where`` names them."""
    if prepared.feedback == "ratings":
        opinions = _in_range(opinions, prepared, where, doubt)
    rows = _find_items(opinions, prepared, where, doubt)
    people: dict[str, dict[int, float]] = {one.user: {} for one in opinions}
    twice = 0
    for one, row in zip(opinions, rows, strict=True):
        if row is not None:
            twice += row in people[one.user]
            people[one.user][row] = one.rating
    if twice:
        doubt(f"{where}: {twice:,} ratings are of an item that the user has rated before: the last one counts")
    left_out = [name for name, rated in people.items() if not rated]
    if len(left_out) == len(people):
        raise DataError(f"{where}: no rating in it can be used")
    if left_out:
        doubt(f"{where}: {len(left_out):,} of {len(people):,} users have no rating that can be used: {_some(left_out)}")
    return [
        Newcomer(name, np.fromiter(rated, np.int32), np.fromiter(rated.values(), np.float32))
        for name, rated in people.items()
        if rated
    ]


def _in_range(opinions: list[Opinion], prepared: Prepared, where: str, doubt: Doubt) -> list[Opinion]:
    """Those whose rating is one of the data's range. Raises DataError if none is."""
    low, high = prepared.facts.minimum, prepared.facts.maximum
    outside = [f"{one.rating:g}" for one in opinions if not low <= one.rating <= high]
    if outside:
        text = f"{where}: {len(outside):,} of {len(opinions):,} ratings are not from {low:g} to {high:g} as in the data"
        if len(outside) == len(opinions):
            raise DataError(f"{text}: {_some(outside)}: put them on that scale")
        doubt(f"{text}, and are left out: {_some(outside)}")
    return [one for one in opinions if low <= one.rating <= high]


def _find_items(opinions: list[Opinion], prepared: Prepared, where: str, doubt: Doubt) -> list[int | None]:
    """The row of each rating's item, by id, else by title; None where there is none or it is not clear."""
    rows: list[int | None] = [
        int(row) if row >= 0 else None for row in find_ids(prepared.items["id"], [one.item for one in opinions])
    ]
    unclear = dict.fromkeys(one.title or one.item for one, row in zip(opinions, rows, strict=True) if row is None)
    if not unclear:
        return rows
    titles = Titles(prepared.items)
    meant = {text: titles.find(text) for text in unclear}
    unknown = [text for text, found in meant.items() if not found]
    ambiguous = [(text, found) for text, found in meant.items() if len(found) > 1]
    if unknown:
        doubt(f"{where}: {len(unknown):,} items are not in the data: {_some(unknown)}")
    for text, found in ambiguous[:MOST]:
        doubt(f"{where}: '{text}' is not clear, it may be {titles.named(found)}")
    if len(ambiguous) > MOST:
        doubt(f"{where}: {len(ambiguous) - MOST:,} more titles are not clear")

    def row_of(one: Opinion, row: int | None) -> int | None:
        found = [row] if row is not None else meant[one.title or one.item]
        return found[0] if len(found) == 1 else None

    return [row_of(one, row) for one, row in zip(opinions, rows, strict=True)]


def _some(texts: list[str]) -> str:
    return short(", ".join(dict.fromkeys(texts)))


def read_opinions(path: Path, click: float | None = None) -> list[Opinion]:
    """The ratings in a file: columns item and rating, and perhaps user, title and year, by their usual names.

    The column of items may be one of titles. Without names of columns they are item, rating or user, item, rating.
    Of clicks, which weigh ``click``, there need be no column of ratings, and a file without names has an item a line.

    Raises:
        DataError: the file is absent, empty or has a fault; with the line's number for text.
    """
    source = find_source(path, RATINGS_FILES)
    try:
        opinions = list(_of_text(source, click) if source.kind == "text" else _of_frame(source, click))
    except UNREADABLE as error:
        raise DataError(f"{source.name}: {one_line(error)}") from None
    if not opinions:
        raise DataError(f"{source.name}: {NO_RATINGS}")
    return opinions


def _of_text(source: Source, click: float | None) -> Iterator[Opinion]:
    encoding = guess_encoding(source, None, BY_HAND)
    if click is None:
        form = find_form(source, Reading(encoding=encoding), NEWCOMERS)
    else:
        text = Text(source, encoding, remedies=BY_HAND)
        separator = _separator_of_names(text)
        if separator is None:
            yield from (Opinion(NAME, plain_id(line), "", click) for line in map(str.strip, text.lines()) if line)
            return
        form = find_form(source, Reading(separator=separator, encoding=encoding), NEW_CLICKS)
    places = form.places
    if form.header is None and form.width > 2:
        if form.width > 3:
            raise DataError(
                f"{source.name}, line 1: {form.width} columns without names: name them in a header, user,item,rating"
            )
        places = {"user": 0, "item": 1, "rating": 2}
    by_title = form.header is not None and plain_name(form.header[places["item"]]) in TITLE
    needed = replace(form, places={role: places[role] for role in ("user", "item", "rating") if role in places})
    for number, row in form.rows(lambda row: _fault(row, needed) is None):
        fault = _fault(row, needed)
        if fault:
            raise DataError(f"{source.name}, line {number}: {fault}")
        yield _opinion({role: row[place].strip() for role, place in places.items()}, by_title, click)


def _fault(row: list[str], form: Form) -> Fault | None:
    """What is wrong with a row, but for a rating that is not there; None if nothing is."""
    place = form.places.get("rating", len(row))
    absent = tuple(text for text in map(str.strip, row[place : place + 1]) if is_absent(text))
    return row_fault(row, form, absent)


def _separator_of_names(text: Text) -> str | None:
    """The separator that cuts a first line into names of columns, one of them that of items; None if none does."""
    first = next((line for line in text.lines() if line.strip()), "")
    cut = {separator: replace(text, separator=separator).split(first) for separator in SEPARATORS}
    return next((separator for separator, names in cut.items() if "item" in by_usual_names(names, NEW_CLICKS)), None)


def _of_frame(source: Source, click: float | None) -> Iterator[Opinion]:
    table = read_all(source)
    places = find_places(table.column_names, None, NEWCOMERS if click is None else NEW_CLICKS, source.name)
    by_title = plain_name(table.column_names[places["item"]]) in TITLE
    for number, row in enumerate(rows_of_frame(table), 1):
        cells = {role: row[place].strip() for role, place in places.items()}
        rating = cells.get("rating", "")
        fault = None if cells["item"] else Fault("the item is empty")
        if not is_absent(rating):
            fault = fault or rating_fault(rating, remedies=BY_HAND)
        if fault:
            raise DataError(f"{source.name}, row {number}: {fault}")
        yield _opinion(cells, by_title, click)


def _opinion(cells: dict[str, str], by_title: bool, click: float | None) -> Opinion:
    """The rating, or the click, in a row's cells by their roles; ``by_title`` says that the item is a title."""
    rating = cells.get("rating", "")
    title = cells["item"] if by_title else cells.get("title", "")
    if title and cells.get("year") and not YEAR_BEHIND.search(title):
        title = f"{title} ({cells['year']})"
    item = "" if by_title else plain_id(cells["item"])
    if click is None:
        click = math.nan if is_absent(rating) else float(rating)
    return Opinion(cells.get("user") or NAME, item, title, click)
