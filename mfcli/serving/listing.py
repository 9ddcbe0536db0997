"""What there is: the users, or the items that pass the filters."""

import numpy as np

from mfcli.config.recommend import RecommendConfig
from mfcli.data.candidates import find_candidates
from mfcli.data.formats import Column
from mfcli.data.lookup import Doubt
from mfcli.models.run import TrainedRun
from mfcli.serving.answer import Answer, Items, id_kinds


def listing(config: RecommendConfig, trained: TrainedRun, doubt: Doubt) -> Answer:
    """All users, or all items that pass the filters, and how often they are in the ratings. Raises DataError."""
    prepared = trained.prepared
    counts = [Column("ratings", "int32", "ratings"), Column("train_ratings", "int32", "training")]
    if config.list == "users":
        users = prepared.users
        block = {"user": users["id"].to_pylist()} | {one.name: users[one.name].to_pylist() for one in counts}
        return Answer([Column("user", id_kinds(prepared).users, "user"), *counts], iter([block]), len(users))
    candidates, items = find_candidates(config, prepared, doubt), Items(prepared)
    rows = list(range(len(prepared.items))) if candidates is None else candidates.tolist()
    known = prepared.items.take(np.array(rows, np.int64))
    block = items.block(rows) | {one.name: known[one.name].to_pylist() for one in counts}
    return Answer([*items.columns, *counts], iter([block]), len(rows))
