"""Reading other people's ratings: in any separator or parquet, with any usual names of columns.

Files are read whole by pyarrow. Where that fails, or what it read cannot be used, the file is read once more line
by line, slowly, to say which line is at fault.
"""

import csv
import gzip
import itertools
import math
import re
import stat
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from mfcli.errors import DataError, UsageError

USUAL_NAMES = (
    ("userid", "user_id", "user", "uid"),
    ("movieid", "movie_id", "itemid", "item_id", "item", "movie", "iid"),
    ("rating", "ratings", "score", "stars"),
    ("timestamp", "time", "ts", "unix_timestamp"),
)
ROLES = ("user", "item", "rating", "timestamp")
INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}")
INT64 = range(-(2**63), 2**63)
UNIT = "\x1f"  # stands in for '::', which pyarrow's reader, of one-character separators, cannot take
LARGEST = {"rating": float(np.finfo(np.float32).max), "timestamp": 2.0**62}
UNREADABLE = (OSError, EOFError, zlib.error, csv.Error)  # of a file that is absent, forbidden, cut off or damaged

csv.field_size_limit(sys.maxsize)  # other columns may hold long texts

Names = npt.NDArray[Any]  # (n,) int64 or str


@dataclass(frozen=True)
class Raw:
    """Ratings as read: ids coded in the order of first appearance.

    Attributes:
        users: (n,) int32 codes into user_ids.
        items: (n,) int32 codes into item_ids.
        ratings: (n,) float32, finite.
        timestamps: (n,) int64, or None.
        user_ids: original ids, int64 if all of them are integers, else str.
        item_ids: likewise.
        locate: says where row r was read: file and line.
    """

    users: npt.NDArray[np.int32]
    items: npt.NDArray[np.int32]
    ratings: npt.NDArray[np.float32]
    timestamps: npt.NDArray[np.int64] | None
    user_ids: Names
    item_ids: Names
    locate: Callable[[int], str]


@dataclass(frozen=True)
class Form:
    """How a text file of ratings is laid out."""

    separator: str
    header: bool
    columns: tuple[str, ...]  # names of user, item, rating[, timestamp]; positions as text without a header
    width: int  # columns in all


def _is_gzip(path: Path) -> bool:
    return path.suffix.lower() == ".gz"


def is_parquet(path: Path) -> bool:
    return path.suffix.lower() in (".parquet", ".pq")


def open_text(path: Path, encoding: str = "utf-8-sig", errors: str = "strict") -> IO[str]:
    if _is_gzip(path):
        return gzip.open(path, "rt", encoding=encoding, errors=errors, newline="")
    return path.open("r", encoding=encoding, errors=errors, newline="")


def require_file(path: Path) -> None:
    """Raise DataError unless there is a file, which can be read more than once."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: {one_line(error)}") from None
    if not stat.S_ISREG(mode):
        raise DataError(f"{path}: not a regular file")


def _is_plain(separator: str) -> bool:
    """Whether CSV readers take it: one ASCII character. Any other separator is not looked for within quotes."""
    return len(separator) == 1 and separator.isascii()


def split_line(line: str, separator: str) -> list[str]:
    line = line.rstrip("\r\n")
    if not _is_plain(separator):
        return line.split(separator)
    return next(csv.reader([line], delimiter=separator), [])


def _first_lines(path: Path, count: int = 5) -> list[str]:
    try:
        with open_text(path, errors="surrogateescape") as file:
            lines = list(itertools.islice(file, count))
    except UNREADABLE as error:
        raise DataError(f"{path}: {one_line(error)}") from None
    if not any(line.strip() for line in lines):
        raise DataError(f"{path}: the file is empty")
    if not _is_utf8(lines[0]):
        raise DataError(f"{path}, line 1: not UTF-8 text")
    return lines


def short(text: str, most: int = 100) -> str:
    """A text as a message quotes it."""
    return text if len(text) <= most else f"{text[:most]}..."


def _is_utf8(text: str) -> bool:
    """Whether nothing of a text read with ``errors="surrogateescape"`` had to be escaped."""
    return text.isascii() or not any("\udc80" <= c <= "\udcff" for c in text)


def find_separator(path: Path) -> str:
    """The separator that cuts the first lines into the same number of columns, at least three. Raises DataError."""
    lines = [line for line in _first_lines(path) if line.strip()]
    for separator in ("::", "\t", ";", ",", "|", " "):
        widths = {len(split_line(line, separator)) for line in lines}
        if len(widths) == 1 and widths.pop() >= 3:
            return separator
    for separator in ("::", "\t", ";", ",", "|", " "):  # a faulty line further down is reported later, by number
        if len(split_line(lines[0], separator)) >= 3:
            return separator
    raise DataError(
        f"{path}, line 1: no separator cuts it into user, item and rating: give --separator, or mend the file"
    )


def usual_columns(header: list[str], where: str) -> tuple[str, ...]:
    """The header's names for user, item, rating and, if there, timestamp. Raises DataError."""
    by_name = {name.strip().lower(): name for name in header}
    found = [next((by_name[n] for n in names if n in by_name), None) for names in USUAL_NAMES]
    for role, name in zip(ROLES[:3], found, strict=False):
        if name is None:
            raise DataError(
                f"{where}: no column looks like the {role} (columns: {short(', '.join(header))}): "
                "name them with --columns USER,ITEM,RATING[,TIMESTAMP], or give --no-header"
            )
    return tuple(name for name in found if name is not None)


