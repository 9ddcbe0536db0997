"""How a text file of columns is laid out. All of it is found by looking at the first lines, unless the user says it."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from mfcli.data.columns import (
    ITEMS,
    RATINGS,
    USERS,
    Wanted,
    by_number,
    by_usual_names,
    check_width,
    find_place,
    find_places,
    given_columns,
    mark_of_comment,
)
from mfcli.data.files import UNREADABLE, Source, short, why_broken
from mfcli.data.separators import find_separator, has_names
from mfcli.data.text import Row, Text, find_encoding, padding
from mfcli.errors import DataError, UsageError

SEPARATOR_LINE = re.compile(r'"?sep=([^"])"?\s*', re.IGNORECASE)  # a first line that Excel writes and understands
BY_ITEM = re.compile(r"\d+:\s*")
ESCAPED_QUOTE = re.compile(rb'\\"[^\S\r\n]*[^\s";,|\t]')  # a quote after a backslash that does not end a column
NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")
TIME = re.compile(r"(\d{4}-\d\d-\d\d|\d\d?[./]\d\d?[./]\d{2,4})([ T]|$)")
ASIN, REVIEWER = re.compile(r"B[0-9A-Z]{9}|[0-9]{9}[0-9X]"), re.compile(r"A[0-9A-Z]{9,20}")
SAMPLE = 20  # lines to look at


@dataclass(frozen=True)
class Reading:
    """What the user says of a text file of ratings or items. What is None is found by looking.

    Attributes:
        columns: names of the columns that are wanted, or their numbers from 1, with commas between them.
        separator: between columns; ``\\t`` or ``tab`` is a tab, a blank any run of blanks.
        header: False if the first line names no columns.
        encoding: Python's name of it; a byte order mark tells better.
        quoting: ``auto`` to find it by looking, ``double``, ``backslash`` or ``none``.
        comment: what a line begins with that is to be passed over.
        decimal: the decimal point.
        missing: what stands for a rating that is not there.
        weights: name or number of the column of the clicks' weights; None if each weighs 1.
    """

    columns: str | None = None
    separator: str | None = None
    header: bool | None = None
    encoding: str | None = None
    quoting: str = "auto"
    comment: str | None = None
    decimal: str = "."
    missing: tuple[str, ...] = ()
    weights: str | None = None


@dataclass(frozen=True)
class Form:
    """How a text file is laid out.

    Attributes:
        text: its characters.
        header: names of all columns, or None.
        places: role -> number of its column, from 0.
        width: columns in all.
        skip: lines before the first row.
        decimal: the decimal point.
        sample: the first rows.
        told_by: what tells which column is which: their ``names``, an ``option``, the ``layout`` of a file that we
            know, or nothing but their ``order``.
    """

    text: Text
    header: list[str] | None
    places: dict[str, int]
    width: int
    skip: int
    decimal: str
    sample: list[list[str]]
    told_by: str = "names"

    def rows(
        self, is_row: Callable[[list[str]], bool] = lambda _: False, sound: Callable[[bytes], bool] = lambda _: False
    ) -> Iterator[Row]:
        """The rows that hold something, and the numbers of their lines.

        Args:
            is_row: tells of a line's columns, as many as there should be, whether they could be a row of their own.
                A quoted column that spans such a line is taken for a stray quote.
            sound: which lines are passed over, as :meth:`Text.rows` has it.

        Raises:
            DataError: a quote is never closed, or it encloses other rows.
        """
        delimiters = self.width - 1

        def stands_alone(line: str) -> bool:
            return line.count(self.text.delimiter) == delimiters and is_row(self.text.split(line, quotes=False))

        rows = self.text.rows(stands_alone, sound, self.skip)
        return ((number, row) for number, row in rows if number > self.skip and row)

    def sample_of(self, role: str) -> list[str]:
        """The first values of a column."""
        place = self.places.get(role, self.width)
        return [row[place].strip() for row in self.sample if len(row) > place]

    def names(self) -> dict[str, str]:
        """Role -> what the file calls its column."""
        return {role: self.header[at] if self.header else f"column {at + 1}" for role, at in self.places.items()}


def find_form(source: Source, how: Reading, wanted: Wanted) -> Form:
    """Look at a file's first lines and say how it is laid out. Raises DataError, UsageError."""
    text, lines = find_text(source, how, wanted)
    (number, first), *others = [(number, line) for number, line in lines if line.strip()]
    where = f"{source.name}, line {number}"
    fields = [field.strip() for field in text.split(first)]
    places = _places_without_header([fields, *(text.split(line) for _, line in others)], how, wanted, text)
    header = fields if places is None else None
    told_by = "option" if how.columns is not None else "layout" if text.by_item else "names" if header else "order"
    skip = number - 1
    if header is not None:
        below = next((at for at, line in others if has_names(line, wanted)), None)
        if below and how.columns is None and not has_names(first, wanted) and not mark_of_comment(first):
            raise DataError(f"{where}: the names of the columns stand on line {below}: take out the lines before it")
        places, skip = find_places(header, how.columns, wanted, where), number
    sample = [text.split(line) for at, line in ((number, first), *others) if at > skip]
    if header is not None and {len(row) for row in sample} == {len(header) + 1}:
        header = _with_another(header, sample, wanted)
        places = find_places(header, how.columns, wanted, where)
    if header is None and how.columns is None and _is_amazons(sample):
        places, told_by = {"item": 0, "user": 1, "rating": 2, "timestamp": 3}, "layout"
    assert places is not None
    if how.weights is not None:
        weight = find_place(header, how.weights, "--weights", len(header or fields), where)
        places = {role: place for role, place in places.items() if place != weight} | {"weight": weight}
    return Form(text, header, places, len(header or fields), skip, how.decimal, sample, told_by)


