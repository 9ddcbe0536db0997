"""Reading what the items are called: titles and genres, in every layout of the catalogue and in anybody's own."""

import csv
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mfcli.catalog import Layout
from mfcli.errors import DataError
from mfcli.readers import USUAL_NAMES, one_line, open_text, split_line

Titles = dict[str, tuple[str, str]]  # id as text -> title, genres with '|' between them

ARTICLES = (
    "The A An La Le Les L' El Los Las Lo Il I Gli Un Une Una Der Die Das Ein Eine De Het Den Det En Et O Os As Um Uma"
).split()
INVERTED = re.compile(r"^(?P<rest>[^()]+?), (?P<article>" + "|".join(map(re.escape, ARTICLES)) + r")(?=$| \()")
INVERTED_INSIDE = re.compile(r"\((?P<rest>[^()]+?), (?P<article>" + "|".join(map(re.escape, ARTICLES)) + r")\)")


def upright(title: str) -> str:
    """A title with its article in front: 'Matrix, The (1999)' is 'The Matrix (1999)'."""

    def turn(match: "re.Match[str]") -> str:
        article = match["article"]
        return f"{article}{'' if article.endswith(chr(39)) else ' '}{match['rest']}"

    title = INVERTED.sub(turn, title)
    return INVERTED_INSIDE.sub(lambda m: f"({turn(m)})", title)


def _genres(text: str) -> str:
    return "" if text == "(no genres listed)" else text


def read_items(path: Path, layout: Layout) -> Titles:
    """Id (as text) -> title and genres ('|' between them), from the items file of a data set. Raises DataError."""
    genre_names: list[str] = []
    if layout.items_style == "u.item":
        genre_names = _u_genre(path.with_name("u.genre"))
    separator = {"csv": ",", "dat": "::", "u.item": "|"}[layout.items_style]
    items: Titles = {}
    try:
        with open_text(path, "utf-8-sig" if layout.items_encoding == "utf-8" else layout.items_encoding) as file:
            if separator == ",":
                rows: Iterator[list[str]] = csv.reader(file)
                next(rows, None)
            else:
                rows = (line.rstrip("\r\n").split(separator) for line in file)
            for number, row in enumerate(rows, 2 if separator == "," else 1):
                if not row or row == [""]:
                    continue
                if len(row) < (5 if genre_names else 3):
                    raise DataError(f"{path}, line {number}: {len(row)} columns are too few for an item")
                if layout.items_style == "u.item":
                    genres = "|".join(g for g, flag in zip(genre_names, row[5:], strict=False) if flag == "1")
                else:
                    genres = _genres(row[-1].strip())
                title = row[1] if layout.items_style != "dat" else separator.join(row[1:-1])
                items[row[0].strip()] = (upright(title.strip()), genres)
    except UnicodeDecodeError:
        if layout.items_encoding == "utf-8":
            return read_items(path, replace(layout, items_encoding="latin-1"))
        raise
    except (OSError, csv.Error) as error:
        raise DataError(f"{path}: {one_line(error)}") from None
    return items


def _u_genre(path: Path) -> list[str]:
    """ml-100k's genres in the order of their flags."""
    try:
        lines = path.read_text("latin-1").splitlines()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    return [line.split("|")[0] for line in lines if line.strip()]


def read_own_items(path: Path) -> Titles:
    """Id (as text) -> title and genres, from anybody's file: columns id, title[, genres] by name. Raises DataError.

    Without a header of such names, a '::' file is taken as ml-1m's movies.dat.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    if path.suffix in (".parquet", ".pq"):
        try:
            table = pq.read_table(path)
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{path}: not a parquet file that can be read ({one_line(error)})") from None
        header, rows = (
            table.column_names,
            zip(*(map(_text, table[n].to_pylist()) for n in table.column_names), strict=True),
        )
        return _items_by_name(path, header, ((i, list(row)) for i, row in enumerate(rows, 1)))
    for encoding in ("utf-8-sig", "latin-1"):
        try:
            with open_text(path, encoding) as file:
                first = file.readline()
                if not first.strip():
                    raise DataError(f"{path}: the file is empty")
                if "::" in first:
                    return read_items(path, Layout("", path.name, "::", False, "dat", encoding.removesuffix("-sig")))
                separator = max("\t;,|", key=first.count)
                lines = csv.reader(file, delimiter=separator)
                return _items_by_name(path, split_line(first, separator), ((lines.line_num + 1, row) for row in lines))
        except UnicodeDecodeError:
            continue
        except (OSError, EOFError, csv.Error) as error:
            raise DataError(f"{path}: {one_line(error)}") from None
    raise DataError(f"{path}: neither UTF-8 nor latin-1 text")


def _text(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "|".join(map(str, value))
    return "" if value is None else str(value)


def _items_by_name(path: Path, header: list[str], rows: Iterator[tuple[int, list[str]]]) -> Titles:
    by_name = {name.strip().lower(): place for place, name in enumerate(header)}
    key = next((by_name[n] for n in (*USUAL_NAMES[1], "id") if n in by_name), None)
    title = next((by_name[n] for n in ("title", "name") if n in by_name), None)
    genres = next((by_name[n] for n in ("genres", "genre", "category") if n in by_name), None)
    if key is None or title is None:
        raise DataError(f"{path}, line 1: no columns item and title (columns: {', '.join(header)})")
    items: Titles = {}
    for number, row in rows:
        if not row:
            continue
        if len(row) != len(header):
            raise DataError(f"{path}, line {number}: {len(row)} columns, not {len(header)}")
        items[row[key].strip()] = (
            upright(row[title].strip()),
            _genres(row[genres].strip()) if genres is not None else "",
        )
    return items
