"""What ``prepare`` makes, written and read: the parts of the ratings, the tables of users and items."""

import functools
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mfcli.artifacts import Record
from mfcli.data.attributes import Described
from mfcli.data.features import Features
from mfcli.data.features import to_arrow as features_to_arrow
from mfcli.data.ids import find_ids
from mfcli.data.ratings import Int32s, Int64s, Parts, Ratings, Sides
from mfcli.errors import ArtifactError, DataError

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
        ids: original ids of the users and of the items, by row.
        names: ``title`` and ``genres`` of the items, by row; empty where there are none.
        years: of the items.
        described: the features of the users and of the items.
    """
    import pyarrow as pa

    for name, part in zip(PARTS, parts, strict=True):
        if len(part):
            _write_table(part.to_arrow(), folder / f"{name}.parquet")
    counts = Sides(
        users=Parts(*(part.user_counts() for part in parts)), items=Parts(*(part.item_counts() for part in parts))
    )
    told: dict[str, Any] = {name: pa.array(column, pa.string()) for name, column in names.items()}
    told["year"] = pa.array(years, pa.int16())
    _write_rows(folder / "users.parquet", ids.users, {}, described.users, counts.users)
    _write_rows(folder / "items.parquet", ids.items, told, described.items, counts.items)


def _write_rows(
    path: Path, ids: npt.NDArray[Any], told: dict[str, Any], described: Described, counts: Parts[Int32s]
) -> None:
    """The table of the users or of the items: what is known of each row."""
    import pyarrow as pa

    columns = {"index": pa.array(np.arange(len(ids), dtype=np.int32)), "id": pa.array(ids)}
    counted = {"ratings": counts.train + counts.val + counts.test, "train_ratings": counts.train}
    table = pa.table(columns | told | counted)
    _write_table(table.append_column(*features_to_arrow(described)), path)


def _write_table(table: Any, path: Path) -> None:
    import pyarrow.parquet as pq

    with path.open("wb") as file:  # pyarrow cannot open every path that Python can
        pq.write_table(table, file)


def _read_table(content: bytes) -> Any:
    """The pyarrow table in a parquet file's bytes. (``pq.read_table`` would import pandas on its way.)"""
    import pyarrow.parquet as pq

    # No threads: one that still held our bytes when a closed pipe ended the process would abort it.
    return pq.ParquetFile(io.BytesIO(content), pre_buffer=False).read(use_threads=False)


@dataclass(frozen=True, eq=False)
class Prepared:
    """The data stage, or a run's copy of it. Files are read, and checksums compared, when they are first asked for.

    Attributes:
        record: of the stage.
        new_items: table of items that are not in the data and follow them (:mod:`mfcli.data.new_items`).
    """

    record: Record
    new_items: Any = None

    @property
    def fingerprint(self) -> str:
        return self.record.fingerprint

    @property
    def n_users(self) -> int:
        return int(self.record.results["users"])

    @property
    def n_items(self) -> int:
        return int(self.record.results["items"]) + (0 if self.new_items is None else len(self.new_items))

    @property
    def feedback(self) -> str:
        """What users gave: ``ratings``, or ``clicks``, whose weights then stand in place of ratings."""
        return str(self.record.results.get("feedback", "ratings"))

    def has(self, part: str) -> bool:
        return f"{part}.parquet" in self.record.files

    @functools.cache  # noqa: B019 - lives as long as its Prepared, of which a process has one
    def part(self, name: str) -> Ratings:
        """The ratings of ``train``, ``val`` or ``test``. Raises ArtifactError."""
        if name == "test" and not self.has(name):
            raise ArtifactError(
                f"nothing is held out, so there is nothing to judge predictions by: run `{self.record.command}` with "
                "another --split, or see with --part train how the model fits what it was trained on"
            )
        if not self.has(name):
            raise ArtifactError(
                f"the data have no part '{name}': run `{self.record.made_by}` with --validation-fraction above 0"
            )
        return Ratings.from_arrow(self._table(name), self.n_users, self.n_items)

    def train_counts(self) -> Sides[Int32s]:
        """(n_users,) and (n_items,) int32 training ratings of every user and item."""
        tables = (self.users, self.items)
        return Sides(*(np.from_dlpack(table["train_ratings"].combine_chunks()).astype(np.int32) for table in tables))

    def _table(self, name: str) -> Any:
        return _read_table(self.record.read(f"{name}.parquet"))

    @functools.cached_property
    def users(self) -> Any:
        """pyarrow table of the users: index, id, ratings, train_ratings, features."""
        return self._table("users")

    @functools.cached_property
    def items(self) -> Any:
        """pyarrow table of the items: index, id, title, genres, year, ratings, train_ratings, features."""
        import pyarrow as pa

        table = self._table("items")
        return table if self.new_items is None else pa.concat_tables([table, self.new_items])

    @functools.cache  # noqa: B019 - as above
    def features(self) -> Sides[Features | None]:
        """What is known of the users and of the items beside ratings. Raises ArtifactError."""
        return Sides(self._features("users"), self._features("items"))

    def _features(self, name: str) -> Features | None:
        try:
            return Features.from_table(getattr(self, name))
        except (ValueError, KeyError, TypeError):
            raise self.record.damaged(f"{self.record.stage.path}/{name}.parquet: its features are damaged") from None

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
