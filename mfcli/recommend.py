"""``mfcli recommend``: the items a user has not rated and would like best."""

import contextlib
import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from mfcli.artifacts import Artifacts
from mfcli.atomic import atomic_file
from mfcli.config import RecommendConfig
from mfcli.data.formats import FORMATS, Block, Column, Kind
from mfcli.data.prepared import PARTS, Prepared
from mfcli.data.ratings import Float32s, Int64s, ItemLists
from mfcli.errors import DataError, UsageError
from mfcli.models.fold_in import fold_in
from mfcli.models.model import Deviations, FactorModel
from mfcli.models.ranking import Ranked, rank
from mfcli.models.run import TrainedRun, open_run
from mfcli.models.scorers import scorer

NEW_USER = "new"  # what somebody is called who is not in the data


@dataclass(frozen=True)
class Recommended:
    """The result.

    Attributes:
        run: whose model recommended.
        users: how many were recommended to.
        items: how many recommendations that came to.
        path: the file they are in; None for standard output.
    """

    run: str
    users: int
    items: int
    path: Path | None


def recommend(config: RecommendConfig, stdout: IO[bytes]) -> Recommended:
    """Write recommendations to a file, which appears when all are in it, or to ``stdout``.

    Raises:
        UsageError: the options do not fit each other or the run.
        DataError: a user or an item is unknown.
        ArtifactError: run or data are absent, damaged or not of each other.
    """
    name = output_format(config)
    form = FORMATS[name]
    if not form.text and config.output is None and not config.save and stdout.isatty():
        raise UsageError(f"--format {name}: a terminal cannot show it; give --output FILE")
    trained = _open(config)
    users = _users(config, trained.prepared)
    path = trained.record.stage.path / f"recommendations{form.ending}" if config.save else config.output
    blocks, written = _blocks(config, trained, users), 0
    first = list(itertools.islice(blocks, 1))  # errors come before the file is opened
    with contextlib.ExitStack() as stack:
        if config.save:
            stack.enter_context(trained.locked(config.lock_timeout))
        file = stdout if path is None else stack.enter_context(atomic_file(path))
        writer = form.writer(file, _columns(config, trained.prepared))
        for block in itertools.chain(first, blocks):
            writer.write(block)
            written += len(block["item"])
        writer.close()
    return Recommended(config.run, len(users) + (config.ratings is not None), written, path)


def recommendations(config: RecommendConfig) -> Iterator[Block]:
    """The same from Python, a block of users at a time: columns by name, a row an item, best first, ids as in the data.

    Nothing is computed before it is asked for, so all users fit into bounded memory. Raises as :func:`recommend`.
    """
    trained = _open(config)
    yield from _blocks(config, trained, _users(config, trained.prepared))


def output_format(config: RecommendConfig) -> str:
    """The format asked for, else the one of --output's ending, else csv to save and a table to show.

    Raises:
        UsageError: the ending is not one of a format's.
    """
    if config.format is not None:
        return config.format
    if config.output is None:
        return "csv" if config.save else "table"
    for name, form in FORMATS.items():
        if form.ending == config.output.suffix:
            return name
    raise UsageError(f"--output {config.output}: give --format, its ending names none")


def _open(config: RecommendConfig) -> TrainedRun:
    trained = open_run(Artifacts(config.dir), config.run, config.rank_by)
    if config.with_std and trained.model.noise is None:
        raise UsageError(
            f"--with-std: the solver of run '{config.run}' does not tell how sure it is; train with --solver gibbs"
        )
    return trained


def _users(config: RecommendConfig, prepared: Prepared) -> Int64s:
    """Rows of the known users asked for, each once, in the order asked for."""
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


