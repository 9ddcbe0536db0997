"""Strangers: a user and an item that are not in the data, of whom nothing is known but how the others are."""

from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from mfcli.arrays import Float32s, Int32s
from mfcli.data.ratings import Sides
from mfcli.models.model import FactorModel

Array = TypeVar("Array", Float32s, Int32s)


def with_strangers(model: FactorModel) -> FactorModel:
    """The model with a user and an item more, the last rows of each, of whom nothing is known.

    The user has the mean of the prior of newcomers who tell nothing. The item has no factors and no bias where L2 pulls
    towards 0, and the mean of the items that have ratings where rows are drawn to their mean. Nobody's prediction is
    less sure than theirs, and noise is what it is on average.
    """
    prior = model.newcomer and model.newcomer.given(np.zeros(0, np.int32), None)
    user = np.zeros(model.n_factors + 1)
    if prior is not None:
        user[: len(prior.mean)] = prior.mean
    item = np.zeros(model.n_factors + 1)
    if prior is not None and not prior.by_root_count and not model.of_clicks:
        rated = model.counts.items > 0
        item[:-1] = model.factors.items[rated].mean(0)
        item[-1] = 0 if model.biases is None else model.biases.items[rated].mean()
    return replace(
        model,
        factors=_with_row(model.factors, user[:-1], item[:-1]),
        counts=_with_row(model.counts, 0, 0),
        biases=model.biases and _with_row(model.biases, user[-1], item[-1]),
        noise=model.noise and _with_row(model.noise, *map(np.mean, model.noise)),
        variances=model.variances and _with_row(model.variances, *map(np.max, model.variances)),
    )


def _with_row(sides: Sides[Array], user: Any, item: Any) -> Sides[Array]:
    """The arrays with one row more each."""
    users, items = (
        np.append(old, np.array([new], old.dtype), axis=0) for old, new in zip(sides, (user, item), strict=True)
    )
    return Sides(users, items)
