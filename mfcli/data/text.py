"""The text in a file: its encoding, its lines as both pyarrow and we read them, its rows.

Whatever is odd about a text (an encoding, comments, a separator of two characters, runs of blanks, Netflix's way of
writing the item on a line of its own) is changed on the way, a block of whole lines at a time. No line is ever added
or taken out, so that the number of a line is that of the file.
"""

import codecs
import csv
import io
import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from mfcli.data.files import UNREADABLE, Source, one_line
from mfcli.errors import DataError

Row = tuple[int, list[str]]
"""The number of the line that a row begins on, and its columns."""

BLOCK = 1 << 24  # bytes, for pyarrow
SMALL_BLOCK = 1 << 16  # bytes, to read line by line
LONGEST_LINE = 1 << 28  # bytes
ENCODINGS = ("utf-8", "cp1252", "latin-1")  # those that are tried; the last fits everything
STAND_IN = "\x1f"  # in place of a separator that is not one ASCII character

MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32"} | {
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Byte order marks and the encodings that they tell, the longer before the shorter."""

INVISIBLE = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff]")
"""Characters without width: marks of direction, joiners, byte order marks."""

INVISIBLE_BYTES = re.compile(rb"\xe2\x80[\x8b-\x8f\xaa-\xae]|\xe2\x81[\xa0-\xa4\xa6-\xaf]|\xef\xbb\xbf")
NETFLIX_ITEM = re.compile(rb"^(\d+):[ \t]*(?=\r?\n|\Z)", re.MULTILINE)


@dataclass(frozen=True)
class Text:
    """How the characters of a source are to be taken.

    Attributes:
        source: the file.
        encoding: Python's name of it.
        separator: between columns, as in the file; a blank stands for any run of blanks and tabs.
        quoting: ``double`` (a quote within quotes is written twice), ``backslash`` (after one), or ``none``.
        comment: what a line begins with that is to be passed over.
        by_item: each item's ratings follow a line that holds its id and a colon, as in the Netflix prize's files.
    """

    source: Source
    encoding: str
    separator: str = ","
    quoting: str = "double"
    comment: str | None = None
    by_item: bool = False

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

    def open(self, *, clean: bool, block: int = BLOCK) -> "Lines":
        """The text in UTF-8, changed as the attributes say.

        Args:
            clean: also without characters that have no width, and with nothing in lines of blanks or separators alone.
            block: bytes to read and change at a time.
        """
        changes: list[Callable[[bytes], bytes]] = []
        if clean:
            blank = re.compile(
                rb"^[ \t\f\v\x1a" + re.escape(self.separator.encode()) + rb"]+(?=[\r\n]|\Z)", re.MULTILINE
            )
            changes += [lambda block: INVISIBLE_BYTES.sub(b"", block), lambda block: blank.sub(b"", block)]
        if self.comment:
            start = re.compile(rb"^[ \t]*" + re.escape(self.comment.encode()) + rb"[^\r\n]*", re.MULTILINE)
            changes.append(lambda block: start.sub(b"", block))
        if self.by_item:
            changes.append(_ItemInEveryRow())
        if self.separator == " ":
            changes.append(_single_blanks)
        elif self.delimiter == STAND_IN:
            separator = self.separator.encode()
            changes.append(lambda block: block.replace(separator, STAND_IN.encode()))
        return Lines(self, changes, block)

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

    def rows(self, is_row: Callable[[str], bool] = lambda _: False) -> Iterator[Row]:
        """Each row; a blank line is an empty one.

        Args:
            is_row: tells of a line whether it could be a row of its own. A quoted column that spans such a line is
                taken for a stray quote.

        Raises:
            DataError: a quote is never closed, or it encloses other rows.
        """
        if not self.quotes:
            for number, line in enumerate(self.lines(), 1):
                yield number, self.split(line) if line.rstrip("\r\n") else []
            return
        taken: list[str] = []  # the lines of the row at hand

        def feed() -> Iterator[str]:
            for line in itertools.chain(self.lines(), [""]):
                taken.append(line)
                yield line

        # The empty line that is added at the end is a row of its own, unless a quote is still open there.
        number, reader = 1, self._reader(feed())
        for row in reader:
            if row and not taken[-1]:
                raise DataError(
                    f"{self.name}, line {number}: a quote opens in this row and is not closed before the file ends: "
                    "mend it, or give --quoting none"
                )
            for further, line in enumerate(taken[1:], number + 1):
                if is_row(line) and not (further == reader.line_num and self._closes(line)):
                    raise DataError(
                        f"{self.name}, line {number}: a quote in this row encloses line {further}, which looks like "
                        "a row of its own: mend it, or give --quoting none"
                    )
            yield number, row
            number = reader.line_num + 1
            taken.clear()

    def _closes(self, line: str) -> bool:
        """Whether the first quote in a line may end a column that has begun before it: but not the last column."""
        before, _, after = line.rstrip("\r\n").partition('"')
        is_last = len(self.split(before, quotes=False)) == len(self.split(line, quotes=False))
        return after[:1] in ("", self.delimiter) and not is_last


class Lines(io.RawIOBase):
    """A text's bytes, changed. Counts lines while it is read.

    Attributes:
        count: lines read so far; of the whole text when all is read.
        any_quote: whether there is a quote anywhere in what is read.
        last_line: that was read.
    """

    def __init__(self, text: Text, changes: list[Callable[[bytes], bytes]], block: int) -> None:
        super().__init__()
        self.count, self.any_quote, self.last_line = 0, False, b""
        self._text, self._changes, self._block, self._file = text, changes, block, text.source.open()
        recode = text.encoding != "utf-8"
        self._decoder = codecs.getincrementaldecoder(text.encoding)() if recode else None
        self._rest, self._ready, self._last, self._begun = b"", memoryview(b""), b"\n", False

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        super().close()

    def readinto(self, buffer: Any) -> int:
        while not len(self._ready):
            block = self._next_block()
            if not block:
                return 0
            self._ready = memoryview(block)
        size = min(len(buffer), len(self._ready))
        buffer[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size

    def _next_block(self) -> bytes:
        """The next changed lines; nothing at the end."""
        while True:
            read = self._file.read(self._block)
            block = self._decoded(read)
            if self._changes:
                block = self._rest + block
                cut = _last_line_end(block) if read else len(block)
                block, self._rest = block[:cut], block[cut:]
                if len(self._rest) > LONGEST_LINE:
                    raise DataError(f"{self._text.name}, line {self.count + 1}: the line is too long: is this a text?")
                for change in self._changes:
                    block = change(block)
            if block or not read:
                self._tell(block, at_end=not read)
                return block

    def _decoded(self, read: bytes) -> bytes:
        """The same in UTF-8, without a byte order mark."""
        if self._decoder is not None:
            try:
                read = self._decoder.decode(read, final=not read).encode("utf-8", "surrogatepass")
            except UnicodeDecodeError:
                raise DataError(
                    f"{self._text.name}, soon after line {self.count}: not {self._text.encoding} text: give --encoding"
                ) from None
        if not self._begun and read:
            self._begun = True
            read = read.removeprefix(codecs.BOM_UTF8)
        return read

    def _tell(self, block: bytes, *, at_end: bool) -> None:
        """Count lines, which end in a line feed, a carriage return, or both."""
        self.count += int(np.count_nonzero(np.frombuffer(block, np.uint8) == ord("\n")))
        if b"\r" in block:
            self.count += block.count(b"\r") - block.count(b"\r\n")
        if self._last == b"\r" and block.startswith(b"\n"):
            self.count -= 1
        self.any_quote = self.any_quote or b'"' in block
        self._last = block[-1:] or self._last
        self.last_line = block[block.rfind(b"\n", 0, max(0, len(block) - 1)) + 1 :] or self.last_line
        if at_end and self._last not in b"\r\n":
            self.count += 1
            self._last = b"\n"


class _ItemInEveryRow:
    """Netflix's files: the id on a line of its own becomes the first column of the lines that follow."""

    def __init__(self) -> None:
        self.item = b""

    def __call__(self, block: bytes) -> bytes:
        pieces = NETFLIX_ITEM.split(block)  # rows of the item before, item, its rows, item, ...
        changed = [self._rows(pieces[0], begins=True)]
        for item, lines in zip(pieces[1::2], pieces[2::2], strict=True):
            self.item = item
            changed.append(self._rows(lines, begins=False))
        return b"".join(changed)

    def _rows(self, lines: bytes, *, begins: bool) -> bytes:
        """Lines with the item in front of each; ``begins``: the first of them has not lost its start to an item."""
        prefix = self.item + b","
        ended = lines.endswith(b"\n")
        changed = (prefix if begins and lines else b"") + lines.replace(b"\n", b"\n" + prefix)
        return changed[: -len(prefix)] if ended else changed


