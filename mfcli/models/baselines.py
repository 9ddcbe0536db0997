"""What a factor model has to beat: the mean, and biases alone, as models without factors."""

import numpy as np

from mfcli.arrays import Float64s
from mfcli.data.ratings import Ratings, Sides
from mfcli.models.model import FactorModel

DAMPING = 5.0  # added to a row's number of ratings: a bias of few ratings stays near 0
ROUNDS = 10  # of fitting the items' biases, then the users'


def mean_model(train: Ratings) -> FactorModel:
    """Predicts the mean of the training ratings."""
    return _without_factors(train, np.zeros(train.n_users), np.zeros(train.n_items))


def bias_model(train: Ratings) -> FactorModel:
    """Predicts μ + b_u + b_i, fitted by alternating damped means (Koren, Bell and Volinsky, Computer 2009)."""
    residual = train.ratings.astype(np.float64) - train.ratings.mean(dtype=np.float64)
    counts = Sides(train.user_counts() + DAMPING, train.item_counts() + DAMPING)
    users, items = np.zeros(train.n_users), np.zeros(train.n_items)
    for _ in range(ROUNDS):
        items = np.bincount(train.items, residual - users[train.users], train.n_items) / counts.items
        users = np.bincount(train.users, residual - items[train.items], train.n_users) / counts.users
    return _without_factors(train, users, items)


def _without_factors(train: Ratings, users: Float64s, items: Float64s) -> FactorModel:
    return FactorModel(
        mean=float(train.ratings.mean(dtype=np.float64)),
        minimum=float(train.ratings.min()),
        maximum=float(train.ratings.max()),
        factors=Sides(np.zeros((train.n_users, 0), np.float32), np.zeros((train.n_items, 0), np.float32)),
        counts=Sides(train.user_counts(), train.item_counts()),
        biases=Sides(users.astype(np.float32), items.astype(np.float32)),
    )
