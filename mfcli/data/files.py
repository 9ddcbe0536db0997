"""Opening the files that people bring: text or parquet, gzipped or not."""

import csv
import gzip
import itertools
import stat
import sys
import zlib
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from mfcli.errors import DataError

UNREADABLE = (OSError, EOFError, zlib.error, csv.Error)
"""What Python raises of a file that is absent, forbidden, cut off or damaged."""

csv.field_size_limit(sys.maxsize)  # a column that nobody asks for may hold long texts


def require_file(path: Path) -> None:
    """Raise DataError unless there is a file, which can be read more than once."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: {one_line(error)}") from None
    if not stat.S_ISREG(mode):
        raise DataError(f"{path}: not a regular file")


def is_parquet(path: Path) -> bool:
    """By its name."""
    return path.suffix.lower() in (".parquet", ".pq")


def _is_gzip(path: Path) -> bool:
    return path.suffix.lower() == ".gz"


def open_text(path: Path, encoding: str = "utf-8-sig", errors: str = "strict") -> IO[str]:
    """A file's text, its line ends as they are."""
    if _is_gzip(path):
        return gzip.open(path, "rt", encoding=encoding, errors=errors, newline="")
    return path.open("r", encoding=encoding, errors=errors, newline="")


def open_bytes(path: Path) -> Any:
    """A file's bytes as a pyarrow stream."""
    return pa.input_stream(str(path), compression="gzip" if _is_gzip(path) else None)


def first_lines(path: Path, count: int = 5) -> list[str]:
    """The first lines of a text file. Raises DataError if it cannot be read, or has no text in its first lines."""
    try:
        with open_text(path, errors="surrogateescape") as file:
            lines = list(itertools.islice(file, count))
    except UNREADABLE as error:
        raise DataError(f"{path}: {one_line(error)}") from None
    if not any(line.strip() for line in lines):
        raise DataError(f"{path}: the file is empty")
    return lines


def first_line(path: Path) -> str:
    """The first line of a text file. Raises DataError unless it is UTF-8."""
    line = first_lines(path)[0]
    if not is_utf8(line):
        raise DataError(f"{path}, line 1: not UTF-8 text")
    return line


def is_utf8(text: str) -> bool:
    """Whether nothing of a text read with ``errors="surrogateescape"`` had to be escaped."""
    return text.isascii() or not any("\udc80" <= c <= "\udcff" for c in text)


def one_line(error: BaseException) -> str:
    """What the system or a library says, without the name of the file, which our messages begin with."""
    return " ".join(str(getattr(error, "strerror", None) or error).split())


def short(text: str, most: int = 100) -> str:
    """A text as a message quotes it."""
    return text if len(text) <= most else f"{text[:most]}..."
