"""What ``prepare`` made, as the later stages read it: the parts of the ratings, the tables of users and items."""

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mfcli.artifacts import Artifacts, Record
from mfcli.errors import ArtifactError, DataError
from mfcli.model import FILE as MODEL
from mfcli.model import FactorModel
from mfcli.ratings import Ratings, read_table

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
        return int(self.record.figures["users"])

    @property
    def n_items(self) -> int:
        return int(self.record.figures["items"])

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


@dataclass(frozen=True)
class TrainedRun:
    """A finished run and the data it was trained on."""

    record: Record
    prepared: Prepared
    model: FactorModel

    @contextlib.contextmanager
    def locked(self, timeout: float) -> Iterator[None]:
        """Keep the run from being trained again while something is written beside its model.

        Raises:
            ArtifactError: it has been meanwhile, or another process writes to it for longer than ``timeout`` seconds.
        """
        with self.record.stage.lock(timeout):
            if self.record.stage.record().fingerprint != self.record.fingerprint:
                raise ArtifactError(f"{self.record.stage.path} was trained again meanwhile: run this command again")
            yield


def open_run(artifacts: Artifacts, name: str) -> TrainedRun:
    """A run's model together with its data. Raises ArtifactError if one is absent, damaged or not of the other."""

    def read(record: Record) -> TrainedRun:
        prepared = Prepared(artifacts.data.record())
        if record.inputs.get("data") != prepared.fingerprint:
            raise ArtifactError(
                f"run '{name}' was trained on other data than {prepared.record.stage.path} holds now: "
                f"run `{record.command}` again"
            )
        return TrainedRun(record, prepared, FactorModel.from_bytes(record.read(MODEL)))

    stage = artifacts.run(name)
    if not stage.exists() and (stage.path / "checkpoint.safetensors").exists():
        raise ArtifactError(f"run '{name}' is not finished: run `{stage.command} --resume`")
    return stage.consistent(read)
