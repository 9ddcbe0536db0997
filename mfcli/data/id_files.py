"""Reading lists of ids: one a line, or the column of ids of a table."""

from dataclasses import replace
from pathlib import Path

from mfcli.data.columns import ITEM, USERS, Wanted, by_usual_names, find_places
from mfcli.data.files import UNREADABLE, find_source, one_line
from mfcli.data.frames import read_all
from mfcli.data.ratings import Sides
from mfcli.data.remedies import BY_HAND
from mfcli.data.separators import SEPARATORS
from mfcli.data.table import plain_id
from mfcli.data.text import Text, guess_encoding
from mfcli.errors import DataError

IDS = Sides(replace(USERS, remedies=BY_HAND), Wanted({"item": (*ITEM, "id")}, 1, "a header", "itemId", BY_HAND))
"""The column that is read of lists of users and of items."""


def read_ids(path: Path, wanted: Wanted) -> list[str]:
    """Ids as texts, each once, in the order of the file.

    A first line with a usual name of ids, alone or among others, is a header; without one a line is an id.

    Args:
        path: text, compressed or not, parquet, feather or JSON; - for standard input.
        wanted: :data:`IDS` of the users or of the items.

    Raises:
        DataError: it cannot be read.
    """
    source = find_source(path)
    if not source.head:
        return []
    if source.kind != "text":
        table = read_all(source)
        (place,) = find_places(table.column_names, None, wanted, source.name).values()
        ids = [str(one) for one in table.column(place).to_pylist()]
    else:
        try:
            ids = _of_text(Text(source, guess_encoding(source, None, BY_HAND), remedies=BY_HAND), wanted)
        except UNREADABLE as error:
            raise DataError(f"{source.name}: {one_line(error)}") from None
    return list(dict.fromkeys(filter(None, map(plain_id, ids))))


def _of_text(text: Text, wanted: Wanted) -> list[str]:
    """The ids of a text. Raises UNREADABLE, DataError."""
    lines = list(text.lines())
    first = next((line for line in lines if line.strip()), "")
    for separator in SEPARATORS:
        table = replace(text, separator=separator)
        header = table.split(first)
        places = by_usual_names(header, wanted)
        if places:
            (place,) = places.values()
            rows = [row for _, row in table.rows() if any(row)][1:]
            return [row[place] for row in rows if len(row) > place]
    return [line.strip() for line in lines]
