"""How a text file of columns is laid out: what separates them, which of them are wanted, where a row begins."""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mfcli.data.files import first_line, first_lines, open_text, short
from mfcli.errors import DataError, UsageError

ROLES = ("user", "item", "rating", "timestamp")

USUAL_NAMES = {
    "user": ("userid", "user_id", "user", "uid"),
    "item": ("movieid", "movie_id", "itemid", "item_id", "item", "movie", "iid"),
    "rating": ("rating", "ratings", "score", "stars"),
    "timestamp": ("timestamp", "time", "ts", "unix_timestamp"),
}
"""What people call the columns, in lower case; the first that is there is taken."""

SEPARATORS = ("::", "\t", ";", ",", "|", " ")
"""Those that are looked for, in this order."""


@dataclass(frozen=True)
class Form:
    """How a text file of ratings is laid out.

    Attributes:
        separator: between the columns.
        header: names of all columns, or None if the first line holds a rating.
        places: role -> number of its column, from 0.
        width: columns in all.
    """

    separator: str
    header: tuple[str, ...] | None
    places: dict[str, int]
    width: int


def is_plain(separator: str) -> bool:
    """Whether CSV readers take it: one ASCII character. Any other separator is not looked for within quotes."""
    return len(separator) == 1 and separator.isascii()


def split_line(line: str, separator: str) -> list[str]:
    """The columns of a line."""
    line = line.rstrip("\r\n")
    if not is_plain(separator):
        return line.split(separator)
    return next(csv.reader([line], delimiter=separator), [])


def rows(lines: Iterable[str], separator: str, *, quotes: bool = True) -> Iterator[tuple[int, list[str]]]:
    """Each row of a text and the number of the line that it begins on; a blank line is an empty row.

    Args:
        lines: with or without their ends.
        separator: between columns.
        quotes: whether a column may stand in quotes.
    """
    if not (quotes and is_plain(separator)):
        for number, line in enumerate(lines, 1):
            text = line.rstrip("\r\n")
            yield number, text.split(separator) if text else []
        return
    reader, number = csv.reader(lines, delimiter=separator), 1
    for row in reader:
        yield number, row
        number = reader.line_num + 1


def rows_of(path: Path, separator: str) -> Iterator[tuple[int, list[str]]]:
    """The :func:`rows` of a file; what is not UTF-8 is escaped by surrogates."""
    with open_text(path, errors="surrogateescape") as file:
        yield from rows(file, separator)


def find_separator(path: Path, columns: tuple[str, ...] = ROLES[:3]) -> str:
    """The separator that cuts each of the first lines into as many columns, at least those. Raises DataError."""
    lines = [line for line in first_lines(path) if line.strip()]
    for separator in SEPARATORS:
        widths = {len(split_line(line, separator)) for line in lines}
        if len(widths) == 1 and widths.pop() >= len(columns):
            return separator
    for separator in SEPARATORS:  # a faulty line further down is reported later, by number
        if len(split_line(lines[0], separator)) >= len(columns):
            return separator
    wanted = f"{', '.join(columns[:-1])} and {columns[-1]}"
    raise DataError(f"{path}, line 1: no separator cuts it into {wanted}: give --separator, or mend the file")


def by_usual_names(header: list[str], roles: dict[str, tuple[str, ...]]) -> dict[str, int]:
    """Role -> number of the first column that has one of its usual names; roles without one are left out."""
    places = {name.strip().lower(): place for place, name in enumerate(header)}
    found = {role: next((places[name] for name in names if name in places), None) for role, names in roles.items()}
    return {role: place for role, place in found.items() if place is not None}


def find_places(header: list[str], columns: str | None, where: str) -> dict[str, int]:
    """Role -> number of its column, by the names that the user gave, else by the usual ones.

    Raises:
        DataError: a name is not there, or is there twice.
        UsageError: ``columns`` is not USER,ITEM,RATING[,TIMESTAMP].
    """
    if columns is None:
        places = by_usual_names(header, USUAL_NAMES)
        missing = [role for role in ROLES[:3] if role not in places]
        if missing:
            raise DataError(
                f"{where}: no column looks like the {missing[0]} (columns: {short(', '.join(header))}): "
                "name them with --columns USER,ITEM,RATING[,TIMESTAMP], or give --no-header"
            )
    else:
        names = [part.strip() for part in columns.split(",")]
        if not 3 <= len(names) <= 4 or len(set(names)) < len(names) or not all(names):
            raise UsageError(f"--columns: '{columns}' is not USER,ITEM,RATING[,TIMESTAMP]")
        for name in names:
            if name not in header:
                raise DataError(f"{where}: there is no column '{name}' (columns: {short(', '.join(header))})")
        places = {role: header.index(name) for role, name in zip(ROLES, names, strict=False)}
    if any(header.count(header[place]) > 1 for place in places.values()):
        raise DataError(f"{where}: two columns have the same name")
    return places


def find_form(path: Path, *, columns: str | None, separator: str | None, header: bool) -> Form:
    """Look at a text file's first lines and say how it is laid out. Raises DataError, UsageError."""
    line = first_line(path)
    separator = {"\\t": "\t", "tab": "\t"}.get(separator or "", separator) or find_separator(path)
    if separator in '"\r\n\0':
        raise UsageError("--separator: a quote, a line break or a NUL cannot separate columns")
    first = [name.strip() for name in split_line(line, separator)]
    if header:
        return Form(separator, tuple(first), find_places(first, columns, f"{path}, line 1"), len(first))
    if columns is not None:
        raise UsageError("--columns and --no-header exclude each other")
    if len(first) < 3:
        raise DataError(f"{path}, line 1: {len(first)} columns, not at least user, item and rating")
    return Form(separator, None, {role: place for place, role in enumerate(ROLES[: len(first)])}, len(first))