def _named_columns(wanted: str, header: list[str], where: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in wanted.split(","))
    if not 3 <= len(names) <= 4 or len(set(names)) < len(names) or not all(names):
        raise UsageError(f"--columns: '{wanted}' is not USER,ITEM,RATING[,TIMESTAMP]")
    for name in names:
        if name not in header:
            raise DataError(f"{where}: there is no column '{name}' (columns: {short(', '.join(header))})")
    return names


def find_form(path: Path, *, columns: str | None, separator: str | None, header: bool) -> Form:
    """Look at a text file's first lines and say how it is laid out. Raises DataError, UsageError."""
    separator = {"\\t": "\t", "tab": "\t"}.get(separator or "", separator) or find_separator(path)
    if separator in '"\r\n\0':
        raise UsageError("--separator: a quote, a line break or a NUL cannot separate columns")
    first = [name.strip() for name in split_line(_first_lines(path)[0], separator)]
    if not header:
        if columns is not None:
            raise UsageError("--columns and --no-header exclude each other")
        if len(first) < 3:
            raise DataError(f"{path}, line 1: {len(first)} columns, not at least user, item and rating")
        return Form(separator, False, tuple(f"f{i}" for i in range(min(4, len(first)))), len(first))
    where = f"{path}, line 1"
    chosen = _named_columns(columns, first, where) if columns else usual_columns(first, where)
    if len(set(first)) < len(first) and any(first.count(name) > 1 for name in chosen):
        raise DataError(f"{where}: two columns have the same name")
    return Form(separator, True, chosen, len(first))


def read_ratings(path: Path, *, columns: str | None = None, separator: str | None = None, header: bool = True) -> Raw:
    """Read a file of ratings.

    Args:
        path: text or parquet, possibly gzipped.
        columns: names of its columns, USER,ITEM,RATING[,TIMESTAMP]; None for the usual names.
        separator: between columns; None to find it by looking.
        header: whether the first line names the columns.

    Raises:
        DataError: the file is absent, empty or has a fault; with the line's number for text.
        UsageError: the columns asked for make no sense.
    """
    require_file(path)
    if is_parquet(path):
        table = _read_parquet(path, columns)
        return _raw(table, lambda: _parquet_fault(path, table), lambda row: f"{path}, row {row + 1}")
    form = find_form(path, columns=columns, separator=separator, header=header)
    table = _read_text(path, form)
    return _raw(table, lambda: find_fault(path, form), lambda row: _locate(path, form, row))


def _read_text(path: Path, form: Form) -> pa.Table:
    """The four columns of a text file, renamed to their roles, ids as dictionaries of strings."""
    names = dict(zip(form.columns, ROLES, strict=False))
    ids = pa.dictionary(pa.int32(), pa.string())
    types = {"user": ids, "item": ids, "rating": pa.float32(), "timestamp": pa.float64()}
    plain = _is_plain(form.separator)
    if form.header:  # headers may have blanks around their names, and pyarrow keeps them
        header = [n.strip() for n in split_line(_first_lines(path)[0], form.separator)]
    else:
        header = [f"f{i}" for i in range(form.width)]
    try:
        with _open_bytes(path, form.separator) as stream:
            table = pacsv.read_csv(
                stream,
                read_options=pacsv.ReadOptions(column_names=header, skip_rows=int(form.header), block_size=1 << 24),
                parse_options=pacsv.ParseOptions(
                    delimiter=form.separator if plain else UNIT,
                    quote_char='"' if plain else False,
                    newlines_in_values=plain,
                ),
                convert_options=pacsv.ConvertOptions(
                    column_types={name: types[role] for name, role in names.items()},
                    include_columns=list(form.columns),
                    null_values=[""],
                    strings_can_be_null=True,
                ),
            )
    except (pa.ArrowException, *UNREADABLE) as error:
        raise find_fault(path, form, one_line(error)) from None
    return table.rename_columns([names[name] for name in table.column_names])


