"""Levels: how likely each rating is, where there are few different ones, such as stars.

A rating is taken for a normal number, about its prediction and with the standard deviation that the model tells, which
people say as the level between whose thresholds it falls (an ordered probit: McCullagh, Journal of the Royal
Statistical Society B 1980). The thresholds are such that of the training ratings each level is as likely, on average,
as it is frequent: people like whole stars better than half ones.
"""

from dataclasses import dataclass

import numpy as np

from mfcli.arrays import Float32s, Float64s
from mfcli.data.ratings import Ratings
from mfcli.errors import UsageError
from mfcli.models.model import FactorModel

MOST = 30  # levels; where there are more, ratings are numbers
ENOUGH = 100_000  # training ratings that thresholds are learnt from
STEPS = 50  # of bisection


@dataclass(frozen=True)
class Levels:
    """The different ratings there are.

    Attributes:
        values: (k,) float32, ascending.
        thresholds: (k - 1,) float64, between them.
    """

    values: Float32s
    thresholds: Float64s

    @classmethod
    def learn(cls, model: FactorModel, train: Ratings) -> "Levels":
        """The levels of the training ratings, whose predictions and deviations the model tells.

        Raises:
            UsageError: there are more than :data:`MOST`.
        """
        values, counts = np.unique(train.ratings, return_counts=True)
        if len(values) > MOST:
            raise UsageError(
                f"there are {len(values):,} different ratings, more than {MOST}: none has a probability; "
                "--with-std tells how sure predictions are"
            )
        some = train.take(np.linspace(0, len(train) - 1, min(len(train), ENOUGH)).astype(np.int64))
        pairs = some.users, some.items, some.timestamps
        predicted, deviations = model.predict(*pairs, clip=False), model.deviations(*pairs)
        assert deviations is not None, "the run has been asked whether it tells them"
        shares = np.cumsum(counts)[:-1] / len(train)
        reach = 10 * float(deviations.max()) + float(np.abs(predicted).max()) + float(np.abs(values).max())
        low, high = np.full(len(shares), -reach), np.full(len(shares), reach)
        for _ in range(STEPS):
            middle = (low + high) / 2
            below = np.array([_below(one, predicted, deviations).mean() for one in middle]) < shares
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return cls(values, (low + high) / 2)

    def probabilities(self, predicted: Float32s, deviations: Float32s) -> Float32s:
        """(n, k) float32: how likely each level is; they sum to 1.

        Args:
            predicted: (n,) predictions, not clipped.
            deviations: (n,) standard deviations of ratings about them.
        """
        bounds = [_below(one, predicted, deviations) for one in self.thresholds]
        whole = [np.zeros(len(predicted)), *bounds, np.ones(len(predicted))]
        return np.diff(np.stack(whole, axis=1), axis=1).astype(np.float32)


def _below(threshold: float, predicted: Float32s, deviations: Float32s) -> Float64s:
    """(n,) probabilities of a normal number below the threshold."""
    from scipy.special import ndtr

    below: Float64s = ndtr((threshold - predicted.astype(np.float64)) / deviations)
    return below
