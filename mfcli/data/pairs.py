"""Reading pairs of a user and an item, whose ratings are to be predicted."""

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from mfcli.data.columns import ITEM, RATING, TIME, USER, Wanted, find_places
from mfcli.data.faults import text_fault
from mfcli.data.files import Source, find_source
from mfcli.data.form import Reading, find_form
from mfcli.data.frames import id_column, read_all
from mfcli.data.ratings import Int32s, Sides
from mfcli.data.readers import RATINGS_FILES, Unfit, codes, parse
from mfcli.data.table import Ids
from mfcli.errors import DataError

PAIRS = Wanted({"user": USER, "item": ITEM, "rating": RATING, "timestamp": TIME}, 2, "a header", "user,item")
"""A file of ratings is one of pairs too: without names of columns the first two are taken."""


class Pairs(NamedTuple):
    """n pairs, in the order of the file.

    Attributes:
        users, items: (n,) int32 places in ``ids``.
        ids: the different ids of users and of items, as they were given.
    """

    users: Int32s
    items: Int32s
    ids: Sides[Ids]


def read_pairs(path: Path) -> Pairs:
    """The pairs in a file, text, parquet, feather or JSON; - for standard input. Other columns are not looked at.

    Raises:
        DataError: the file cannot be read, or a value is missing; with the line's number for text.
    """
    source = find_source(path, RATINGS_FILES)
    return _of_text(source) if source.kind == "text" else _of_frame(source)


def _of_text(source: Source) -> Pairs:
    form = find_form(source, Reading(), PAIRS)
    form = replace(form, places={side: form.places[side] for side in ("user", "item")})
    said = ""
    for clean in (False, True):  # most texts are as pyarrow wants them; only a fault is worth a second, slower reading
        try:
            return _pairs(*parse(form, Reading(), clean=clean)[0].values())
        except Unfit as error:
            said = str(error)
    raise text_fault(form, otherwise=said)


def _of_frame(source: Source) -> Pairs:
    table = read_all(source)
    places = find_places(table.column_names, None, PAIRS, source.name)
    try:
        return _pairs(*(id_column(table, places[side], side, source.name) for side in ("user", "item")))
    except Unfit as error:
        raise DataError(f"{source.name}: {error}") from None


def _pairs(users: Any, items: Any) -> Pairs:
    """The pairs in two pyarrow columns, dictionaries of strings. Raises Unfit."""
    if users.null_count or items.null_count:
        raise Unfit("a user or an item is missing")
    (user_codes, user_ids), (item_codes, item_ids) = codes(users), codes(items)
    return Pairs(user_codes, item_codes, Sides(user_ids, item_ids))