def one_line(error: BaseException) -> str:
    """What the system or a library says, without the name of the file, which our messages begin with."""
    return " ".join(str(getattr(error, "strerror", None) or error).split())


def _open_bytes(path: Path, separator: str) -> Any:
    if _is_plain(separator):
        return pa.input_stream(str(path), compression="gzip" if _is_gzip(path) else None)
    with gzip.open(path, "rb") if _is_gzip(path) else path.open("rb") as file:
        return pa.BufferReader(file.read().replace(separator.encode(), UNIT.encode()))


def _read_parquet(path: Path, columns: str | None) -> pa.Table:
    """The four columns of a parquet file, renamed to their roles, ids as dictionaries."""
    try:
        schema = pq.read_schema(path)
        names = _named_columns(columns, schema.names, str(path)) if columns else usual_columns(schema.names, str(path))
        table = pq.read_table(path, columns=list(names))
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a parquet file that can be read ({one_line(error)})") from None
    table = table.select(list(names)).rename_columns(list(ROLES[: len(names)]))
    for place, role in enumerate(table.column_names):
        try:
            column = _parquet_ids(table[role]) if role in ("user", "item") else _parquet_numbers(table[role], role)
        except (pa.ArrowException, TypeError) as error:
            raise DataError(f"{path}: column {names[place]} cannot be the {role} ({one_line(error)})") from None
        table = table.set_column(place, role, column)
    return table


def _parquet_ids(column: Any) -> Any:
    """Ids as a dictionary of strings. Raises ArrowException, TypeError."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_floating(column.type):
        raise TypeError("ids are integers or strings, not floating-point numbers")
    return column.cast(pa.string()).dictionary_encode()


def _parquet_numbers(column: Any, role: str) -> Any:
    """float32 ratings or float64 timestamps, in seconds where the column holds dates. Raises ArrowException."""
    if role == "rating":
        return column.cast(pa.float32(), safe=False)
    if pa.types.is_date(column.type) or pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("s"), safe=False).cast(pa.int64())
    return column.cast(pa.float64(), safe=False)


def _parquet_fault(path: Path, table: pa.Table) -> DataError:
    """The first value that is missing or cannot be used, by its row."""
    for role in table.column_names:
        column = table[role]
        if role in ("user", "item"):
            good = pc.not_equal(pc.utf8_trim_whitespace(column.cast(pa.string())), "")
        else:
            good = pc.less_equal(pc.abs(column), LARGEST[role])
        row = pc.index(pc.fill_null(good, False), False).as_py()
        if row >= 0:
            return DataError(f"{path}, row {row + 1}: no usable {role}")
    return DataError(f"{path}: {'a value cannot be used' if table.num_rows else 'there are no ratings in it'}")


def _raw(table: pa.Table, fault: Callable[[], DataError], locate: Callable[[int], str]) -> Raw:
    """Codes and ids from the table of roles; ``fault()`` finds what to complain of where something cannot be used."""
    ratings = table["rating"].to_numpy().astype(np.float32, copy=False)
    if not len(ratings) or any(column.null_count for column in table.columns) or not np.isfinite(ratings).all():
        raise fault()
    if len(ratings) >= 2**31:
        raise DataError("more than 2^31 ratings in one file")
    users, user_ids = _codes(table["user"])
    items, item_ids = _codes(table["item"])
    if any(ids.dtype == object and "" in ids for ids in (user_ids, item_ids)):
        raise fault()
    timestamps = None
    if "timestamp" in table.column_names:
        seconds = table["timestamp"].to_numpy()
        if not (np.abs(seconds) <= LARGEST["timestamp"]).all():
            raise fault()
        timestamps = seconds.astype(np.int64)
    return Raw(users, items, ratings, timestamps, user_ids, item_ids, locate)


def _locate(path: Path, form: Form, row: int) -> str:
    """File and line of the row-th rating, blank lines counted."""
    filled = (number for number, fields in _numbered_rows(path, form.separator) if fields)
    return f"{path}, line {next(itertools.islice(filled, row + int(form.header), None))}"


def _codes(column: Any) -> tuple[npt.NDArray[np.int32], Names]:
    """Codes (n,) int32 and the ids they stand for, blanks around them removed."""
    column = column.unify_dictionaries().combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0)
    codes = column.indices.to_numpy().astype(np.int32, copy=False)
    texts = [text.strip() for text in column.dictionary.to_pylist()]
    distinct, which = np.unique(np.array(texts, dtype=object), return_inverse=True)
    if len(distinct) < len(texts):
        codes, texts = which.astype(np.int32)[codes], list(distinct)
    if all(INTEGER.fullmatch(text) for text in texts) and all(int(text) in INT64 for text in texts):
        return codes, np.array([int(text) for text in texts], np.int64)
    return codes, np.array(texts, dtype=object)


def find_fault(path: Path, form: Form, otherwise: str = "a value cannot be used") -> DataError:
    """Read line by line and describe the first fault, with its line number; ``otherwise`` if every line is good."""
    header = [n.strip() for n in split_line(_first_lines(path)[0], form.separator)] if form.header else []
    places = [header.index(n) if form.header else int(n[1:]) for n in form.columns]
    roles = dict(zip(ROLES, places, strict=False))
    number, seen = 0, False
    try:
        for number, row in _numbered_rows(path, form.separator):
            if not row or (number == 1 and form.header):
                continue
            seen = True
            fault = _row_fault(row, roles, form.width)
            if fault:
                return DataError(f"{path}, line {number}: {fault}")
    except UNREADABLE as error:
        return DataError(f"{path}, line {number + 1} or soon after: {one_line(error)}")
    return DataError(f"{path}: {otherwise if seen else 'there are no ratings in it'}")


def _numbered_rows(path: Path, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Each row and the line it begins on, blank lines as empty rows; what is not UTF-8 is escaped by surrogates."""
    with open_text(path, errors="surrogateescape") as file:
        if not _is_plain(separator):
            for number, line in enumerate(file, 1):
                yield number, split_line(line, separator) if line.rstrip("\r\n") else []
        else:
            yield from numbered(csv.reader(file, delimiter=separator))


