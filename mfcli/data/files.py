"""The files that people bring: one or several, in whatever container, read as often as needed."""

import csv
import errno
import functools
import hashlib
import io
import lzma
import re
import stat
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from mfcli.data.archive import BROKEN, LARGEST_RATIO, most_bytes
from mfcli.data.strange import strange, strange_zip
from mfcli.errors import DataError
from mfcli.terminal import visible

UNREADABLE = (
    OSError,
    EOFError,
    csv.Error,
    lzma.LZMAError,
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,
    pa.ArrowException,
)
"""What is raised of a file that is absent, forbidden, cut off or damaged."""

MAGIC = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bz2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
    b"PAR1": "parquet",
    b"ARROW1": "feather",
}
"""What a file's first bytes say it is. A file that begins otherwise holds text."""

CONTENTS = ("text", "parquet", "feather")

JSON_START = b"\xef\xbb\xbf \t\r\n"
"""What may stand before the bracket that JSON begins with."""

RATINGS_FILES = ("ratings.csv", "ratings.dat", "u.data")
"""What the ratings are called in the folder or archive of a whole data set."""

ABOUT = re.compile(r"(^|/)(README|LICEN[CS]E|CHANGELOG)[^/]*$|\.(md5|sha256|crc)$", re.IGNORECASE)
"""Names of files that tell of others."""

LAYERS = 3  # containers within one another that are opened
HEAD = 1 << 20  # bytes by which a file is judged
PIECE = 1 << 24  # bytes that are unpacked at a time

csv.field_size_limit(sys.maxsize)  # a column that nobody asks for may hold long texts


@dataclass(frozen=True)
class Source:
    """One file, which can be read more than once.

    Attributes:
        name: as messages call it.
        raw: opens its bytes as they lie there.
        usual: what the file in an archive of several may be called.
    """

    name: str
    raw: Callable[[], IO[bytes]]
    usual: tuple[str, ...] = ()

    def sha256(self) -> str:
        """Of the bytes as they lie there."""
        digest = hashlib.sha256()
        with self.raw() as file:
            while block := file.read(1 << 20):
                digest.update(block)
        return digest.hexdigest()

    def open(self) -> "Content":
        """The content, out of all containers. Raises one of UNREADABLE, or DataError."""
        return self._open(self._layers)

    def seekable(self) -> Any:
        """A binary file of the content that can be read from any place."""
        if not self._layers:
            return self.raw()
        with self.open() as file:
            return pa.BufferReader(file.read())

    @functools.cached_property
    def head(self) -> bytes:
        """The first bytes of the content, HEAD at the most. Raises DataError."""
        return self._first_bytes(self._layers, HEAD)

    @functools.cached_property
    def kind(self) -> str:
        """``parquet``, ``feather``, ``json`` or ``text``. Raises DataError for what is none of them."""
        head, kind = self.head, _kind(self.head)
        if what := strange(head):
            raise DataError(f"{self.name}: this is {what}")
        if kind not in CONTENTS:
            raise DataError(f"{self.name}: too many archives within one another: unpack them")
        return "json" if kind == "text" and head.lstrip(JSON_START)[:1] in (b"{", b"[") else kind

    @functools.cached_property
    def _layers(self) -> tuple[str, ...]:
        """The containers around the content, the outermost first."""
        found: list[str] = []
        while len(found) < LAYERS and (kind := _kind(self._first_bytes(found, 16))) not in CONTENTS:
            found.append(kind)
        return tuple(found)

    def _first_bytes(self, layers: Iterable[str], count: int) -> bytes:
        try:
            with self._open(layers) as file:
                return file.read(count)
        except UNREADABLE as error:
            raise DataError(f"{self.name}: {why_broken(error)}") from None

    def _open(self, layers: Iterable[str]) -> "Content":
        content = Content(self.raw(), self.name)
        try:
            for layer in layers:
                if layer == "zip":
                    content.enter(self._member(content.seekable()))
                elif layer == "xz":
                    content.enter(lzma.LZMAFile(content.innermost))  # noqa: SIM115 - the content closes it
                else:
                    content.enter(pa.CompressedInputStream(content.innermost, layer))
        except BaseException:
            content.close()
            raise
        return content

    def _member(self, file: IO[bytes]) -> IO[bytes]:
        """The only file in a zip, or the only one that has a usual name. Raises DataError if there is no such."""
        try:
            archive = zipfile.ZipFile(file)
            found = [one for one in archive.infolist() if not one.is_dir() and not _is_chaff(one.filename)]
            members = {one.filename: one for one in found}
        except BROKEN as error:
            raise DataError(
                f"{self.name}: not a zip that can be read ({one_line(error)}): is it cut off? Fetch it again"
            ) from None
        if what := strange_zip(members):
            raise DataError(f"{self.name}: this is {what}")
        if not members:
            raise DataError(f"{self.name}: there is no file to read in it")
        usual = [name for name in members if name.rpartition("/")[2] in self.usual]
        name = usual[0] if len(usual) == 1 else next(iter(members))
        if len(members) != 1 and len(usual) != 1:
            raise DataError(
                f"{self.name}: {len(members)} files are in it ({short(', '.join(members))}): "
                "unpack it, and name the one to read"
            )
        if members[name].flag_bits & 1:
            raise DataError(f"{self.name}: it is encrypted: unpack it")
        return archive.open(name)


