"""Reading other people's ratings: text in any form, parquet, feather and JSON, with any usual names of columns."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from mfcli.arrays import Bools, Float32s, Int32s
from mfcli.data.columns import RATINGS, Wanted
from mfcli.data.faults import rating_fault, row_fault, table_fault, text_fault
from mfcli.data.files import UNREADABLE, Source, one_line
from mfcli.data.form import Form, Reading, find_form
from mfcli.data.frames import read_frame
from mfcli.data.lines import count_lines
from mfcli.data.numerals import POINTS, number_in
from mfcli.data.ratings import Sides
from mfcli.data.table import Ids, Origin, Table, code_ids
from mfcli.data.tables import numbers, to_arrow
from mfcli.data.text import BLOCK
from mfcli.data.times import NoTimes, to_seconds
from mfcli.errors import DataError


class Unfit(Exception):
    """pyarrow cannot read it, or not all that it read can be used."""


def read_ratings(source: Source, how: Reading | None = None, wanted: Wanted = RATINGS) -> Table:
    """Read a file of ratings, or of clicks: user, item, rating or weight and, if there, the time.

    Args:
        source: the file.
        how: what the user says of it.
        wanted: ``RATINGS`` or ``CLICKS``.

    Raises:
        DataError: the file is empty or has a fault; with the line's number for text.
        UsageError: the columns asked for make no sense.
    """
    how = how or Reading()
    if source.kind != "text":
        columns, names = read_frame(source, how, wanted)
        origin = Origin(source.name, len(columns["user"]), names, lambda row: f"{source.name}, row {row + 1}")
        try:
            return _table(columns, origin, how)
        except Unfit as error:
            raise table_fault(source.name, columns, how, str(error)) from None
    form = find_form(source, how, wanted)
    unfit = Unfit()
    for clean in (False, True):  # most texts are as pyarrow wants them; only a fault is worth a second, slower reading
        try:
            columns, lines = parse(form, how, clean=clean)
            return _table(columns, _origin(form, how, lines), how)
        except Unfit as error:
            unfit = error
    raise text_fault(form, how.missing, str(unfit), sound(form, how)) from unfit


def _origin(form: Form, how: Reading, lines: int) -> Origin:
    """What there is to say of a text of so many lines."""
    return Origin(
        form.text.name,
        lines,
        form.names(),
        lambda row: _locate(form, how, row),
        places=form.places,
        told_by=form.told_by,
    )


def parse(form: Form, how: Reading, *, clean: bool) -> tuple[dict[str, Any], int]:
    """The columns of a text by their roles, and how many lines it has. Raises Unfit, DataError."""
    text = form.text
    numeric = not clean and all(not text or rating_fault(text) is None for text in form.sample_of("timestamp"))
    # Where not all is as pyarrow wants it, numbers are read as texts, which may hold more: blanks of any kind, points.
    number = pa.string() if clean else pa.float32()
    with text.open(clean=clean) as lines:
        columns = _columns(lines, form, how, form.skip, pa.float64() if numeric else pa.string(), number)
    spans = lines.count != len(next(iter(columns.values()))) + form.skip or lines.last_line.count(b'"') % 2
    if text.quotes and lines.any_quote and spans:
        # There are blank lines, or line breaks within quotes. If a stray quote has made those, this raises.
        for _ in form.rows(lambda row: row_fault(row, form, how.missing) is None, sound(form, how)):
            pass
    return columns, lines.count


def _columns(lines: Any, form: Form, how: Reading, skip: int, time: Any, number: Any) -> dict[str, Any]:
    """The columns of lines by their roles. Raises Unfit, DataError.

    ``time`` and ``number`` are the pyarrow types of timestamps and of ratings; ratings that may be words are texts.
    """
    text, names = form.text, [str(place) for place in range(form.width)]  # the header's may be the same twice
    ids = pa.dictionary(pa.int32(), pa.string())
    number = pa.string() if _words(how.missing) else number
    types = {"user": ids, "item": ids, "rating": number, "weight": number, "timestamp": time}
    try:
        table = pacsv.read_csv(
            lines,
            read_options=pacsv.ReadOptions(column_names=names, skip_rows=skip, block_size=BLOCK),
            parse_options=pacsv.ParseOptions(
                delimiter=text.delimiter,
                quote_char='"' if text.quotes else False,
                escape_char="\\" if text.quoting == "backslash" else False,
                newlines_in_values=text.quotes,
            ),
            convert_options=pacsv.ConvertOptions(
                column_types={names[place]: types[role] for role, place in form.places.items()},
                include_columns=[names[place] for place in form.places.values()],
                null_values=[""],
                strings_can_be_null=True,
                decimal_point=form.decimal,
            ),
        )
    except UNREADABLE as error:
        raise Unfit(one_line(error)) from None
    return {role: table[names[place]] for role, place in form.places.items()}


def sound(form: Form, how: Reading) -> Callable[[bytes], bool]:
    """What tells of whole lines, as fast as pyarrow reads them, whether each is a row without fault."""

    def is_sound(block: bytes) -> bool:
        if block.count(b'"') % 2 or block.count(b"\r") != block.count(b"\r\n"):
            return False
        try:
            columns = _columns(pa.BufferReader(block), form, how, 0, pa.string(), pa.float32())
            values = columns.get("rating", columns.get("weight"))
            ratings, absent = ratings_of(values, how) if values is not None else (np.zeros(0, np.float32), False)
        except Unfit:
            return False
        ids = [columns[role] for role in ("user", "item")]
        return (
            len(ids[0]) == count_lines(block)  # no blank line, no line break in quotes
            and bool(np.isfinite(ratings[~absent] if values is not None else ratings).all())
            and not any(column.null_count for column in ids)
            and all(one.strip() for column in ids for chunk in column.chunks for one in chunk.dictionary.to_pylist())
        )

    return is_sound


def _words(missing: tuple[str, ...]) -> list[str]:
    """Those that stand for no rating and are no numbers."""
    return [text for text in missing if rating_fault(text) is not None]


def _locate(form: Form, how: Reading, row: int) -> str:
    """File and line of the row-th rating."""
    is_sound, left = sound(form, how), row

    def before(block: bytes) -> bool:
        nonlocal left
        rows = count_lines(block)
        if rows > left or not is_sound(block):
            return False
        left -= rows
        return True

    for number, _ in form.rows(sound=before):
        if not left:
            return f"{form.text.name}, line {number}"
        left -= 1
    raise AssertionError("there are as many rows as were read")


def _table(columns: dict[str, Any], origin: Origin, how: Reading) -> Table:
    """The ratings in columns.

    Args:
        columns: role -> pyarrow column: ids as dictionaries of strings, ratings or weights as numbers or texts,
            timestamps of any kind. Clicks without weights weigh 1.
        origin: where they were read.
        how: what stands for a rating that is not there.

    Raises:
        Unfit: a value cannot be used.
        DataError: there are too many ratings.
    """
    values = columns.get("rating", columns.get("weight"))
    if values is None:
        values = pa.chunked_array([np.ones(len(columns["user"]), np.float32)])
    ratings, absent = ratings_of(values, how)
    if absent.any():
        kept = np.flatnonzero(~absent)
        columns = {role: column.take(to_arrow(kept)) for role, column in columns.items()}
        ratings, locate = ratings[kept], origin.locate
        origin = replace(origin, missing=len(absent) - len(kept), locate=lambda row: locate(int(kept[row])))
    if not len(ratings) or not np.isfinite(ratings).all() or any(columns[r].null_count for r in ("user", "item")):
        raise Unfit("a value cannot be used" if len(ratings) or not len(absent) else "every rating is one of --missing")
    if len(ratings) >= 2**31:
        raise DataError("more than 2^31 ratings in one file")
    users, user_ids = coded(columns["user"])
    items, item_ids = coded(columns["item"])
    timestamps = None
    if "timestamp" in columns:
        try:
            timestamps = to_seconds(columns["timestamp"])
        except NoTimes as error:
            origin = replace(origin, no_times=f"{origin.locate(error.row)}: {error.reason}")
    return Table(
        users=users,
        items=items,
        ratings=ratings,
        timestamps=timestamps,
        own_test=np.zeros(len(ratings), bool),
        n_users=len(user_ids),
        n_items=len(item_ids),
        ids=Sides(user_ids, item_ids),
        origin=origin,
    )


def ratings_of(column: Any, how: Reading) -> tuple[Float32s, Bools]:
    """The ratings, and which of them stand for one that is not there. Raises Unfit."""
    absent = np.zeros(len(column), bool)
    if pa.types.is_string(column.type):
        texts = pc.fill_null(pc.utf8_trim_whitespace(column), "")
        words = pc.is_in(texts, value_set=to_arrow(_words(how.missing)))
        absent |= _mask(words)
        if how.decimal == ",":
            grouped = pc.match_substring_regex(texts, f"^({POINTS.pattern})$")
            without = (pc.replace_substring(texts, ".", stand_in) for stand_in in ("", "?"))
            texts = pc.replace_substring(pc.if_else(grouped, *without), ",", ".")
        try:
            column = pc.if_else(words, "0", texts).cast(pa.float32())
        except pa.ArrowException as error:
            raise Unfit(one_line(error)) from None
    elif "" in how.missing:
        absent |= _mask(pc.is_null(column))
        column = pc.fill_null(column, 0.0)
    if column.null_count:
        raise Unfit("a value cannot be used")
    ratings = numbers(column).astype(np.float32, copy=False)
    values = np.array([value for text in how.missing if (value := number_in(text)) is not None], np.float32)
    if len(values):
        absent |= np.isin(ratings, values) | (np.isnan(ratings) & np.isnan(values).any())
    return ratings, absent


def _mask(column: Any) -> Bools:
    """A pyarrow column of booleans as a NumPy array."""
    return np.asarray(numbers(column.cast(pa.uint8())).astype(bool))


def coded(column: Any) -> tuple[Int32s, Ids]:
    """Codes (n,) int32 of a dictionary of strings, and the ids they stand for. Raises Unfit for an empty id."""
    column = column.unify_dictionaries().combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0)
    codes = np.from_dlpack(column.indices).astype(np.int32)  # to_numpy would import pandas
    ids, places = code_ids(column.dictionary.to_pylist())
    if ids.dtype == object and "" in ids:
        raise Unfit("an id is empty")
    return (codes if places is None else places[codes]), ids
