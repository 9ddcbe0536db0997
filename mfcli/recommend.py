"""``mfcli recommend``: the items a user has not rated and would rate highest."""

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from mfcli.artifacts import Artifacts, atomic_file
from mfcli.cli.formats import COLUMNS, STD, Recommendations, Writer, open_writer
from mfcli.config import RecommendConfig
from mfcli.data.prepared import PARTS, Prepared
from mfcli.data.ratings import Float32s, Int32s, Int64s, ItemLists
from mfcli.errors import ArtifactError, DataError, UsageError
from mfcli.models.fold_in import fold_in
from mfcli.models.ranking import rank
from mfcli.models.run import TrainedRun, open_run

NEW_USER = "new"


def recommend(config: RecommendConfig) -> Iterator[Recommendations]:
    """Recommend for the users asked for, a block of users at a time, so that all users fit into bounded memory.

    Raises:
        UsageError: the run's solver does not tell how sure it is, and --with-std asks for it.
        DataError: a user or an item is unknown.
        ArtifactError: run or data are absent, damaged or not of each other.
    """
    trained = open_run(Artifacts(config.dir), config.run)
    if config.with_std and trained.model.user_noise is None:
        raise UsageError(
            f"--with-std: the solver of run '{config.run}' does not tell how sure it is; train with --solver gibbs"
        )
    items = trained.prepared.items
    naming = _Naming(items["id"].to_pylist(), items["title"].to_pylist(), items["genres"].to_pylist())
    if config.ratings is not None:
        yield _for_somebody_new(config, config.ratings, trained, naming)
    users = _users(config, trained.prepared)
    if not len(users):
        return
    seen = None if config.include_seen else _seen(trained.prepared, users)
    user_ids = trained.prepared.users["id"].to_pylist()
    for ranked in rank(trained.model, users, config.n, hidden=seen):
        predictions = trained.model.clip(ranked.scores)
        deviations = trained.model.deviations(ranked.users[:, None], ranked.items) if config.with_std else None
        yield naming.recommendations([user_ids[row] for row in ranked.users], ranked.items, predictions, deviations)


def _users(config: RecommendConfig, prepared: Prepared) -> Int64s:
    if config.all_users:
        return np.arange(prepared.n_users)
    ids = list(config.user)
    if config.users_from:
        ids += _ids_from(config.users_from)
    return np.array(prepared.user_rows(list(dict.fromkeys(ids))), np.int64)


def _ids_from(name: str) -> list[str]:
    try:
        text = sys.stdin.read().removeprefix("\ufeff") if name == "-" else Path(name).read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"--users-from {name}: {getattr(error, 'strerror', None) or 'not UTF-8 text'}") from None
    return [line.strip() for line in text.splitlines() if line.strip()]


def _seen(prepared: Prepared, users: Int64s) -> ItemLists:
    """What these users have rated, in any part."""
    wanted = np.zeros(prepared.n_users, bool)
    wanted[users] = True
    parts = [prepared.part(name) for name in PARTS if prepared.has(name)]
    raters, items = np.concatenate([part.users for part in parts]), np.concatenate([part.items for part in parts])
    mine = wanted[raters]
    return ItemLists.of_pairs(raters[mine], items[mine], prepared.n_users)


@dataclass(frozen=True)
class _Naming:
    """From rows of the items table to what people call them."""

    ids: list[Any]
    titles: list[str]
    genres: list[str]

    def recommendations(
        self, users: list[Any], best: Int32s, predictions: Float32s, deviations: Float32s | None = None
    ) -> Recommendations:
        """Rows for (users,) ids, their (users, n) best items, -1 for none, and the (users, n) predictions."""
        of_user, of_rank = np.nonzero(best >= 0)
        items = best[of_user, of_rank].tolist()
        columns = {
            "user": [users[row] for row in of_user],
            "rank": (of_rank + 1).tolist(),
            "item": [self.ids[item] for item in items],
            "title": [self.titles[item] for item in items],
            "genres": [self.genres[item] for item in items],
            "prediction": predictions[of_user, of_rank].tolist(),
        }
        if deviations is not None:
            columns[STD] = deviations[of_user, of_rank].tolist()
        return Recommendations(columns)


def _for_somebody_new(config: RecommendConfig, file: Path, trained: TrainedRun, naming: _Naming) -> Recommendations:
    """Fold a user in whom training has not seen: the items' factors stay, theirs are solved for."""
    ids, given = _new_ratings(file)
    rows = np.array(trained.prepared.item_rows(ids), np.int32)
    newcomer = fold_in(trained.model, rows, given)
    hidden = None if config.include_seen else ItemLists(np.array([0, len(rows)]), rows)
    (ranked,) = rank(newcomer.model, np.array([0]), config.n, hidden=hidden)
    predictions, deviations = trained.model.clip(ranked.scores), newcomer.deviations() if config.with_std else None
    return naming.recommendations(
        [NEW_USER], ranked.items, predictions, None if deviations is None else deviations[ranked.items]
    )


def _new_ratings(file: Path) -> tuple[list[str], Float32s]:
    from mfcli.data.readers import read_item_ratings

    ids, ratings = read_item_ratings(file)
    if len(set(ids)) < len(ids):
        raise DataError(f"{file}: an item is rated twice")
    return ids, ratings


BY_ENDING = {".csv": "csv", ".jsonl": "jsonl", ".json": "json", ".parquet": "parquet", ".txt": "table"}


def output_format(config: RecommendConfig) -> str:
    """The format asked for, else the one of --output's ending, else a table. Raises UsageError."""
    if config.format is not None:
        return config.format
    if config.output is None:
        return "csv" if config.save else "table"
    if config.output.suffix not in BY_ENDING:
        raise UsageError(f"--output {config.output}: give --format, its ending names none")
    return BY_ENDING[config.output.suffix]


@contextlib.contextmanager
def open_output(config: RecommendConfig, kind: str, stdout: IO[bytes]) -> Iterator[Writer]:
    """Where the recommendations go: standard output, or a file that appears when all are in it.

    Raises:
        UsageError: parquet to a terminal.
    """
    artifacts = Artifacts(config.dir)
    figures = artifacts.data.record().results
    if kind == "parquet" and config.output is None and not config.save and stdout.isatty():
        raise UsageError("--format parquet: a terminal cannot show it; give --output FILE")
    with contextlib.ExitStack() as stack:
        file: IO[bytes] = stdout
        if config.save:
            stage = artifacts.run(config.run)
            if not stage.exists():
                raise ArtifactError(f"{stage.path} is not there yet: run `{stage.command}`")
            stack.enter_context(stage.lock(config.lock_timeout))
            file = stack.enter_context(
                atomic_file(stage.path / f"recommendations.{'txt' if kind == 'table' else kind}")
            )
        elif config.output is not None:
            file = stack.enter_context(atomic_file(config.output))
        writer = open_writer(
            kind,
            file,
            text_users=config.ratings is not None or figures["user_ids"] == "string",
            text_items=figures["item_ids"] == "string",
            columns=(*COLUMNS, STD) if config.with_std else COLUMNS,
        )
        yield writer
        writer.close()