def find_text(source: Source, how: Reading, wanted: Wanted) -> tuple[Text, list[tuple[int, str]]]:
    """How the characters are to be taken, and the first lines with their numbers. Raises DataError, UsageError."""
    quoting = how.quoting
    if quoting == "auto":
        quoting = "backslash" if ESCAPED_QUOTE.search(source.head) else "double"
    encoding = find_encoding(source, how.encoding, wanted.remedies)
    text = Text(source, encoding, quoting=quoting, comment=how.comment, remedies=wanted.remedies)
    lines = _first_lines(text)
    separator = {"\\t": "\t", "tab": "\t", "\\s+": " "}.get(how.separator or "", how.separator)
    if separator and re.fullmatch(r"\\x[0-7][0-9a-fA-F]", separator):
        separator = chr(int(separator[2:], 16))
    told = SEPARATOR_LINE.fullmatch(lines[0][1])
    if told:
        separator, lines = separator or told[1], lines[1:]
        if not any(line.strip() for _, line in lines):
            raise DataError(f"{source.name}: the file is empty")
    if BY_ITEM.fullmatch(next(line for _, line in lines if line.strip())) and wanted is RATINGS:
        text, separator = replace(text, by_item=True), separator or ","
    if separator is None:
        separator = find_separator([line for _, line in lines if line.strip()], wanted, text.name, text.quotes)
    if not separator or any(c in '"\r\n\0' for c in separator):
        raise UsageError("--separator: a quote, a line break or a NUL cannot separate columns")
    padded = separator not in " \t" and any(
        re.search(re.escape(separator) + padding(separator), line) for _, line in lines
    )
    text = replace(text, separator=separator, padded=padded)
    lines = _first_lines(text)[1 if told else 0 :]
    number, first = next(((number, line) for number, line in lines if line.strip()), (0, ""))
    if not number:  # nothing but separators
        raise DataError(f"{source.name}: the file is empty")
    if any("\udc80" <= c <= "\udcff" for c in first):
        raise DataError(f"{source.name}, line {number}: not UTF-8 text: {text.remedies.encoding}")
    return text, lines


def _first_lines(text: Text) -> list[tuple[int, str]]:
    """The first lines, blank ones too, until some are filled. Raises DataError if none is."""
    lines, filled = [], 0
    try:
        for number, line in enumerate(text.lines(), 1):
            lines.append((number, line))
            filled += bool(line.strip())
            if filled > SAMPLE:
                break
    except UNREADABLE as error:
        raise DataError(f"{text.name}: {why_broken(error)}") from None
    if not filled:
        raise DataError(f"{text.name}: the file is empty")
    return lines


