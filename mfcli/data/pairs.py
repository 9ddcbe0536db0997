"""Reading pairs of a user and an item, whose ratings are to be predicted."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from mfcli.arrays import Int32s, Int64s
from mfcli.data.columns import CLICKS, ITEM, RATING, TIME, USER, Wanted, find_places
from mfcli.data.faults import text_fault
from mfcli.data.files import RATINGS_FILES, Source, find_source
from mfcli.data.form import Reading, find_form
from mfcli.data.frames import id_column, read_all
from mfcli.data.lookup import Doubt
from mfcli.data.ratings import Sides
from mfcli.data.readers import Unfit, coded, parse, sound
from mfcli.data.remedies import BY_HAND
from mfcli.data.table import Ids
from mfcli.data.text import guess_encoding
from mfcli.data.times import NoTimes, to_seconds
from mfcli.errors import DataError

NAMED = replace(CLICKS, remedies=BY_HAND)
"""The columns that the user names."""

PAIRS = replace(NAMED, names={"user": USER, "item": ITEM, "rating": RATING, "timestamp": TIME})
"""Those that are looked for. A file of ratings is one of pairs too: without a header the first two are taken."""


class Pairs(NamedTuple):
    """n pairs, in the order of the file.

    Attributes:
        users, items: (n,) int32 places in ``ids``.
        ids: the different ids of users and of items, as they were given.
        timestamps: (n,) int64 seconds since 1970 of when the ratings are given, or None.
    """

    users: Int32s
    items: Int32s
    ids: Sides[Ids]
    timestamps: Int64s | None = None


def read_pairs(path: Path, doubt: Doubt, columns: str | None = None, *, times: bool = False) -> Pairs:
    """The pairs in a file, text, parquet, feather or JSON; - for standard input.

    Args:
        path: of the file.
        doubt: is told of timestamps that cannot be used.
        columns: names or numbers from 1 of the columns user, item and perhaps timestamp, with commas between them;
            None to look for them.
        times: whether to read timestamps, if there is a column of them. Other columns are not looked at.

    Raises:
        DataError: the file cannot be read, or a value is missing; with the line's number for text.
        UsageError: the columns asked for make no sense.
    """
    source = find_source(path, RATINGS_FILES)
    roles = ("user", "item", "timestamp") if times else ("user", "item")
    read = _of_text if source.kind == "text" else _of_frame
    values, pairs = read(source, columns, PAIRS if columns is None else NAMED, roles)
    if "timestamp" in values:
        try:
            pairs = pairs._replace(timestamps=to_seconds(values["timestamp"]))
        except NoTimes as error:
            doubt(f"{source.name}: timestamps are left out, in pair {error.row + 1}: {error.reason}")
    return pairs


def _of_text(source: Source, columns: str | None, wanted: Wanted, roles: Sequence[str]) -> tuple[dict[str, Any], Pairs]:
    """The columns of these roles, as pyarrow has them, and the pairs in them. Raises DataError, UsageError."""
    form = find_form(source, Reading(columns, encoding=guess_encoding(source, None, BY_HAND)), wanted)
    form = replace(form, places={role: form.places[role] for role in roles if role in form.places})
    said = ""
    for clean in (False, True):  # most texts are as pyarrow wants them; only a fault is worth a second, slower reading
        try:
            values, _ = parse(form, Reading(), clean=clean)
            return values, _pairs(values["user"], values["item"])
        except Unfit as error:
            said = str(error)
    raise text_fault(form, otherwise=said, sound=sound(form, Reading()))


def _of_frame(
    source: Source, columns: str | None, wanted: Wanted, roles: Sequence[str]
) -> tuple[dict[str, Any], Pairs]:
    """The same of a file that is no text."""
    table = read_all(source)
    places = find_places(table.column_names, columns, wanted, source.name)
    values = {role: table.column(places[role]) for role in roles if role in places}
    try:
        users, items = (id_column(table, places[side], side, source.name) for side in ("user", "item"))
        return values, _pairs(users, items)
    except Unfit as error:
        raise DataError(f"{source.name}: {error}") from None


def _pairs(users: Any, items: Any) -> Pairs:
    """The pairs in two pyarrow columns, dictionaries of strings. Raises Unfit."""
    if users.null_count or items.null_count:
        raise Unfit("a user or an item is missing")
    (user_codes, user_ids), (item_codes, item_ids) = coded(users), coded(items)
    return Pairs(user_codes, item_codes, Sides(user_ids, item_ids))