def numbered(reader: Any) -> Iterator[tuple[int, list[str]]]:
    """Each row of a csv.reader and the line it begins on."""
    number = 1
    for row in reader:
        yield number, row
        number = reader.line_num + 1


def _row_fault(row: list[str], roles: dict[str, int], width: int) -> str | None:
    """What is wrong with a row whose columns have these roles; None if nothing is."""
    if len(row) != width:
        return f"{len(row)} columns, not {width}"
    for role, place in roles.items():
        text = row[place].strip()
        name = f"{role} id" if role in ("user", "item") else role
        if not text:
            return f"the {name} is empty"
        if not _is_utf8(text):
            return f"the {name} is not UTF-8 text"
        if role not in LARGEST:
            continue
        try:
            value = float(text.encode("ascii").replace(b"_", b"?"))  # 1_000 and ٤ are numbers to Python alone
        except ValueError:
            return f"the {role} '{short(text)}' is not a number"
        if not math.isfinite(value):
            return f"the {role} '{short(text)}' is not a finite number"
        if abs(value) > LARGEST[role]:
            return f"the {role} '{short(text)}' is too large"
    return None


def read_item_ratings(path: Path) -> tuple[list[str], npt.NDArray[np.float32]]:
    """What one person thinks of some items: columns item and rating, by name or, without names, in that order.

    Returns:
        Ids as text, and (n,) float32 ratings.

    Raises:
        DataError: the file is absent, empty or has a fault; with the line's number.
    """
    require_file(path)
    first = _first_lines(path)[0]
    separator = next((s for s in ("::", "\t", ";", ",") if s in first), ",")
    names = [name.strip().lower() for name in split_line(first, separator)]
    item, rating = (next((i for i, n in enumerate(names) if n in usual), None) for usual in USUAL_NAMES[1:3])
    header = item is not None and rating is not None
    if item is None or rating is None:
        item, rating = 0, 1
    ids, ratings = [], []
    try:
        for number, row in _numbered_rows(path, separator):
            if not row or (header and number == 1):
                continue
            fault = _row_fault(row, {"item": item, "rating": rating}, max(len(names), 2))
            if fault:
                raise DataError(f"{path}, line {number}: {fault}")
            ids.append(row[item].strip())
            ratings.append(float(row[rating]))
    except UNREADABLE as error:
        raise DataError(f"{path}: {one_line(error)}") from None
    if not ids:
        raise DataError(f"{path}: there are no ratings in it")
    return ids, np.array(ratings, np.float32)
