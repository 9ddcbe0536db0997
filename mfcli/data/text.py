"""The text in a file: its encoding, its lines as both pyarrow and we read them, its rows.

Whatever is odd about a text (an encoding, comments, a separator of two characters, runs of blanks, Netflix's way of
writing the item on a line of its own) is changed on the way, a block of whole lines at a time. No line is ever added
or taken out, so that the number of a line is that of the file.
"""

import codecs
import csv
import io
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from mfcli.data.files import UNREADABLE, Source, one_line
from mfcli.data.lines import Change, ItemInEveryRow, Lines, single_blanks
from mfcli.data.remedies import BY_OPTION, Remedies
from mfcli.errors import DataError

Row = tuple[int, list[str]]
"""The number of the line that a row begins on, and its columns."""

BLOCK = 1 << 24  # bytes, for pyarrow
SMALL_BLOCK = 1 << 16  # bytes, to read line by line
PASSED_OVER = 1 << 22  # bytes of lines that are passed over together, where nothing need be said of any
ENCODINGS = ("utf-8", "cp1252", "latin-1")  # those that are tried; the last fits everything
STAND_IN = "\x1f"  # in place of a separator that is not one ASCII character

MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32"} | {
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Byte order marks and the encodings that they tell, the longer before the shorter."""

INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufe00-\ufe0f\ufeff]"
)
"""Characters without width: marks of direction, joiners, byte order marks. No ids or names differ by them."""

INVISIBLE_BYTES = re.compile(rb"\xe2\x80[\x8b\x8e\x8f\xaa-\xae]|\xe2\x81[\xa0-\xa4\xa6-\xaf]|\xef\xbb\xbf")
"""Those of them that no word needs, in UTF-8. Titles keep the joiners: Persian and emoji are others without."""


def padding(separator: str) -> str:
    """The pattern of blanks and the quote behind them that opens a column; not of a quote within one, written twice."""
    return rf'[ \t]+"(?!"(?!{re.escape(separator)}|[\r\n]|$))'


@dataclass(frozen=True)
class Text:
    """How the characters of a source are to be taken.

    Attributes:
        source: the file.
        encoding: Python's name of it.
        separator: between columns, as in the file; a blank stands for any run of blanks and tabs.
        quoting: ``double`` (a quote within quotes is written twice), ``backslash`` (after one), or ``none``.
        comment: what a line begins with that is to be passed over.
        padded: whether blanks stand before quotes, as in ``1, "a"``; they go.
        by_item: each item's ratings follow a line that holds its id and a colon, as in the Netflix prize's files.
        remedies: what errors advise.
    """

    source: Source
    encoding: str
    separator: str = ","
    quoting: str = "double"
    comment: str | None = None
    padded: bool = False
    by_item: bool = False
    remedies: Remedies = BY_OPTION

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def delimiter(self) -> str:
        """What separates columns in :meth:`open`: one ASCII character."""
        return self.separator if len(self.separator) == 1 and self.separator.isascii() else STAND_IN

    @property
    def quotes(self) -> bool:
        """Whether a column may stand in quotes. A separator of several characters is not looked for within them."""
        return self.quoting != "none" and self.delimiter == self.separator

    def open(self, *, clean: bool, block: int | None = None) -> Lines:
        """The text in UTF-8, changed as the attributes say.

        Args:
            clean: also without characters that have no width, and with nothing in lines of blanks or separators alone.
            block: bytes to read and change at a time; None for as many as suit pyarrow.
        """
        changes: list[Change] = []
        if clean:
            blank = re.compile(
                rb"^[ \t\f\v\x1a" + re.escape(os.fsencode(self.separator)) + rb"]+(?=[\r\n]|\Z)", re.MULTILINE
            )
            changes += [_without_invisible, lambda block: blank.sub(b"", block)]
        if self.comment:
            start = re.compile(rb"^[ \t]*" + re.escape(os.fsencode(self.comment)) + rb"[^\r\n]*", re.MULTILINE)
            changes.append(lambda block: start.sub(b"", block))
        if self.padded and self.quotes:
            pad = re.compile(os.fsencode(f"(^|{re.escape(self.separator)}){padding(self.separator)}"), re.MULTILINE)
            changes.append(lambda block: pad.sub(rb'\1"', block))
        if self.by_item:
            changes.append(ItemInEveryRow())
        if self.separator == " ":
            changes.append(single_blanks)
        elif self.delimiter == STAND_IN:
            separator = os.fsencode(self.separator)
            changes.append(lambda block: block.replace(separator, STAND_IN.encode()))
        return Lines(self.source, self.encoding, changes, block or BLOCK, self.remedies.encoding)

    def lines(self) -> Iterator[str]:
        """The lines with their ends; what is not UTF-8 is escaped by surrogates. Raises UNREADABLE, DataError."""
        with io.TextIOWrapper(
            io.BufferedReader(self.open(clean=True, block=SMALL_BLOCK), SMALL_BLOCK),
            "utf-8",
            errors="surrogateescape",
            newline="",
        ) as file:
            yield from file

    def split(self, line: str, *, quotes: bool | None = None) -> list[str]:
        """The columns of one of :meth:`lines`."""
        line = line.rstrip("\r\n")
        if not (self.quotes if quotes is None else quotes):
            return line.split(self.delimiter)
        return next(self._reader([line]), [])

    def _reader(self, lines: Any) -> Any:
        return csv.reader(lines, delimiter=self.delimiter, escapechar="\\" if self.quoting == "backslash" else None)

    def rows(
        self,
        is_row: Callable[[str], bool] = lambda _: False,
        sound: Callable[[bytes], bool] = lambda _: False,
        skip: int = 0,
    ) -> Iterator[Row]:
        """Each row; a blank line is an empty one.

        Args:
            is_row: tells of a line whether it could be a row of its own. A quoted column that spans such a line is
                taken for a stray quote.
            sound: tells of many whole lines whether each is a row of which nothing need be said. Those are passed over:
                a fault at the end of millions of lines is found in seconds.
            skip: it is not asked of so many first lines, nor of those that are read with them.

        Raises:
            DataError: a quote is never closed, or it encloses other rows.
        """
        if not self.quotes:
            for number, line in self._numbered(sound, skip):
                yield number, self.split(line) if line.rstrip("\r\n") else []
            return
        taken: list[str] = []  # the lines of the row at hand
        last = 0  # the number of the last one

        def feed() -> Iterator[str]:
            nonlocal last
            for number, line in self._numbered(lambda block: not taken and sound(block), skip):
                last = number
                taken.append(line)
                yield line
            last += 1
            taken.append("")
            yield ""

        # The empty line that is added at the end is a row of its own, unless a quote is still open there.
        for row in self._reader(feed()):
            number = last - len(taken) + 1
            if row and not taken[-1]:
                raise DataError(
                    f"{self.name}, line {number}: a quote opens in this row and is not closed before the file ends: "
                    + self.remedies.quoting
                )
            for further, line in enumerate(taken[1:], number + 1):
                if is_row(line) and not (further == last and self._closes(line)):
                    raise DataError(
                        f"{self.name}, line {number}: a quote in this row encloses line {further}, which looks like "
                        f"a row of its own: {self.remedies.quoting}"
                    )
            yield number, row
            taken.clear()

    def _numbered(self, sound: Callable[[bytes], bool], skip: int) -> Iterator[tuple[int, str]]:
        """The lines as of :meth:`lines`, and their numbers, but for blocks of them that are sound, after the first."""
        number = 0
        with self.open(clean=True, block=PASSED_OVER) as file:
            for block in file.blocks():
                if number >= skip and sound(block):
                    number = file.count
                    continue
                for line in io.StringIO(block.decode("utf-8", "surrogateescape"), newline=""):
                    number += 1
                    yield number, line

    def _closes(self, line: str) -> bool:
        """Whether the first quote in a line may end a column that has begun before it: but not the last column."""
        before, _, after = line.rstrip("\r\n").partition('"')
        is_last = len(self.split(before, quotes=False)) == len(self.split(line, quotes=False))
        return after[:1] in ("", self.delimiter) and not is_last


def _without_invisible(block: bytes) -> bytes:
    """Lines without characters that have no width."""
    return block if block.isascii() else INVISIBLE_BYTES.sub(b"", block)


def find_encoding(source: Source, wanted: str | None, remedies: Remedies = BY_OPTION) -> str:
    """The encoding asked for, else that of the byte order mark, else UTF-8. Raises DataError for what is no text."""
    marked = next((encoding for mark, encoding in MARKS.items() if source.head.startswith(mark)), None)
    encoding = codecs.lookup(marked or wanted or "utf-8").name
    if marked is None and encoding in ("utf-16", "utf-32"):
        encoding += "-le"  # as Windows writes it; without a mark the codec does not know
    if encoding == "utf-8" and b"\0" in source.head[:4096]:
        raise DataError(f"{source.name}, line 1: there are NUL characters in it: {remedies.no_text}")
    return encoding


def guess_encoding(source: Source, wanted: str | None, remedies: Remedies = BY_OPTION) -> str:
    """As :func:`find_encoding`; where nobody tells, the first of :data:`ENCODINGS` that fits. Raises DataError."""
    encoding = find_encoding(source, wanted, remedies)
    return decode(source, ENCODINGS) if encoding == "utf-8" and wanted is None else encoding


def encoding_doubts(encoding: str, wanted: str | None) -> tuple[str, ...]:
    """What to say of an encoding that :func:`guess_encoding` has found and nobody has told."""
    guessed = encoding in ENCODINGS[1:] and wanted is None
    return (f"it is not UTF-8, and is read as {encoding}: if it looks odd, give --encoding",) * guessed


def decode(source: Source, encodings: tuple[str, ...]) -> str:
    """The first of the encodings that fits all of a source; the last one if none does."""
    try:
        with source.open() as file:
            content = file.read()
    except UNREADABLE as error:
        raise DataError(f"{source.name}: {one_line(error)}") from None
    for encoding in encodings[:-1]:
        try:
            content.decode(encoding)
        except UnicodeDecodeError:
            continue
        return encoding
    return encodings[-1]