def _columns(config: RecommendConfig, prepared: Prepared) -> list[Column]:
    """What is written of each item."""
    kinds: dict[str, Kind] = {"integer": "int64", "string": "string"}
    user_ids, item_ids = (kinds[prepared.record.results[f"{side}_ids"]] for side in ("user", "item"))
    std = [Column("std", "float32", "±")] if config.with_std else []
    return [
        Column("user", "string" if config.ratings is not None else user_ids, "user", in_title=True),
        Column("rank", "int32", ""),
        Column("item", item_ids, "item"),
        Column("title", "string", "title", gives_way=True),
        Column("genres", "string", "genres", gives_way=True, several=True),
        Column("prediction", "float32", "rating"),
        *std,
        Column("score", "float64", "score"),
        Column("ranked_by", "string", "ranked by", in_title=True),
    ]


def _blocks(config: RecommendConfig, trained: TrainedRun, users: Int64s) -> Iterator[Block]:
    """Recommendations to somebody new, if their ratings are given, then to the users of these rows."""
    model, items = trained.model, _Items(config, trained.prepared)
    if config.ratings is not None:
        yield _for_somebody_new(config, config.ratings, trained, items)
    if not len(users):
        return
    user_ids = trained.prepared.users["id"].to_pylist()
    hidden = None if config.include_seen else _seen(trained.prepared, users)
    for ranked in rank(trained.scorer(config.rank_by), users, config.n, hidden=hidden):
        yield items.block([user_ids[row] for row in ranked.users], ranked, model, model.deviations)


class _Items:
    """What is told of the items."""

    def __init__(self, config: RecommendConfig, prepared: Prepared) -> None:
        self.config = config
        self.ids, self.titles, self.genres = (prepared.items[name].to_pylist() for name in ("id", "title", "genres"))

    def block(self, ids: Sequence[Any], ranked: Ranked, model: FactorModel, deviations: Deviations) -> Block:
        """The columns of some users' recommendations.

        Args:
            ids: original ids of the users.
            ranked: their items.
            model: predicts their ratings.
            deviations: of these predictions, as :meth:`FactorModel.deviations` gives them.
        """
        at = np.nonzero(ranked.items >= 0)
        users, items = ranked.users[at[0]], ranked.items[at]
        rows = items.tolist()
        columns: dict[str, Sequence[Any]] = {
            "user": [ids[place] for place in at[0].tolist()],
            "rank": (at[1] + 1).tolist(),
            "item": [self.ids[row] for row in rows],
            "title": [self.titles[row] for row in rows],
            "genres": [self.genres[row] for row in rows],
            "prediction": model.predict(users, items).tolist(),
            "score": ranked.scores[at].tolist(),
            "ranked_by": [self.config.rank_by] * len(rows),
        }
        stds = deviations(users, items) if self.config.with_std else None
        return columns if stds is None else columns | {"std": stds.tolist()}


def _seen(prepared: Prepared, users: Int64s) -> ItemLists:
    """What these users have rated, in any part."""
    wanted = np.zeros(prepared.n_users, bool)
    wanted[users] = True
    parts = [prepared.part(name) for name in PARTS if prepared.has(name)]
    raters, items = np.concatenate([part.users for part in parts]), np.concatenate([part.items for part in parts])
    mine = wanted[raters]
    return ItemLists.from_pairs(raters[mine], items[mine], prepared.n_users)


def _for_somebody_new(config: RecommendConfig, file: Path, trained: TrainedRun, items: _Items) -> Block:
    """Recommendations to a user whom training has not seen, whose ratings are in a file."""
    ids, given = _new_ratings(file)
    rated = np.array(trained.prepared.item_rows(ids), np.int32)
    newcomer = fold_in(trained.model, rated, given)
    exposure = trained.exposure and trained.exposure.with_newcomer(rated, given)
    good = scorer(config.rank_by, newcomer.model, exposure, newcomer.uncertainties)
    hidden = None if config.include_seen else ItemLists(np.array([0, len(rated)]), rated)
    (ranked,) = rank(good, np.array([0]), config.n, hidden=hidden)
    return items.block([NEW_USER], ranked, newcomer.model, newcomer.deviations)


def _new_ratings(file: Path) -> tuple[list[str], Float32s]:
    from mfcli.data.readers import read_item_ratings

    ids, ratings = read_item_ratings(file)
    if len(set(ids)) < len(ids):
        raise DataError(f"{file}: an item is rated twice")
    return ids, ratings
