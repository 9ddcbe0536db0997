"""What an answer is: a table that comes a block at a time."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from mfcli.data.formats import Block, Column, Kind
from mfcli.data.lookup import Doubt
from mfcli.data.prepared import Prepared
from mfcli.data.ratings import Sides
from mfcli.errors import DataError
from mfcli.progress import Progress


class Answer(NamedTuple):
    """A table that answers what was asked.

    Attributes:
        columns: of the table.
        blocks: its rows. Nothing is computed before it is asked for, so that any number fits into bounded memory.
        asked: for how many users, pairs or items there is an answer.
    """

    columns: list[Column]
    blocks: Iterator[Block]
    asked: int


class Items:
    """What is told of the items of a list."""

    def __init__(self, prepared: Prepared) -> None:
        self.ids, self.titles, self.genres = (prepared.items[name].to_pylist() for name in ("id", "title", "genres"))
        self.columns = [
            Column("item", id_kinds(prepared).items, "item"),
            Column("title", "string", "title", gives_way=True),
            Column("genres", "string", "genres", gives_way=True, several=True),
        ]

    def block(self, rows: Sequence[int]) -> dict[str, Sequence[Any]]:
        """The columns of these rows of items."""
        return {
            "item": [self.ids[row] for row in rows],
            "title": [self.titles[row] for row in rows],
            "genres": [self.genres[row] for row in rows],
        }


def id_kinds(prepared: Prepared) -> Sides[Kind]:
    """The kinds of the columns that hold ids."""
    kinds: dict[str, Kind] = {"integer": "int64", "string": "string"}
    return Sides(kinds[prepared.facts.user_ids], kinds[prepared.facts.item_ids])


def doubter(strict: bool, progress: Progress) -> Doubt:
    """What is told of what is odd but usable: it warns, or raises DataError if ``strict``."""

    def doubt(text: str) -> None:
        if strict:
            raise DataError(text)
        progress.warn(text)

    return doubt