def _single_blanks(block: bytes) -> bytes:
    """One blank for every run of blanks and tabs between columns, none at the ends of lines."""
    block = block.replace(b"\t", b" ")
    while b"  " in block:
        block = block.replace(b"  ", b" ")
    return block.replace(b"\n ", b"\n").replace(b" \n", b"\n").replace(b" \r", b"\r").removeprefix(b" ")


def _last_line_end(block: bytes) -> int:
    """Where the last line that is whole ends. A carriage return at the very end may be half a line end."""
    return max(block.rfind(b"\n"), block.rfind(b"\r", 0, max(0, len(block) - 1))) + 1


def find_encoding(source: Source, wanted: str | None) -> str:
    """The encoding asked for, else that of the byte order mark, else UTF-8. Raises DataError for what is no text."""
    marked = next((encoding for mark, encoding in MARKS.items() if source.head.startswith(mark)), None)
    encoding = marked or wanted or "utf-8"
    if encoding == "utf-8" and b"\0" in source.head[:4096]:
        raise DataError(f"{source.name}, line 1: there are NUL characters in it: it is no text, or --encoding utf-16")
    return encoding


def guess_encoding(source: Source, wanted: str | None) -> str:
    """As :func:`find_encoding`; where nobody tells, the first of :data:`ENCODINGS` that fits. Raises DataError."""
    encoding = find_encoding(source, wanted)
    return decode(source, ENCODINGS) if encoding == "utf-8" and wanted is None else encoding


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
