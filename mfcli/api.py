"""A trained run in Python: tables as pandas frames, users and items called as in the data.

    run = mfcli.load()
    run.predict([1, 2], [10, 20])
    run.recommend(1, n=5, genre="Comedy")
    run.similar("some title")
    run.fold_in({10: 5.0, "some title": 3.5}).recommend()

Options of ``mfcli recommend`` are arguments here, called as there. Errors are those of :mod:`mfcli.errors`; what is odd
but usable is a Python warning. pandas is imported when a frame is made, torch never.
"""

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mfcli.arrays import Int32s
from mfcli.artifacts import Artifacts
from mfcli.config.recommend import RecommendConfig
from mfcli.data.candidates import find_candidates
from mfcli.data.formats import Column, Kind, listed
from mfcli.data.ids import find_ids
from mfcli.data.new_items import read_new_items
from mfcli.data.newcomers import NAME, Newcomer, Opinion, newcomers_of
from mfcli.data.pairs import Pairs
from mfcli.data.ratings import Sides
from mfcli.data.table import Ids, code_ids
from mfcli.errors import UsageError
from mfcli.models.fold_in import fold_in
from mfcli.models.new_items import with_new_items
from mfcli.models.run import TrainedRun, open_run, require_uncertainty
from mfcli.models.strangers import with_strangers
from mfcli.serving.answer import Answer
from mfcli.serving.lists import Lists, lists
from mfcli.serving.pairs import predict_pairs
from mfcli.serving.similar import similar_items
from mfcli.serving.spread import Spread

if TYPE_CHECKING:
    import pandas as pd


def load(dir: str | Path = "artifacts", run: str = "default", items_new: str | Path | None = None) -> "Run":
    """A trained run.

    Args:
        dir: the artifact directory.
        run: its name.
        items_new: a file of items that nobody has rated yet, which join in every answer.

    Raises:
        ArtifactError: run or data are absent, damaged or not of each other.
        DataError: the file cannot be used, or no item in it is new.
        UsageError: the run cannot predict by features.
    """
    trained = open_run(Artifacts(Path(dir)), run, "likely", warnings.warn)
    if items_new is not None:
        trained = with_new_items(trained, read_new_items(Path(items_new), trained.prepared, warnings.warn))
    return Run(trained, run)


