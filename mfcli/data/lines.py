"""The bytes of a text on their way to pyarrow and to us: decoded, changed, counted."""

import codecs
import io
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from mfcli.data.files import Source
from mfcli.errors import DataError

Change = Callable[[bytes], bytes]
"""From whole lines to as many other lines."""

LONGEST_LINE = 1 << 28  # bytes
NETFLIX_ITEM = re.compile(rb"^(\d+):[ \t]*(?=\r?\n|\Z)", re.MULTILINE)


def count_lines(block: bytes) -> int:
    """How many whole lines there are, that end in a line feed but for the last one of the text."""
    return block.count(b"\n") + (not block.endswith(b"\n"))


class Lines(io.RawIOBase):
    """A text's bytes in UTF-8, changed a block of whole lines at a time. Counts lines while it is read.

    Attributes:
        count: lines read so far; of the whole text when all is read.
        any_quote: whether there is a quote anywhere in what is read.
        last_line: that was read.
    """

    def __init__(self, source: Source, encoding: str, changes: Sequence[Change], block: int, remedy: str) -> None:
        """Open a text.

        Args:
            source: the file.
            encoding: Python's name of it.
            changes: made to each block, in this order.
            block: bytes to read and change at a time.
            remedy: what the error advises of what is not in this encoding.
        """
        super().__init__()
        self.count, self.any_quote, self.last_line = 0, False, b""
        self._name, self._encoding, self._changes, self._block = source.name, encoding, changes, block
        self._remedy = remedy
        self._file = source.open()
        self._decoder = None if encoding == "utf-8" else codecs.getincrementaldecoder(encoding)()
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

    def blocks(self) -> Iterator[bytes]:
        """The rest, some changed lines at a time: whole ones if there are changes."""
        return iter(self._next_block, b"")

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
                    raise DataError(f"{self._name}, line {self.count + 1}: the line is too long: is this a text?")
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
            except UnicodeError:
                raise DataError(
                    f"{self._name}, soon after line {self.count}: not {self._encoding} text: {self._remedy}"
                ) from None
        if not self._begun and read:
            self._begun = True
            read = read.removeprefix(codecs.BOM_UTF8)
        return read

    def _tell(self, block: bytes, *, at_end: bool) -> None:
        """Count lines, which end in a line feed, a carriage return, or both. Raises DataError if there is a NUL."""
        if b"\0" in block:
            line = self.count + block[: block.index(b"\0")].count(b"\n") + 1
            raise DataError(
                f"{self._name}, line {line}: a NUL character, as in a file that was not written to its end: take it "
                "out, or fetch the file again"
            )
        self.count += int(np.count_nonzero(np.frombuffer(block, np.uint8) == ord("\n")))
        if b"\r" in block:
            self.count += block.count(b"\r") - block.count(b"\r\n")
        if self._last == b"\r" and block.startswith(b"\n"):
            self.count -= 1
        self.any_quote = self.any_quote or b'"' in block
        self._last = block[-1:] or self._last
        start = block.rfind(b"\n", 0, max(0, len(block) - 1)) + 1
        ended = self.last_line.endswith((b"\n", b"\r")) and block
        self.last_line = block[start:] if start or ended else self.last_line + block
        if at_end and self._last not in b"\r\n":
            self.count += 1
            self._last = b"\n"


class ItemInEveryRow:
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


def single_blanks(block: bytes) -> bytes:
    """One blank for every run of blanks and tabs between columns, none at the ends of lines."""
    block = block.replace(b"\t", b" ")
    while b"  " in block:
        block = block.replace(b"  ", b" ")
    return block.replace(b"\n ", b"\n").replace(b" \n", b"\n").replace(b" \r", b"\r").removeprefix(b" ")


def _last_line_end(block: bytes) -> int:
    """Where the last line that is whole ends. A carriage return at the very end may be half a line end."""
    return max(block.rfind(b"\n"), block.rfind(b"\r", 0, max(0, len(block) - 1))) + 1
