"""Files that appear whole or not at all, checksums, second names, and JSON that is the same for the same value."""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def to_json(value: Any) -> str:
    """Readable JSON, always the same text for the same value; NaN and infinity are refused (ValueError)."""
    return json.dumps(value, indent=2, allow_nan=False) + "\n"


def link(source: Path, target: Path) -> None:
    """Give a file a second name, which costs no disk; where the file system cannot, copy it."""
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)


@contextlib.contextmanager
def atomic_file(path: Path, *, sync: bool = True) -> Iterator[IO[bytes]]:
    """A file open for writing that appears at ``path``, whole, when the block ends without an exception."""
    if path.exists() and not path.is_file():
        with naming(path), path.open("wb") as file:  # a device or a pipe: there is nothing to replace
            yield file
        return
    if path.is_symlink():
        path = path.resolve()  # a link stays, as it does for a shell's >
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        with naming(path), os.fdopen(handle, "wb") as file:
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
