"""Files that appear whole or not at all, checksums, second names, and JSON that is the same for the same value."""

import contextlib
import errno
import hashlib
import json
import math
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import IO, Any

from mfcli.signals import Held

NOT_WAITING = getattr(os, "O_NONBLOCK", 0)
AMISS = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EINVAL, errno.ENXIO, errno.EIO)
"""What the system says where no file lies, or something else in its place; not what it says of a process's rights."""
PART = ".part"  # the ending of a file that is being written


def open_regular(path: Path) -> BufferedReader:
    """Open a file to read it. Raises OSError also where a pipe lies, to wait for, or an endless device."""
    file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | NOT_WAITING))  # noqa: SIM115 - the caller's
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise OSError(errno.EINVAL, "not a regular file", str(path))


def content_of(path: Path) -> bytes:
    """The bytes of a regular file. Raises OSError."""
    with open_regular(path) as file:
        return file.read()


def sha256(path: Path) -> str:
    """Hex SHA-256 of a regular file."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remove(path: Path) -> None:
    """Remove whatever lies there: a folder with all that is in it, as far as that can be removed; a file; a link."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def to_json(value: Any) -> str:
    """Readable JSON, always the same text for the same value; NaN and infinity are refused (ValueError)."""
    return json.dumps(value, indent=2, allow_nan=False) + "\n"


def from_json(text: str | bytes) -> Any:
    """What :func:`to_json` wrote. Raises ValueError, of NaN and infinity too, however they are written."""
    return json.loads(text, parse_constant=_finite, parse_float=_finite)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no number")
    return number


def link(source: Path, file: IO[bytes], target: Path) -> None:
    """Give an open file a second name, which costs no disk. Copy it where the file system cannot, or where another
    file has its name by now.
    """
    with contextlib.suppress(OSError):
        os.link(source.resolve(), target)
        if os.path.samestat(target.stat(), os.fstat(file.fileno())):
            return
    target.unlink(missing_ok=True)
    with target.open("xb") as copy:
        shutil.copyfileobj(file, copy)


@contextlib.contextmanager
def output_file(path: Path) -> Iterator[IO[bytes]]:
    """A file open for writing where the user says: an :func:`atomic_file`, but what a link names is replaced, not the
    link, as by a shell's ``>``, and what goes to a device or a pipe goes there.
    """
    if path.exists() and not path.is_file():
        with naming(path), path.open("wb") as file:
            yield file
    else:
        with atomic_file(path.resolve() if path.is_symlink() else path) as file:
            yield file


@contextlib.contextmanager
def atomic_file(path: Path, *, sync: bool = True) -> Iterator[IO[bytes]]:
    """A file open for writing that appears at ``path``, whole, when the block ends without an exception."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with Held() as held:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=PART, dir=path.parent)
        try:
            with naming(path), os.fdopen(handle, "wb") as file:
                with held.released():
                    yield file
                file.flush()
                if sync:
                    os.fsync(file.fileno())
            umask = os.umask(0)
            os.umask(umask)
            os.chmod(name, 0o666 & ~umask)  # mkstemp made it private
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Give an OSError that does not say where it happened (a full disk) the file that was being written."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise
