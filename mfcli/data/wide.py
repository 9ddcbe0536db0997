"""Ratings written as a matrix: a line a user, a column an item, nothing where there is no rating. Jester's are such."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from mfcli.arrays import Bools, Float32s
from mfcli.data.columns import RATINGS, Wanted, by_usual_names
from mfcli.data.faults import NO_RATINGS, rating_fault, width_fault
from mfcli.data.files import UNREADABLE, Source, one_line, short
from mfcli.data.form import Form, Reading, find_text
from mfcli.data.ratings import Sides
from mfcli.data.readers import Unfit, ratings_of
from mfcli.data.table import Ids, Origin, Table, code_ids
from mfcli.data.text import BLOCK
from mfcli.errors import DataError

MATRIX = Wanted({"user": (), "item": ()}, 2, "--separator", "")


def read_wide(source: Source, how: Reading) -> Table:
    """The ratings in a matrix.

    The first column holds the users' ids. Without a header the items are numbered from 1; so are the users, if the
    first column only counts the ratings of each line, as Jester's does.

    Raises:
        DataError: it is no text, a cell holds no number, a user is there twice; with the line's number.
    """
    if source.kind != "text":
        raise DataError(f"{source.name}: this is a {source.kind} file: --wide reads text")
    form = _find_form(source, how)
    first, matrix = _parse(form, how)
    given = ~np.isnan(matrix)
    rows, columns = np.nonzero(given)
    if not len(rows):
        raise DataError(f"{source.name}: {NO_RATINGS}")
    counts_only = form.header is None and first == [str(count) for count in given.sum(axis=1)]
    user_ids = _distinct([str(row + 1) for row in range(len(first))] if counts_only else first, form)
    item_ids = code_ids(form.header[1:] if form.header else [str(at) for at in range(1, form.width)])[0]
    if len(item_ids) < form.width - 1:
        raise DataError(f"{source.name}, line {form.skip}: two columns have the same name")

    def locate(row: int) -> str:
        line = next(number for at, (number, _) in enumerate(form.rows()) if at == rows[row])
        return f"{source.name}, line {line}, column {columns[row] + 2}"

    names = {"user": "the line's number" if counts_only else "column 1", "item": "the other columns", "rating": "cells"}
    return Table(
        users=rows.astype(np.int32),
        items=columns.astype(np.int32),
        ratings=matrix[rows, columns],
        own_test=np.zeros(len(rows), bool),
        n_users=len(user_ids),
        n_items=len(item_ids),
        ids=Sides(user_ids, item_ids),
        origin=Origin(source.name, form.skip + len(first), names, locate, told_by="layout"),
    )


def _find_form(source: Source, how: Reading) -> Form:
    text, lines = find_text(source, how, MATRIX)
    (number, first), *others = [(number, line) for number, line in lines if line.strip()]
    fields = [field.strip() for field in text.split(first)]
    if len(fields) < 2:
        raise DataError(
            f"{source.name}, line {number}: one column: a matrix has a column of users and one for each item"
        )
    cells = [one for one in fields if one and one not in how.missing]
    if how.header is False or all(rating_fault(one, how.decimal) is None for one in cells):
        return Form(text, None, {}, len(fields), number - 1, how.decimal, [])
    if {"item", "rating"} <= by_usual_names(fields, RATINGS).keys():
        raise DataError(
            f"{source.name}, line {number}: a line of it is one rating ({short(first.strip())}): leave out --wide"
        )
    if others and all(len(text.split(line)) == len(fields) + 1 for _, line in others):
        fields = ["", *fields]  # as R writes it, who names no column of the users
    return Form(text, fields, {}, len(fields), number, how.decimal, [])


def _parse(form: Form, how: Reading) -> tuple[list[str], Float32s]:
    """The first column, and (users, items) the others, NaN where nothing is. Raises DataError."""
    how = replace(how, missing=(*how.missing, ""))
    said = ""
    for kind in (pa.float32(), pa.string()):  # texts may hold more: blanks about a number, points between thousands
        try:
            table = _cells(form, how, kind)
            matrix = np.full((len(table), form.width - 1), np.nan, np.float32)
            for place in range(1, form.width):
                ratings, absent = ratings_of(table.column(place), how)
                matrix[~absent, place - 1] = ratings[~absent]
        except (*UNREADABLE, Unfit) as error:
            said = one_line(error)
        else:
            if np.isinf(matrix).any():
                raise _fault(form, how, "a rating is too large")
            return [one.strip() for one in table.column(0).to_pylist()], matrix
    raise _fault(form, how, said)


def _cells(form: Form, how: Reading, kind: Any) -> Any:
    """The table of pyarrow: the first column as texts, the cells of the others of that type. Raises UNREADABLE."""
    text, names = form.text, [str(place) for place in range(form.width)]
    kinds = [pa.string(), *[kind] * (form.width - 1)]
    with text.open(clean=True) as lines:
        return pacsv.read_csv(
            lines,
            read_options=pacsv.ReadOptions(column_names=names, skip_rows=form.skip, block_size=BLOCK),
            parse_options=pacsv.ParseOptions(delimiter=text.delimiter, quote_char='"' if text.quotes else False),
            convert_options=pacsv.ConvertOptions(
                column_types=dict(zip(names, kinds, strict=True)),
                null_values=[word for word in how.missing if rating_fault(word) is not None],
                decimal_point=form.decimal,
            ),
        )


def _fault(form: Form, how: Reading, otherwise: str) -> DataError:
    """The first cell that is no rating."""
    try:
        for number, row in form.rows():
            for fault in _faults(row, form, how):
                return DataError(f"{form.text.name}, line {number}{fault}")
    except UNREADABLE as error:
        return DataError(f"{form.text.name}: {one_line(error)}")
    except DataError as error:
        return error
    return DataError(f"{form.text.name}: {otherwise}")


def _faults(row: list[str], form: Form, how: Reading) -> Iterator[str]:
    if fault := width_fault(row, form.width):
        yield f": {fault}"
    for place, cell in enumerate(row[1:], 2):
        if cell.strip() and cell.strip() not in how.missing and (fault := rating_fault(cell.strip(), form.decimal)):
            yield f", column {place}: {fault}"


def _distinct(texts: list[str], form: Form) -> Ids:
    """The users' ids. Raises DataError if one is there twice."""
    ids, places = code_ids(texts)
    if places is None:
        return ids
    first: Bools = np.zeros(len(texts), bool)
    first[np.unique(places, return_index=True)[1]] = True
    at = int((~first).argmax())
    line = next(number for row, (number, _) in enumerate(form.rows()) if row == at)
    raise DataError(
        f"{form.text.name}, line {line}: user '{short(texts[at])}' is there twice in the first column: if each line is "
        "one rating, leave out --wide; if the column counts ratings, --missing says what stands for none"
    )
