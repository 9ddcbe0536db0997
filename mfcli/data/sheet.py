"""A sheet: what a file says of users or of items, as texts by id and column."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mfcli.data.files import short
from mfcli.data.table import plain_id

MOST = 3  # ids that a doubt names
NAMELESS = re.compile(r"\s*|Unnamed: \d+")  # columns that programs leave where they kept the number of a row


@dataclass(frozen=True)
class Sheet:
    """What a file says of users or of items.

    Attributes:
        columns: names of its columns beside the id.
        rows: id as text -> a cell for each of the columns.
        kinds: column -> kind of attribute, where the layout of the file tells.
        roles: ``user``, ``item``, ``title``, ``genres`` -> what the file calls the column, if there is one.
        doubts: what is odd about the file.
    """

    columns: tuple[str, ...] = ()
    rows: dict[str, tuple[str, ...]] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    roles: dict[str, str] = field(default_factory=dict)
    doubts: tuple[str, ...] = ()

    def column(self, name: str, ids: Sequence[str]) -> list[str]:
        """The cells of a column, by its name or its role, for these ids; '' for what the sheet does not have."""
        name = self.roles.get(name, name)
        if name not in self.columns:
            return [""] * len(ids)
        place, nothing = self.columns.index(name), ("",) * len(self.columns)
        return [self.rows.get(one, nothing)[place] for one in ids]


def sheet_of(
    rows: Iterable[list[str]],
    header: list[str],
    id_place: int,
    *,
    kinds: dict[str, str] | None = None,
    roles: dict[str, str] | None = None,
) -> Sheet:
    """The sheet of rows of cells. Of two columns of the same name the first is taken, those without a name are not.

    Of two rows of the same id the last one is taken, those without an id are not.

    Args:
        rows: each as long as the header.
        header: names of the columns.
        id_place: number of the column of ids, from 0.
        kinds, roles: as of :class:`Sheet`.
    """
    names = [name.strip() for name in header]
    kept = [
        place
        for place, name in enumerate(names)
        if place != id_place and not NAMELESS.fullmatch(name) and names.index(name) == place
    ]
    cells: dict[str, tuple[str, ...]] = {}
    again: dict[str, None] = {}
    nameless = 0
    for row in rows:
        one, said = plain_id(row[id_place]), tuple(row[place].strip() for place in kept)
        if cells.setdefault(one, said) != said:
            again[one] = None
            cells[one] = said
        nameless += not one
    again.pop("", None)
    cells.pop("", None)
    doubts = []
    if nameless:
        doubts.append(f"{nameless:,} lines without an id are left out")
    if again:
        some = short(", ".join(list(again)[:MOST]))
        doubts.append(f"{len(again):,} ids are there more than once, with other words: the last line counts ({some})")
    return Sheet(tuple(names[place] for place in kept), cells, kinds or {}, roles or {}, tuple(doubts))


def rows_of_frame(table: Any) -> Iterable[list[str]]:
    """The rows of a pyarrow table as texts; a list's elements stand between ``|``."""
    columns = [map(_text, column.to_pylist()) for column in table.columns]
    return map(list, zip(*columns, strict=True))


def _text(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "|".join(map(_text, value))
    if isinstance(value, bytes):  # as older systems write texts to parquet
        return value.decode("utf-8", "backslashreplace")
    return "" if value is None else str(value)
