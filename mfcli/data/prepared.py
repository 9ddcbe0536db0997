"""What ``prepare`` makes, written and read: the parts of the ratings, the tables of users and items."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mfcli.arrays import Int32s, Int64s
from mfcli.config.common import Feedback
from mfcli.data.attributes import Described
from mfcli.data.facts import Facts
from mfcli.data.features import Features
from mfcli.data.features import to_arrow as features_to_arrow
from mfcli.data.ids import find_ids
from mfcli.data.ratings import ItemLists, Parts, Ratings, Sides
from mfcli.data.seen import FILE as SEEN
from mfcli.data.seen import read_seen, write_seen
from mfcli.data.tables import (
    ITEMS,
    RATINGS,
    USERS,
    numbers,
    read_rows,
    read_table,
    to_arrow,
    write_table,
    years_to_arrow,
)
from mfcli.errors import ArtifactError, DataError
from mfcli.record import Record
from mfcli.stage_file import STAGE_FILE

PARTS = Parts._fields


def write(
    folder: Path,
    parts: Parts[Ratings],
    ids: Sides[npt.NDArray[Any]],
    names: dict[str, list[str]],
    years: list[int | None],
    described: Sides[Described],
) -> None:
    """Write the parts of the ratings and the tables of users and items.

    Args:
        folder: where.
        parts: of the ratings; an empty one has no file.
        ids: (n_users,) and (n_items,) original ids of the users and of the items, by row, int64 or texts.
        names: ``title`` and ``genres`` of the items, by row; empty where there are none.
        years: of the items.
        described: the features of the users and of the items.
    """
    for name, part in zip(PARTS, parts, strict=True):
        if len(part):
            write_table(part.to_arrow(), folder / f"{name}.parquet")
    write_seen(parts, folder / SEEN)
    counts = Sides(
        users=Parts(*(part.user_counts() for part in parts)), items=Parts(*(part.item_counts() for part in parts))
    )
    told: dict[str, Any] = {name: to_arrow(column) for name, column in names.items()}
    told["year"] = years_to_arrow(years)
    _write_rows(folder / "users.parquet", ids.users, {}, described.users, counts.users)
    _write_rows(folder / "items.parquet", ids.items, told, described.items, counts.items)


def _write_rows(
    path: Path, ids: npt.NDArray[Any], told: dict[str, Any], described: Described, counts: Parts[Int32s]
) -> None:
    """The table of the users or of the items: what is known of each row."""
    import pyarrow as pa

    columns = {"index": to_arrow(np.arange(len(ids), dtype=np.int32)), "id": to_arrow(ids)}
    counted = {"ratings": counts.train + counts.val + counts.test, "train_ratings": counts.train}
    table = pa.table(columns | told | {name: to_arrow(one) for name, one in counted.items()})
    write_table(table.append_column(*features_to_arrow(described)), path)


@dataclass(frozen=True, eq=False)
class Prepared:
    """The data stage, or a run's copy of it. Files are read, and checksums compared, when they are first asked for.

    Attributes:
        record: of the stage.
        whole: take all parts for the training part, as a run does that was refitted.
        new_items: table of items that are not in the data and follow them (:mod:`mfcli.data.new_items`).
    """

    record: Record
    whole: bool = False
    new_items: Any = None

    @property
    def fingerprint(self) -> str:
        return self.record.fingerprint

    @functools.cached_property
    def facts(self) -> Facts:
        """What is recorded of them. Raises ArtifactError."""
        return self.record.told(Facts)

    @property
    def n_users(self) -> int:
        return self.facts.users

    @property
    def n_items(self) -> int:
        return self.facts.items + (0 if self.new_items is None else len(self.new_items))

    @property
    def feedback(self) -> Feedback:
        """What users gave: ``ratings``, or ``clicks``, whose weights then stand in place of ratings."""
        return self.facts.feedback

    def has(self, part: str) -> bool:
        return part == "train" if self.whole else f"{part}.parquet" in self.record.files

    @functools.cached_property
    def _parts(self) -> dict[str, Ratings]:
        """Those that were read."""
        return {}

    def part(self, name: str) -> Ratings:
        """The ratings of ``train``, ``val`` or ``test``. Raises ArtifactError."""
        if name not in self._parts:
            self._parts[name] = self._read_part(name)
        return self._parts[name]

    def _read_part(self, name: str) -> Ratings:
        if self.whole and not self.has(name):
            raise ArtifactError(
                "nothing is held out of a run that was refitted: evaluate the one that it was refitted from"
            )
        if not self.has(name) and getattr(self.facts, name):
            raise self.record.damaged(f"{self.record.path / STAGE_FILE} names no {name}.parquet")
        if name == "test" and not self.has(name):
            raise ArtifactError(
                f"nothing is held out, so there is nothing to judge predictions by: run `{self.record.made_by}` with "
                "another --split, or see with --part train how the model fits what it was trained on"
            )
        if not self.has(name):
            raise ArtifactError(
                f"the data have no part '{name}': run `{self.record.made_by}` with --validation-fraction above 0"
            )
        names = [one for one in PARTS if getattr(self.facts, one)] if self.whole else [name]
        parts = [self.record.read_as(f"{one}.parquet", functools.partial(self._ratings, one)) for one in names]
        return parts[0] if len(parts) == 1 else Ratings.joined(parts)

    def _ratings(self, part: str, content: bytes) -> Ratings:
        ratings = Ratings.from_arrow(read_table(content, RATINGS), self.n_users, self.n_items)
        count = getattr(self.facts, part)
        if len(ratings) != count:
            raise ValueError(f"it has {len(ratings):,} {self.feedback}, and {STAGE_FILE} says {count:,}")
        low, high = ratings.ratings.min(), ratings.ratings.max()
        if not (self.facts.minimum <= low and high <= self.facts.maximum):  # nor are they NaN then
            raise ValueError(f"its ratings are not from {self.facts.minimum:g} to {self.facts.maximum:g}")
        return ratings

    def seen(self, users: Int64s) -> ItemLists:
        """What these (n,) users have rated in any part; the lists of others may be empty. Raises ArtifactError."""
        with self.record.opened(SEEN) as file, self.record.reading(SEEN):
            return read_seen(file, users, numbers(self.users["ratings"]), self.facts.items)

    def train_counts(self) -> Sides[Int32s]:
        """(n_users,) and (n_items,) int32 training ratings of every user and item."""
        return Sides(*(numbers(table["train_ratings"]) for table in (self.users, self.items)))

    @functools.cached_property
    def users(self) -> Any:
        """pyarrow table of the users: index, id, ratings, train_ratings, features."""
        return self._counted(self.record.read_as("users.parquet", lambda file: read_rows(file, USERS, self.n_users)))

    @functools.cached_property
    def items(self) -> Any:
        """pyarrow table of the items: index, id, title, genres, year, ratings, train_ratings, features."""
        import pyarrow as pa

        table = self.record.read_as("items.parquet", lambda content: read_rows(content, ITEMS, self.facts.items))
        table = self._counted(table)
        return table if self.new_items is None else pa.concat_tables([table, self.new_items])

    def _counted(self, table: Any) -> Any:
        """The table of the users or of the items, with what are training ratings to us."""
        if not self.whole:
            return table
        return table.set_column(table.column_names.index("train_ratings"), "train_ratings", table["ratings"])

    @functools.cached_property
    def features(self) -> Sides[Features | None]:
        """What is known of the users and of the items beside ratings. Raises ArtifactError."""
        return Sides(self._features("users"), self._features("items"))

    def _features(self, side: str) -> Features | None:
        table = getattr(self, side)
        with self.record.reading(f"{side}.parquet"):
            return Features.from_table(table)

    def rows_among(self, other: "Prepared") -> Sides[Int64s]:
        """(n_users,) and (n_items,): for every row that of the same user or item among other data; -1 for none."""

        def rows(side: str) -> Int64s:
            return find_ids(getattr(other, side)["id"], [str(one) for one in getattr(self, side)["id"].to_pylist()])

        return Sides(rows("users"), rows("items"))

    def user_rows(self, ids: Sequence[str]) -> Int64s:
        """(n,) int64 rows of the users with these (n,) original ids. Raises DataError for the first unknown one."""
        rows = find_ids(self.users["id"], ids)
        if (rows < 0).any():
            raise DataError(f"no user '{ids[int(rows.argmin())]}' in the data: {self.hint('users')}")
        return rows

    def hint(self, side: str) -> str:
        """What lists the ``users`` or ``items`` that there are."""
        known = ", ".join(map(str, getattr(self, side)["id"].slice(0, 3).to_pylist()))
        return f"known are {known}, ...; `mfcli recommend --list {side}` shows all"
