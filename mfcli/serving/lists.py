"""The best items for users, known and new."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mfcli.arrays import Float32s, Int32s, Int64s
from mfcli.config.recommend import RecommendConfig
from mfcli.data.candidates import find_candidates
from mfcli.data.formats import Block, Column
from mfcli.data.lookup import Doubt, known_rows
from mfcli.data.prepared import Prepared
from mfcli.data.ratings import ItemLists
from mfcli.errors import DataError, UsageError
from mfcli.models.fold_in import fold_in
from mfcli.models.model import Deviations, FactorModel
from mfcli.models.ranking import Ranked, rank, users_at_once
from mfcli.models.run import TrainedRun
from mfcli.models.scorers import scorer
from mfcli.ranks import ALONE, Place
from mfcli.serving.answer import Answer, Items, id_kinds
from mfcli.serving.reasons import Reasons
from mfcli.serving.spread import Spread

if TYPE_CHECKING:  # what reads files is imported when there is one
    from mfcli.data.newcomers import Newcomer


def lists(config: RecommendConfig, trained: TrainedRun, doubt: Doubt, here: Place = ALONE) -> Answer:
    """The best items for each of the users asked for, those who are new first. Raises DataError.

    Of several processes each answers for its own users: a block of them after the other, dealt out by turns.
    """
    prepared = trained.prepared
    users = _users(config, prepared, doubt)
    newcomers = _newcomers(config, trained, doubt)
    made = Lists(config, trained, find_candidates(config, prepared, doubt))
    mine = made.dealt(users, here)
    blocks = itertools.chain(map(made.of_newcomer, newcomers), made.of_users(mine) if len(mine) else ())
    return Answer(made.columns, blocks, len(newcomers) + len(users))


def _newcomers(config: RecommendConfig, trained: TrainedRun, doubt: Doubt) -> list["Newcomer"]:
    """Those who are new: whose ratings are in a file, or somebody without ratings who tells attributes."""
    if config.ratings is None and not config.user_attributes:
        return []
    from mfcli.data.newcomers import NAME, Newcomer, read_newcomers

    if config.ratings is not None:
        return read_newcomers(config.ratings, trained.prepared, doubt, trained.model.typical_click)
    return [Newcomer(NAME, np.zeros(0, np.int32), np.zeros(0, np.float32))]


def _attributes(config: RecommendConfig, trained: TrainedRun) -> Float32s | None:
    """Features of the attributes that somebody new tells. Raises UsageError or DataError if they cannot be used."""
    if not config.user_attributes:
        return None
    features, newcomer = trained.prepared.features.users, trained.model.newcomer
    typical = None if newcomer is None else newcomer.typical_attributes
    if features is None or typical is None:
        raise UsageError(f"--user-attributes: run '{config.run}' has not learnt from features of users (train --side)")
    told = config.attributes_told
    unknown = features.unknown(told)
    if unknown:
        raise DataError(f"--user-attributes: no user in the data has {', '.join(unknown)}")
    return features.encode(told, typical)


def _users(config: RecommendConfig, prepared: Prepared, doubt: Doubt) -> Int64s:
    """Rows of the known users asked for, each once, in the order asked for. Raises DataError."""
    if config.all_users:
        return np.arange(prepared.n_users)
    rows = prepared.user_rows(config.user)
    if config.users_from is not None:
        from mfcli.data.id_files import IDS, read_ids

        where, ids = f"--users-from {config.users_from}", read_ids(Path(config.users_from), IDS.users)
        known = known_rows(prepared, "users", ids, where, doubt)
        if ids and not len(known):
            raise DataError(f"{where}: none of these users is in the data: {prepared.hint('users')}")
        rows = np.append(rows, known)
    return np.array(list(dict.fromkeys(rows.tolist())), np.int64)


class Lists:
    """Makes lists: ranks the items of a user and tells what there is to tell of them.

    Args:
        config: how many, by what, and which columns.
        trained: the run.
        candidates: (m,) rows of the items that may be in a list, ascending; None for all.
    """

    def __init__(self, config: RecommendConfig, trained: TrainedRun, candidates: Int32s | None) -> None:
        self.config, self.trained, self.candidates = config, trained, candidates
        self.spread = Spread(trained, with_std=config.with_std, with_probabilities=config.with_probabilities)
        self.items, self.attributes = Items(trained.prepared), _attributes(config, trained)
        self.reasons = Reasons(config.rank_by, trained, self.items) if config.why else None

    @property
    def columns(self) -> list[Column]:
        """Of every list."""
        somebody_new = self.config.ratings is not None or self.config.user_attributes
        user = "string" if somebody_new else id_kinds(self.trained.prepared).users
        columns = [
            Column("user", user, "user", in_title=True),
            Column("rank", "int32", ""),
            *self.items.columns,
        ]
        if not self.trained.model.of_clicks:
            columns.append(Column("prediction", "float32", "rating"))
        columns += self.spread.columns
        columns += [Column("score", "float64", "score"), Column("ranked_by", "string", "ranked by", in_title=True)]
        if self.reasons is not None:
            columns.append(Column("why", "string", "because of", below=True))
        return columns

    def dealt(self, users: Int64s, here: Place) -> Int64s:
        """Those of the (n,) users for whom the process of that place is to answer."""
        n_items = self.trained.model.n_items if self.candidates is None else len(self.candidates)
        blocks = np.arange(len(users)) // users_at_once(n_items)
        mine: Int64s = users[blocks % here.world == here.rank]
        return mine

    def of_users(self, users: Int64s) -> Iterator[Block]:
        """The lists of these (n,) rows of users. What they need of the data is read at once."""
        model, prepared = self.trained.model, self.trained.prepared
        self.trained.read(users)
        ids = prepared.users["id"].to_pylist()
        hidden = None if self.config.include_seen else prepared.seen(users)
        why = None if self.reasons is None else self.reasons.of_users(prepared.part("train"))
        ranking = self.trained.scorer(self.config.rank_by)

        def blocks() -> Iterator[Block]:
            for ranked in rank(ranking, users, self.config.n, hidden=hidden, candidates=self.candidates):
                block = self._block([ids[row] for row in ranked.users], ranked, model, model.deviations)
                yield block if why is None else block | {"why": why(ranked)}

        return blocks()

    def of_newcomer(self, newcomer: "Newcomer") -> Block:
        """The list of somebody new."""
        rated, given = newcomer.items, newcomer.ratings
        folded = fold_in(self.trained.model, rated, given, self.attributes)
        exposure = self.trained.exposure and self.trained.exposure.with_newcomer(rated, given)
        ranking = scorer(self.config.rank_by, folded.model, exposure, folded.uncertainties)
        hidden = None if self.config.include_seen else ItemLists(np.array([0, len(rated)]), rated)
        (ranked,) = rank(ranking, np.array([0]), self.config.n, hidden=hidden, candidates=self.candidates)
        block = self._block([newcomer.name], ranked, folded.model, folded.deviations)
        if self.reasons is not None:
            block["why"] = self.reasons.of(rated, given, ranked.items[0])
        return block

    def _block(
        self, ids: Sequence[Any], ranked: Ranked, model: FactorModel, deviations: Deviations
    ) -> dict[str, Sequence[Any]]:
        """The columns of some users' recommendations.

        Args:
            ids: original ids of the users.
            ranked: their items.
            model: predicts their ratings.
            deviations: of these predictions, as :meth:`FactorModel.deviations` gives them.
        """
        at = np.nonzero(ranked.items >= 0)
        users, rows = ranked.users[at[0]], ranked.items[at]
        columns: dict[str, Sequence[Any]] = {
            "user": [ids[place] for place in at[0].tolist()],
            "rank": (at[1] + 1).tolist(),
            **self.items.block(rows.tolist()),
            "score": ranked.scores[at].tolist(),
            "ranked_by": [self.config.rank_by] * len(rows),
        }
        if model.of_clicks:
            return columns
        predicted = model.predict(users, rows, clip=False)
        spread = self.spread.block(predicted, deviations(users, rows)) if self.spread.columns else {}
        return columns | {"prediction": model.clip(predicted).tolist(), **spread}