class Content:
    """The bytes within a file's containers, to be read from the start. Closing it closes all of them."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        self._files: list[Any] = [file]
        self._name, self._count, self._most = name, 0, most_bytes(file.seek(0, io.SEEK_END))
        file.seek(0)

    @property
    def innermost(self) -> Any:
        return self._files[-1]

    def enter(self, file: Any) -> None:
        """Go into a container: ``file`` reads what is in it."""
        self._files.append(file)

    def seekable(self) -> Any:
        """What a zip can be read from."""
        return self._files[0] if len(self._files) == 1 else io.BytesIO(self.read())

    def read(self, size: int = -1) -> bytes:
        """So many bytes, or all. Raises DataError if they are out of all proportion to the size of the file."""
        if size < 0:
            return b"".join(iter(lambda: self.read(PIECE), b""))
        block = bytes(self.innermost.read(size))
        self._count += len(block)
        if len(self._files) > 1 and self._count > self._most:
            raise DataError(
                f"{self._name}: refused, it unpacks to more than {LARGEST_RATIO} times its size: unpack it, "
                "if that is right"
            )
        return block

    def close(self) -> None:
        for file in reversed(self._files):
            file.close()

    def __enter__(self) -> "Content":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _kind(head: bytes) -> str:
    return next((kind for magic, kind in MAGIC.items() if head.startswith(magic)), "text")


def _is_chaff(name: str) -> bool:
    """Whether such a file is left beside data, and holds none: .DS_Store, _SUCCESS, __MACOSX/..., README.txt."""
    return any(part.startswith((".", "_")) and part != ".." for part in name.split("/")) or bool(ABOUT.search(name))


def find_sources(path: Path, usual: tuple[str, ...] = ()) -> list[Source]:
    """The files that a path stands for: itself, the parts in a folder, or - for standard input.

    Standard input and pipes, which can be read but once, are held in memory.

    Args:
        path: what the user gave.
        usual: names of the one file to take from a folder or an archive that holds others too.

    Raises:
        DataError: there is no such file, it cannot be read, or nothing to read is in the folder.
    """
    if str(path) == "-":
        try:
            return [_held("standard input", sys.stdin.buffer, usual)]
        except OSError as error:
            raise DataError(f"standard input: {one_line(error)}") from None
    if re.match(r"[a-z0-9]+:/[^/]", str(path)):  # a Path makes one slash of two
        raise DataError(f"{path}: an address, not a file: download it first")
    try:
        mode = path.stat().st_mode
        if stat.S_ISFIFO(mode):
            with path.open("rb") as file:
                return [_held(str(path), file, usual)]
        if stat.S_ISDIR(mode):
            return _parts(path, usual)
        if not stat.S_ISREG(mode):
            raise DataError(f"{path}: not a regular file")
        path.open("rb").close()
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: {one_line(error)}") from None
    return [_on_disk(path, usual)]


def find_source(path: Path, usual: tuple[str, ...] = ()) -> Source:
    """The one file that a path stands for. Raises DataError, also where it stands for several."""
    sources = find_sources(path, usual)
    if len(sources) > 1:
        raise DataError(f"{path}: a folder of {len(sources)} files: name the one to read")
    return sources[0]


def _on_disk(path: Path, usual: tuple[str, ...]) -> Source:
    return Source(str(path), lambda: path.open("rb", buffering=0), usual)


def _held(name: str, file: IO[bytes], usual: tuple[str, ...]) -> Source:
    content = file.read()
    return Source(name, lambda: io.BytesIO(content), usual)


def _parts(folder: Path, usual: tuple[str, ...]) -> list[Source]:
    """The files in a folder, by name; without those that programs leave beside data, and without empty ones."""
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file.stat().st_size)
    parts = [file for file in files if not _is_chaff(file.relative_to(folder).as_posix())]
    if not parts:
        raise DataError(f"{folder}: there is no file to read in this folder")
    named = [file for file in parts if file.name in usual]
    return [_on_disk(file, usual) for file in (named if len(named) == 1 else parts)]


def one_line(error: BaseException) -> str:
    """What the system or a library says, without the name of the file, which our messages begin with.

    Where the file is not to blame, an error is raised: MemoryError if there is no thread to be had, OSError if no more
    files can be open.
    """
    if "launch worker thread" in str(error):
        raise MemoryError(str(error))
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        raise error
    return visible(" ".join(str(getattr(error, "strerror", None) or error).split())) or type(error).__name__


def why_broken(error: BaseException) -> str:
    """As :func:`one_line`; of content that is no more what it was, also what to do."""
    cut = not isinstance(error, OSError) or error.errno is None
    return one_line(error) + ": is the file cut off or damaged? Fetch it again" * cut


def short(text: str, most: int = 100) -> str:
    """A text as a message quotes it: on one line, and nothing in it that a terminal would obey."""
    text = visible(text if len(text) <= most else f"{text[:most]}...")
    return text.encode("utf-8", "backslashreplace").decode()  # of names that are not UTF-8
