"""Which separator cuts the lines of a text into columns."""

import csv

from mfcli.data.columns import RATINGS, Wanted, by_usual_names, mark_of_comment
from mfcli.errors import DataError

SEPARATORS = ("::", "\t", ";", ",", "|", " ")
"""Those that are looked for, in this order. A blank is any run of blanks and tabs."""


def find_separator(lines: list[str], wanted: Wanted, name: str, quotes: bool) -> str:
    """The separator that cuts each of the lines into as many columns, at least those needed. Raises DataError."""
    separators = [one for one in SEPARATORS if one != " " or "title" not in wanted.roles]
    for separator in separators:
        widths = {_width(line, separator, quotes) for line in lines}
        if len(widths) == 1 and widths.pop() >= max(wanted.needed, 2) and not _is_beside_another(lines[0], separator):
            return separator
    for separator in separators:  # a faulty line further down is reported later, by number
        if _width(lines[0], separator, quotes) >= max(wanted.needed, 2):
            return separator
    remedy = wanted.remedies.separator
    cut = [by_usual_names(lines[0].split(one), wanted) for one in separators]
    bare = lines[0].strip().strip('"')
    if quotes and bare != lines[0].strip() and any(_width(bare, one, quotes) >= wanted.needed for one in separators):
        remedy = "the whole line stands in quotes: take them out"
    elif start := mark_of_comment(lines[0]):
        remedy = wanted.remedies.comment.format(start)
    elif any(has_names(line, wanted) for line in lines[1:]):
        remedy = "the names of the columns stand further down: take out the lines before them"
    elif wanted is RATINGS and any({"item", "rating"} <= places.keys() and "user" not in places for places in cut):
        remedy = "the ratings of one person are for `mfcli recommend --ratings`"
    elif wanted is RATINGS and any(_width(lines[0], one, quotes) == 2 for one in separators):
        remedy += "; a file without ratings goes to --clicks"
    raise DataError(f"{name}, line 1: no separator cuts it into {wanted.needed_text}: {remedy}")


def _is_beside_another(line: str, separator: str) -> bool:
    """Whether another separator stands before each one of a line, as in '1,<tab>2,<tab>3'."""
    *fields, _ = line.split(None if separator == " " else separator)
    return any(all(field.rstrip().endswith(mark) for field in fields) for mark in ";,|" if mark != separator)


def _width(line: str, separator: str, quotes: bool) -> int:
    """Columns of a line."""
    if separator == " ":
        return len(line.split())
    if len(separator) > 1 or not quotes:
        return len(line.split(separator))
    return len(next(csv.reader([line.rstrip("\r\n")], delimiter=separator), []))


def has_names(line: str, wanted: Wanted) -> bool:
    """Whether a line has usual names of all the columns that are needed, whatever separates them."""
    needed = set(wanted.roles[: wanted.needed])
    return any(needed <= by_usual_names(line.split(one), wanted).keys() for one in SEPARATORS)
