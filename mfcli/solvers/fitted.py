"""From what a solver has fitted to a FactorModel, and its validation RMSE."""

from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from mfcli.data.ratings import Ratings, Sides
from mfcli.models.metrics import rmse
from mfcli.models.model import FactorModel
from mfcli.models.newcomer import NewcomerPrior


def factor_model(train: Ratings, newcomer: NewcomerPrior | None, **arrays: Any) -> FactorModel:
    """A FactorModel of fitted arrays, with what it has to know of the ratings that it was fitted to.

    Args:
        train: the training part.
        newcomer: what is known of a user before their first rating; None where nobody will ask.
        arrays: user_factors, item_factors and what else the model has, as its file calls them.
    """
    named = {name: np.array(array, np.float32) for name, array in arrays.items()}
    scalars = {
        "mean": float(train.ratings.mean(dtype=np.float64)),
        "minimum": float(train.ratings.min()),
        "maximum": float(train.ratings.max()),
    }
    counts = {"user_counts": train.user_counts(), "item_counts": train.item_counts()}
    return replace(FactorModel.of(named | counts, scalars), newcomer=newcomer)


def row_model(train: Ratings, rows: Sides[Tensor], biased: bool, newcomer: NewcomerPrior | None = None) -> FactorModel:
    """The model of (n_users, d) and (n_items, d) rows, whose last number is a bias if ``biased``."""
    users, items = (side.cpu().numpy() for side in rows)
    if not biased:
        return factor_model(train, newcomer, user_factors=users, item_factors=items)
    return factor_model(
        train,
        newcomer,
        user_factors=users[:, :-1],
        item_factors=items[:, :-1],
        user_biases=users[:, -1],
        item_biases=items[:, -1],
    )


def validate(model: FactorModel, validation: Ratings | None) -> float | None:
    """RMSE of the model on the validation part, or None without one."""
    if validation is None:
        return None
    return rmse(validation.ratings, model.predict(validation.users, validation.items))
