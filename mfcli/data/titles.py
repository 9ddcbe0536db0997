"""Reading what the items are called: titles and genres, in every layout of the catalogue and in anybody's own."""

import csv
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mfcli.data.catalog import ML100K, Layout
from mfcli.data.readers import UNREADABLE, USUAL_NAMES, is_parquet, numbered, one_line, open_text, require_file, short
from mfcli.errors import DataError

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
    """Id (as text) -> title and genres ('|' between them), from the items file of a data set. Raises DataError.

    What is not UTF-8, though the layout says so, is taken as latin-1.
    """
    encoding = "utf-8-sig" if layout.items_encoding == "utf-8" else layout.items_encoding
    try:
        try:
            return _items_by_place(path, layout.items_style, encoding)
        except UnicodeDecodeError:
            return _items_by_place(path, layout.items_style, "latin-1")
    except UNREADABLE as error:
        raise DataError(f"{path}: {one_line(error)}") from None


def _items_by_place(path: Path, style: str, encoding: str) -> Titles:
    """Id first, then the title; the genres are last, or flags from the sixth column on."""
    separator = {"csv": ",", "dat": "::", "u.item": "|"}[style]
    genre_names = _u_genre(path.with_name("u.genre")) if style == "u.item" else []
    items: Titles = {}
    with open_text(path, encoding) as file:
        if style == "csv":
            rows = numbered(csv.reader(file))
            next(rows, None)
        else:
            rows = enumerate((line.rstrip("\r\n").split(separator) for line in file), 1)
        for number, row in rows:
            if not any(row):
                continue
            if len(row) < (6 if genre_names else 3):
                raise DataError(f"{path}, line {number}: {len(row)} columns are too few for an item")
            if genre_names:
                genres = "|".join(g for g, flag in zip(genre_names, row[5:], strict=False) if flag == "1")
            else:
                genres = _genres(row[-1].strip())
            title = separator.join(row[1:-1]) if style == "dat" else row[1]
            items[row[0].strip()] = (upright(title.strip()), genres)
    return items


def _u_genre(path: Path) -> list[str]:
    """ml-100k's genres in the order of their flags."""
    try:
        lines = path.read_text("latin-1").splitlines()
    except OSError as error:
        raise DataError(f"{path}: {one_line(error)}") from None
    return [line.split("|")[0] for line in lines if line.strip()]


def read_own_items(path: Path) -> Titles:
    """Id (as text) -> title and genres, from anybody's file: columns id, title[, genres] by name. Raises DataError.

    Two files without a header are known too: a '::' file is taken as ml-1m's movies.dat, and u.item as ml-100k's.
    """
    require_file(path)
    if path.name == ML100K.items:
        return read_items(path, ML100K)
    try:
        if is_parquet(path):
            table = pq.read_table(path)
            columns = [map(_text, column.to_pylist()) for column in table.columns]
            return _items_by_name(path, table.column_names, enumerate(map(list, zip(*columns, strict=True)), 1))
        try:
            return _text_items(path, "utf-8-sig")
        except UnicodeDecodeError:
            return _text_items(path, "latin-1")
    except pa.ArrowException as error:
        raise DataError(f"{path}: not a parquet file that can be read ({one_line(error)})") from None
    except UNREADABLE as error:
        raise DataError(f"{path}: {one_line(error)}") from None


def _text_items(path: Path, encoding: str) -> Titles:
    with open_text(path, encoding) as file:
        first = file.readline()
        if "::" in first:
            return _items_by_place(path, "dat", encoding)
        separator = max("\t;,|", key=first.count)
        rows = numbered(csv.reader(itertools.chain([first], file), delimiter=separator))
        _, header = next(rows, (1, []))
        if not header:
            raise DataError(f"{path}: the file is empty, or its first line is")
        return _items_by_name(path, header, rows)


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
        raise DataError(f"{path}, line 1: no columns item and title (columns: {short(', '.join(header))})")
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