class Run:
    """A trained run, as :func:`load` gives it.

    Args:
        trained: the run with its exposure.
        name: of the run.
    """

    def __init__(self, trained: TrainedRun, name: str) -> None:
        self.trained, self.name = trained, name

    def predict(
        self, users: Any, items: Any, *, with_std: bool = False, with_probabilities: bool = False
    ) -> "pd.DataFrame":
        """Predicted ratings: columns user, item, prediction, if asked for std and p_1, p_2 and so on, and known.

        ``known`` says which of the two have training ratings: both, user, item or none. Of the unknown the prediction
        is what is left: the bias of the other, what features say, the mean.

        Args:
            users, items: (n,) ids each, or one id for all.

        Raises:
            UsageError: the run does not tell how sure it is.
        """
        for asked in ["with_std"] * with_std + ["with_probabilities"] * with_probabilities:
            require_uncertainty(self.trained.model, self.name, asked)
        (users, user_ids), (items, item_ids) = map(_coded, np.broadcast_arrays(np.atleast_1d(users), items))
        pairs = Pairs(users, items, Sides(user_ids, item_ids))
        spread = Spread(self.trained, with_std=with_std, with_probabilities=with_probabilities)
        return _frame(predict_pairs(pairs, self.trained, spread))

    def recommend(self, user: Any, n: int = 10, **options: Any) -> "pd.DataFrame":
        """The n best items for a user, or for each of several, as ``mfcli recommend`` lists them.

        Args:
            user: an id, or a sequence of ids.
            n: items for each.
            options: ``rank_by``, ``include_seen``, ``genre``, ``year``, ``min_ratings``, ``why`` and so on. One that
                takes several texts takes a list of them, or one text.

        Raises:
            DataError: a user is unknown.
            UsageError: an option cannot be, or not with this run.
        """
        ids = [user] if isinstance(user, str) or not isinstance(user, Iterable) else list(user)
        config = self.config(user=tuple(map(str, ids)), n=n, **options)
        return _frame(lists(config, self.trained, warnings.warn))

    def similar(self, item: Any, n: int = 10, **options: Any) -> "pd.DataFrame":
        """The n items most like one. ``item`` is an id, a title or a part of one; ``options`` are filters.

        Raises:
            DataError: there is no such item, or it is not clear.
        """
        config = self.config(similar_to=(str(item),), n=n, **options)
        return _frame(similar_items(config, self.trained, warnings.warn))

    def fold_in(self, ratings: Mapping[Any, float] | Iterable[tuple[Any, float]]) -> "Person":
        """Somebody new.

        Args:
            ratings: of items by id or by title; of clicks their weights.

        Raises:
            DataError: no rating can be used. Those that cannot be are left out with a warning.
        """
        pairs = ratings.items() if isinstance(ratings, Mapping) else ratings
        opinions = [Opinion(NAME, str(item), "", float(rating)) for item, rating in pairs]
        (newcomer,) = newcomers_of(opinions, self.trained.prepared, "fold_in", warnings.warn)
        return Person(self, newcomer)

    def config(self, **options: Any) -> RecommendConfig:
        """The options as the command has them; each may be as in a file for ``--config``. Raises UsageError."""
        for option in ("dir", "run", "items_new"):
            if option in options:
                raise UsageError(f"{option}: give it to mfcli.load")
        config = RecommendConfig.from_mapping({"run": self.name, **options})
        asked = [flag.removeprefix("--").replace("-", "_") for flag in config.spread]
        for option in [*asked, "rank_by='lower-bound'"] if config.rank_by == "lower-bound" else asked:
            require_uncertainty(self.trained.model, self.name, option)
        return config


class Person:
    """Somebody new, as :meth:`Run.fold_in` gives them.

    Args:
        run: whose model knows the items.
        newcomer: their ratings.
    """

    def __init__(self, run: Run, newcomer: Newcomer) -> None:
        self.run, self.newcomer = run, newcomer

    def predict(self, items: Any) -> "pd.DataFrame":
        """Predicted ratings of (n,) ids of items, or of one: columns item and prediction."""
        codes, ids = _coded(np.atleast_1d(items))
        trained, newcomer = self.run.trained, self.newcomer
        rows = find_ids(trained.prepared.items["id"], list(map(str, ids)))[codes]
        model = fold_in(with_strangers(trained.model), newcomer.items, newcomer.ratings).model
        block = {"item": ids[codes], "prediction": model.predict(np.zeros(len(rows), np.int64), rows)}
        kind: Kind = "int64" if ids.dtype == np.int64 else "string"
        columns = [Column("item", kind, "item"), Column("prediction", "float32", "rating")]
        return _frame(Answer(columns, iter([block]), 1))

    def recommend(self, n: int = 10, **options: Any) -> "pd.DataFrame":
        """The n best items for them. Arguments and errors as of :meth:`Run.recommend`."""
        config, trained = self.run.config(all_users=True, n=n, **options), self.run.trained
        lists = Lists(config, trained, find_candidates(config, trained.prepared, warnings.warn))
        columns = [column for column in lists.columns if column.name != "user"]
        return _frame(Answer(columns, iter([lists.of_newcomer(self.newcomer)]), 1))


def _coded(values: Any) -> tuple[Int32s, Ids]:
    """(n,) ids as (n,) int32 codes and the different ids that they stand for."""
    ids, places = code_ids(list(map(str, values)))
    return (np.arange(len(ids), dtype=np.int32) if places is None else places), ids


def _frame(answer: Answer) -> "pd.DataFrame":
    """An answer as a frame."""
    import pandas as pd

    blocks = list(answer.blocks)
    columns = {}
    for column in answer.columns:
        values = [value for block in blocks for value in listed(block[column.name])]
        columns[column.name] = pd.Series(values, dtype=object if column.kind == "string" else column.kind)
    return pd.DataFrame(columns)
