"""Reading what the items are called: titles and genres, in every layout of the catalogue and in anybody's own."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mfcli.data.catalog import DAT, ML100K, Layout
from mfcli.data.files import UNREADABLE, first_lines, is_parquet, one_line, open_text, require_file, short
from mfcli.data.form import USUAL_NAMES, by_usual_names, find_separator, rows, split_line
from mfcli.errors import DataError

Titles = dict[str, tuple[str, str]]
"""Id as text -> title, genres with '|' between them."""

Rows = Iterator[tuple[int, list[str]]]
"""The number of a row's first line, and its columns."""

NAMES = {
    "item": (*USUAL_NAMES["item"], "id"),
    "title": ("title", "name"),
    "genres": ("genres", "genre", "category"),
}
"""What people call the columns of an items file, in lower case."""

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
    text = text.strip()
    return "" if text == "(no genres listed)" else text


def read_items(path: Path, layout: Layout) -> Titles:
    """The items file of a data set of the catalogue. Raises DataError.

    What is not UTF-8, though the layout says so, is taken as latin-1.
    """
    encoding = "utf-8-sig" if layout.items_encoding == "utf-8" else layout.items_encoding
    try:
        try:
            return _by_place(path, layout.items_style, encoding)
        except UnicodeDecodeError:
            return _by_place(path, layout.items_style, "latin-1")
    except UNREADABLE as error:
        raise DataError(f"{path}: {one_line(error)}") from None


def read_own_items(path: Path) -> Titles:
    """Anybody's items: columns id, title[, genres] by name. Raises DataError.

    Two files without a header are known too: a '::' file is taken as ml-1m's movies.dat, and u.item as ml-100k's.
    """
    require_file(path)
    if path.name == ML100K.items:
        return read_items(path, ML100K)
    if is_parquet(path):
        return _own_parquet(path)
    separator = find_separator(path, ("item", "title"))
    if separator == DAT.separator:
        return read_items(path, DAT)
    header = split_line(first_lines(path)[0], separator)
    try:
        try:
            return _own_text(path, separator, header, "utf-8-sig")
        except UnicodeDecodeError:
            return _own_text(path, separator, header, "latin-1")
    except UNREADABLE as error:
        raise DataError(f"{path}: {one_line(error)}") from None


def _by_place(path: Path, style: str, encoding: str) -> Titles:
    """Id first, then the title; the genres are last, or flags from the sixth column on."""
    separator = {"csv": ",", "dat": "::", "u.item": "|"}[style]
    flags = _u_genre(path.with_name("u.genre")) if style == "u.item" else []
    items: Titles = {}
    with open_text(path, encoding) as file:
        for number, row in rows(file, separator, quotes=style == "csv"):
            if not any(row) or (style == "csv" and number == 1):
                continue
            if len(row) < (6 if flags else 3):
                raise DataError(f"{path}, line {number}: {len(row)} columns are too few for an item")
            if flags:
                genres = "|".join(genre for genre, flag in zip(flags, row[5:], strict=False) if flag == "1")
            else:
                genres = _genres(row[-1])
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


def _own_text(path: Path, separator: str, header: list[str], encoding: str) -> Titles:
    with open_text(path, encoding) as file:
        numbered = rows(file, separator)
        next(numbered)
        return _by_name(path, header, numbered)


def _own_parquet(path: Path) -> Titles:
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a parquet file that can be read ({one_line(error)})") from None
    columns = [map(_text, column.to_pylist()) for column in table.columns]
    return _by_name(path, table.column_names, enumerate(map(list, zip(*columns, strict=True)), 1))


def _text(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "|".join(map(str, value))
    return "" if value is None else str(value)


def _by_name(path: Path, header: list[str], rows: Rows) -> Titles:
    places = by_usual_names(header, NAMES)
    if not {"item", "title"} <= set(places):
        raise DataError(f"{path}, line 1: no columns item and title (columns: {short(', '.join(header))})")
    items: Titles = {}
    for number, row in rows:
        if not row:
            continue
        if len(row) != len(header):
            raise DataError(f"{path}, line {number}: {len(row)} columns, not {len(header)}")
        genres = _genres(row[places["genres"]]) if "genres" in places else ""
        items[row[places["item"]].strip()] = (upright(row[places["title"]].strip()), genres)
    return items
