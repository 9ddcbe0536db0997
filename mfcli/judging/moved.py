"""A run as it is seen from other data than its own: its rows are those of the other data."""

from dataclasses import replace

import numpy as np

from mfcli.arrays import Int64s
from mfcli.data.prepared import Prepared
from mfcli.data.ratings import Ratings, Sides
from mfcli.models.exposure import Exposure
from mfcli.models.model import FactorModel
from mfcli.models.run import TrainedRun
from mfcli.models.strangers import with_strangers


def moved(trained: TrainedRun, to: Prepared) -> TrainedRun:
    """The run with the rows of other data. A user or an item that it does not know is a stranger to it."""
    rows = to.rows_among(trained.prepared)
    exposure = None if trained.exposure is None else _exposure(trained.exposure, rows)
    return replace(trained, prepared=to, model=_model(with_strangers(trained.model), rows), exposure=exposure)


def _model(model: FactorModel, rows: Sides[Int64s]) -> FactorModel:
    """The model of these rows of users and of items; -1 is its last one, the stranger."""
    moved = model.changed(lambda of_users: of_users[rows.users], lambda of_items: of_items[rows.items])
    return replace(moved, days=None if model.days is None else model.days.of_users(rows.users))


def _exposure(exposure: Exposure, rows: Sides[Int64s]) -> Exposure:
    """The exposure of these rows; an unknown user is the average one, and an unknown item is met by nobody."""
    known = np.asarray(exposure.vectors.users)
    users = np.vstack([known, known.mean(0)])[rows.users]
    items = np.vstack([exposure.vectors.items, np.zeros((1, exposure.rank), np.float32)])[rows.items]
    leverages = np.append(exposure.leverages, np.float32(0))[rows.items]
    return replace(exposure, vectors=Sides(users, items), leverages=leverages)


def learnt(part: Ratings, of: Prepared, trained: TrainedRun) -> int:
    """How many pairs of the part, whose rows are those of ``of``, the run was trained or validated on."""
    own = trained.prepared
    rows, count = own.rows_among(of), 0
    tested = part.users.astype(np.int64) * of.n_items + part.items
    for name in ("train", "val"):
        if own.has(name):
            ratings = own.part(name)
            users, items = rows.users[ratings.users], rows.items[ratings.items]
            count += int(np.isin(tested, (users * of.n_items + items)[(users >= 0) & (items >= 0)]).sum())
    return count
