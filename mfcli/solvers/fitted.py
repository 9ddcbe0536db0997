"""From what a solver has fitted to a FactorModel, and its validation RMSE."""

from collections.abc import Callable

import numpy as np
from torch import Tensor

from mfcli.arrays import Float32s
from mfcli.data.ratings import Ratings, Sides
from mfcli.data.shared import SharedRatings
from mfcli.models.metrics import rmse
from mfcli.models.model import FactorModel
from mfcli.models.newcomer import NewcomerPrior


def factor_model(
    train: Ratings | SharedRatings,
    factors: Sides[Tensor],
    biases: Sides[Tensor] | None,
    *,
    noise: Sides[Tensor] | None = None,
    variances: Sides[Tensor] | None = None,
    newcomer: NewcomerPrior | None = None,
) -> FactorModel:
    """A FactorModel of fitted tensors, with what it has to know of the ratings that they were fitted to.

    Args:
        train: the training part.
        factors, biases, noise, variances, newcomer: as :class:`FactorModel` has them.
    """
    return FactorModel(
        mean=train.summary.mean,
        minimum=train.summary.minimum,
        maximum=train.summary.maximum,
        factors=_copied(factors),
        counts=Sides(train.user_counts(), train.item_counts()),
        biases=None if biases is None else _copied(biases),
        noise=None if noise is None else _copied(noise),
        variances=None if variances is None else _copied(variances),
        newcomer=newcomer,
    )


def _copied(pair: Sides[Tensor]) -> Sides[Float32s]:
    users, items = (np.array(side.detach().cpu().numpy(), np.float32) for side in pair)
    return Sides(users, items)


def row_model(
    train: Ratings | SharedRatings, rows: Sides[Tensor], biased: bool, newcomer: NewcomerPrior | None = None
) -> FactorModel:
    """The model of (n_users, d) and (n_items, d) rows, whose last number is a bias if ``biased``."""
    if not biased:
        return factor_model(train, rows, None, newcomer=newcomer)
    factors, biases = Sides(*(side[:, :-1] for side in rows)), Sides(*(side[:, -1] for side in rows))
    return factor_model(train, factors, biases, newcomer=newcomer)


def validate(model: Callable[[], FactorModel], validation: Ratings | None) -> float | None:
    """RMSE of the model on the validation part, in rating points; None without that part, and no model is made."""
    if validation is None:
        return None
    return rmse(validation.ratings, model().predict(validation.users, validation.items))
