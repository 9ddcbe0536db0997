"""Reading what is known of users: MovieLens's users.dat and u.user, and anybody's file of ids and attributes."""

import re
from dataclasses import replace

from mfcli.data.columns import USERS, find_places
from mfcli.data.faults import width_fault
from mfcli.data.files import UNREADABLE, Source, one_line
from mfcli.data.form import Reading, find_form
from mfcli.data.frames import read_all
from mfcli.data.sheet import Sheet, rows_of_frame, sheet_of
from mfcli.data.text import Text, encoding_doubts, guess_encoding
from mfcli.errors import DataError

USERS_FILES = ("users.dat", "u.user", "users.csv")
"""What the users are called in the folder or archive of a whole data set."""

MOVIELENS = (
    (re.compile(r"\d+::[FM]::\d+::\d+::[^:]*"), "::", ("id", "gender", "age", "occupation", "zip")),  # users.dat
    (re.compile(r"\d+\|\d+\|[FM]\|[^|]+\|[^|]*"), "|", ("id", "age", "gender", "occupation", "zip")),  # u.user
)
"""How a file without names of columns begins, its separator, and its columns."""

KINDS = {"gender": "category", "age": "number", "occupation": "category", "zip": "zip"}


def read_users(source: Source, how: Reading | None = None) -> Sheet:
    """The attributes of users: a column of ids by its usual name, and any others. Raises DataError, UsageError.

    Two files without a header are known by their first line: ml-1m's users.dat, and ml-100k's u.user.
    """
    how = how or Reading()
    if source.kind != "text":
        table = read_all(source)
        place = find_places(table.column_names, None, USERS, source.name)["user"]
        return sheet_of(rows_of_frame(table), table.column_names, place, roles={"user": table.column_names[place]})
    try:
        movielens = _movielens(Text(source, "latin-1", quoting="none"))
        if movielens is not None:
            return movielens
        encoding = guess_encoding(source, how.encoding)
        form = find_form(source, replace(how, encoding=encoding), USERS)
        assert form.header is not None  # where there is none, find_form asks for it
        rows = []
        for number, row in form.rows():
            if fault := width_fault(row, form.width, form.text.remedies):
                raise DataError(f"{source.name}, line {number}: {fault}")
            rows.append(row)
        sheet = sheet_of(rows, form.header, form.places["user"], roles=form.names())
        return replace(sheet, doubts=(*encoding_doubts(encoding, how.encoding), *sheet.doubts))
    except UNREADABLE as error:
        raise DataError(f"{source.name}: {one_line(error)}") from None


def _movielens(text: Text) -> Sheet | None:
    """The sheet of a file of MovieLens, if it is one. Raises DataError."""
    first = next((line.rstrip("\r\n") for line in text.lines() if line.strip()), "")
    for pattern, separator, columns in MOVIELENS:
        if pattern.fullmatch(first):
            rows = []
            for number, row in replace(text, separator=separator).rows():
                if any(row) and (fault := width_fault(row, len(columns))):
                    raise DataError(f"{text.name}, line {number}: {fault}")
                rows.append(row)
            return sheet_of(filter(any, rows), list(columns), 0, kinds=KINDS, roles={"user": columns[0]})
    return None
