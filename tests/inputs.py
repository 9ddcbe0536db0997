"""Files for readers, and what they make of them."""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mfcli.data.files import find_source
from mfcli.data.form import Reading
from mfcli.data.readers import read_ratings
from mfcli.data.table import Table


def put(folder: Path, name: str, content: bytes | str) -> Path:
    """The file with that content, as it is: no line end is changed."""
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def zipped(files: Mapping[str, bytes | str], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of names and contents; the same bytes at any time."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, compress_type=method)
    return made.getvalue()


def read(path: Path, **how: Any) -> Table:
    """The ratings in a file."""
    return read_ratings(find_source(path), Reading(**how))


def rows_of(table: Table) -> list[tuple[Any, ...]]:
    """User, item, rating and, if known, timestamp of each rating, with ids as people call them."""
    columns = [table.ids.users[table.users].tolist(), table.ids.items[table.items].tolist(), table.ratings.tolist()]
    return list(zip(*columns, *([] if table.timestamps is None else [table.timestamps.tolist()]), strict=True))
