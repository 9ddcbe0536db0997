"""What ``prepare`` made, as the later stages read it: the parts of the ratings, the tables of users and items."""

import functools
from dataclasses import dataclass
from typing import Any

from mfcli.artifacts import Record
from mfcli.data.ratings import Ratings, read_table
from mfcli.errors import ArtifactError, DataError

PARTS = ("train", "val", "test")


@dataclass(frozen=True, eq=False)
class Prepared:
    """The data stage. Files are read, and their checksums compared, when they are first asked for."""

    record: Record

    @property
    def fingerprint(self) -> str:
        return self.record.fingerprint

    @property
    def n_users(self) -> int:
        return int(self.record.results["users"])

    @property
    def n_items(self) -> int:
        return int(self.record.results["items"])

    def has(self, part: str) -> bool:
        return f"{part}.parquet" in self.record.files

    @functools.cache  # noqa: B019 - lives as long as its Prepared, of which a process has one
    def part(self, name: str) -> Ratings:
        """The ratings of ``train``, ``val`` or ``test``. Raises ArtifactError."""
        if not self.has(name):
            raise ArtifactError(
                f"the data have no part '{name}': run `{self.record.stage.command}` with --validation-fraction above 0"
            )
        return Ratings.from_parquet(self.record.read(f"{name}.parquet"), self.n_users, self.n_items)

    def _table(self, name: str) -> Any:
        return read_table(self.record.read(f"{name}.parquet"))

    @functools.cached_property
    def users(self) -> Any:
        """pyarrow table of the users: index, id, ratings, train_ratings."""
        return self._table("users")

    @functools.cached_property
    def items(self) -> Any:
        """pyarrow table of the items: index, id, title, genres, ratings, train_ratings."""
        return self._table("items")

    def user_rows(self, ids: list[str]) -> list[int]:
        """Rows of the users with these original ids. Raises DataError for the first unknown one."""
        return _rows(self.users["id"], ids, "user", f"{self.record.stage.path}/users.parquet")

    def item_rows(self, ids: list[str]) -> list[int]:
        """Rows of the items with these original ids. Raises DataError for the first unknown one."""
        return _rows(self.items["id"], ids, "item", f"{self.record.stage.path}/items.parquet")


def _rows(column: Any, ids: list[str], what: str, where: str) -> list[int]:
    places = {str(known): row for row, known in enumerate(column.to_pylist())}
    for one in ids:
        if one not in places:
            known = ", ".join(str(v) for v in column.slice(0, 3).to_pylist())
            raise DataError(
                f"no {what} '{one}' in the data (known are {known}, ...): column id of {where} lists them, "
                f"and `mfcli recommend --all-users --format csv` prints every one"
            )
    return [places[one] for one in ids]