def _with_another(header: list[str], sample: list[list[str]], wanted: Wanted) -> list[str]:
    """Names for rows of one column more, if we know why: a separator too many at the end, or rows numbered by R."""
    if not any(row[-1].strip() for row in sample):
        return [*header, ""]
    numbers = [str(number) for number in range(1, len(sample) + 1)]
    numbered = wanted is RATINGS and len(sample) > 1 and [row[0].strip() for row in sample] == numbers
    return ["", *header] if numbered else header


def _places_without_header(sample: list[list[str]], how: Reading, wanted: Wanted, text: Text) -> dict[str, int] | None:
    """Role -> number of its column, from 0, if the first line is a row already; None if it names the columns.

    Args:
        sample: the first lines, cut.
        how, wanted, text: as of :func:`find_form`.

    Raises:
        DataError: there are too few columns, or so many that they cannot be told apart without names.
        UsageError: names are given for columns without names.
    """
    where = f"{text.name}, line 1"
    fields = [field.strip() for field in sample[0]]
    if text.by_item and (len(fields) < wanted.needed or not NUMBER.fullmatch(fields[2])):
        raise DataError(f"{where}: lines with an item and a colon, but no ratings after them")
    if text.by_item:
        return dict(zip(("item", "user", "rating", "timestamp"), range(len(fields)), strict=False))
    numbered = None
    if how.columns is not None:
        numbered = by_number(given_columns(how.columns, wanted), wanted)
        if numbered is None and how.header is False:
            raise UsageError(f"{wanted.option}: with --no-header columns have numbers: {wanted.option} 1,2,3")
    if how.header is not False and ((how.columns is not None and numbered is None) or not _is_data(sample, wanted)):
        return None
    if numbered is not None:
        check_width(numbered, len(fields), where)
        return numbered
    if len(fields) < wanted.needed:
        raise DataError(
            f"{where}: it has {len(fields)} of at least {wanted.needed} columns, {wanted.needed_text}: "
            + wanted.remedies.separator
        )
    if len(fields) > len(wanted.roles) or wanted is ITEMS or wanted is USERS:
        how_named = f"name them with {wanted.option} {wanted.metavar}"
        if wanted.option.startswith("--"):
            how_named = f"say which is which with {wanted.option} {wanted.metavar}, by numbers from 1"
        if start := mark_of_comment(fields[0]):
            how_named += f"; {wanted.remedies.comment.format(start)}"
        elif wanted is RATINGS:
            how_named += "; a matrix, a line a user and a column an item, is read by --wide"
        columns = f"{len(fields)} column{'s' * (len(fields) > 1)}"
        raise DataError(f"{where}: {columns} without names ({short(', '.join(fields))}): {how_named}")
    return {role: place for place, role in enumerate(wanted.roles[: len(fields)])}


def _is_data(sample: list[list[str]], wanted: Wanted) -> bool:
    """Whether the first line is a row: it has no usual name, but a number, a time, or a value like those below it."""
    first, *others = ([field.strip() for field in row] for row in sample)
    if by_usual_names(first, wanted):
        return False
    if any(NUMBER.fullmatch(field) for field in first):
        return True
    if mark_of_comment(first[0]):
        return False
    if any(TIME.match(field) for field in first):
        return True
    columns = [set(column) for column in zip(*(row for row in others if len(row) == len(first)), strict=True)]
    return any(
        field and (field in column or ("9" in _shape(field) and {_shape(field)} == set(map(_shape, column))))
        for field, column in zip(first, columns, strict=False)
    )


def _shape(value: str) -> str:
    """What values of one kind have in common: u17 and u5 are u9."""
    return re.sub(r"\d+", "9", value)


def _is_amazons(sample: list[list[str]]) -> bool:
    """Whether columns without names are item, user, rating, time, as in Amazon's reviews of 2018."""
    return all(len(row) == 4 and ASIN.fullmatch(row[0]) and REVIEWER.fullmatch(row[1]) for row in sample)
