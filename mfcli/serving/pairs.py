"""Predicted ratings of pairs of a user and an item."""

from collections.abc import Iterator

import numpy as np

from mfcli.arrays import Int64s
from mfcli.data.formats import Block, Column, Kind
from mfcli.data.ids import find_ids
from mfcli.data.pairs import Pairs
from mfcli.data.prepared import Prepared
from mfcli.data.ratings import Sides
from mfcli.data.tables import to_arrow
from mfcli.models.run import TrainedRun
from mfcli.models.strangers import with_strangers
from mfcli.serving.answer import Answer
from mfcli.serving.spread import Spread

AT_ONCE = 250_000  # pairs
KNOWN = ("none", "user", "item", "both")
"""Which of a pair have training ratings, by 1 for the user and 2 for the item."""


def predict_pairs(pairs: Pairs, trained: TrainedRun, spread: Spread) -> Answer:
    """The predictions of pairs, in their order."""
    kinds: list[Kind] = ["int64" if ids.dtype == np.int64 else "string" for ids in pairs.ids]
    columns = [
        *(Column(name, kind, name) for name, kind in zip(("user", "item"), kinds, strict=True)),
        Column("prediction", "float32", "score" if trained.model.of_clicks else "rating"),
        *spread.columns,
        Column("known", "string", "known"),
    ]
    return Answer(columns, predictions(pairs, trained, spread), len(pairs.users))


def predictions(pairs: Pairs, trained: TrainedRun, spread: Spread) -> Iterator[Block]:
    """Blocks of the columns user, item, prediction, known and those of the spread, as arrays.

    Of a user or an item without training ratings, or not in the data at all, the prediction is what is left: the bias
    of the other, what features say, the mean.
    """
    model, rows = with_strangers(trained.model), _rows(pairs, trained.prepared)
    ids, words = Sides(*map(to_arrow, pairs.ids)), to_arrow(KNOWN)
    has_ratings = Sides(*(counts > 0 for counts in model.counts))
    for begin in range(0, len(pairs.users), AT_ONCE):
        part = slice(begin, begin + AT_ONCE)
        of_users, of_items = pairs.users[part], pairs.items[part]
        times = None if pairs.timestamps is None else pairs.timestamps[part]
        users, items = rows.users[of_users], rows.items[of_items]
        predicted = model.predict(users, items, times, clip=False)
        block = {
            "user": ids.users.take(to_arrow(of_users)),
            "item": ids.items.take(to_arrow(of_items)),
            "prediction": model.clip(predicted),
            "known": words.take(to_arrow(has_ratings.users[users] + np.int8(2) * has_ratings.items[items])),
        }
        if spread.columns:
            block |= spread.block(predicted, model.deviations(users, items, times))
        yield block


def _rows(pairs: Pairs, prepared: Prepared) -> Sides[Int64s]:
    """The row of every id; -1, the stranger's, of one that is not in the data."""
    known = Sides(prepared.users["id"], prepared.items["id"])
    return Sides(*(find_ids(one, list(map(str, ids))) for one, ids in zip(known, pairs.ids, strict=True)))
