"""How far a measure of ratings would move had other users come: the bootstrap by user.

A user's ratings have much in common, so that users are drawn with replacement, each with all their ratings (cluster
bootstrap: Field and Welsh, Journal of the Royal Statistical Society B 2007). Every measure here is a function of totals
over users, such as the root of a sum of squares over a count. Intervals are those of the studentized bootstrap
(Efron, 1982; Hall, Annals of Statistics 1988), which holds its promise with few and unequal users where plain quantiles
of the resampled measure are too narrow. Standard errors are those of the linearized measure.

Where users are many, they are put into groups, which are drawn as if they were users: users are independent, so groups
are too, and that many tell as much.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mfcli.arrays import Bools, Float64s, Int64s

RESAMPLES = 2000
GROUPS = 2000  # at the most
LEVEL = 0.95
SEED = 1234

Interval = tuple[float, float]
OfTotals = Callable[[Float64s], tuple[Float64s, Float64s]]
"""Of (..., c) totals the measure, (...), and its derivative by each, (..., c). Of twice the totals it is the same."""


@dataclass(frozen=True)
class Groups:
    """The groups of users that are drawn.

    Attributes:
        of_entry: (n,) int64 group of each entry, that of its user.
        number: of groups; an entry's group is below it.
    """

    of_entry: Int64s
    number: int

    @classmethod
    def of(cls, users: npt.NDArray[Any]) -> "Groups":
        """The groups of the users of (n,) entries: one for each user, or GROUPS in all if users are more."""
        present = np.bincount(users) > 0
        places = (np.cumsum(present) - 1) % GROUPS
        return cls(places[users], min(int(present.sum()), GROUPS))

    def totals(self, values: npt.NDArray[Any] | None = None, where: Bools | None = None) -> Float64s:
        """(number,) totals of (n,) values over each group, or how many there are; of the entries in the mask alone."""
        groups = self.of_entry if where is None else self.of_entry[where]
        if values is not None and where is not None:
            values = values[where]
        totals: Float64s = np.bincount(groups, values, self.number).astype(np.float64)
        return totals

    def rmse(self, errors: Float64s, where: Bools | None = None) -> "Estimate":
        """Root mean square of (n,) errors, with its interval; of those in the mask alone."""
        columns = [self.totals(where=where), self.totals(np.square(errors), where)]
        return estimate(np.stack(columns, 1), root_mean)


@dataclass(frozen=True)
class Estimate:
    """A measure and how sure it is.

    Attributes:
        value: the measure.
        interval: that holds the true one in 95 of 100 cases; None where one group alone tells of it.
        p: how often a measure as far from 0 would come by chance if the true one were 0; None where interval is.
    """

    value: float
    interval: Interval | None
    p: float | None


def estimate(columns: Float64s, measure: OfTotals) -> Estimate:
    """A measure of the totals of some columns, with its interval.

    Args:
        columns: (groups, c): what each group adds to the totals. The first is how many entries it has, 1 at least in
            all.
        measure: of the totals.
    """
    groups = len(columns)
    value, slope = measure(columns.sum(0))
    error = np.sqrt(np.square(columns @ slope).sum() * groups / max(1, groups - 1))
    if (columns[:, 0] > 0).sum() < 2:
        return Estimate(float(value), None, None)
    if error <= 1e-12 * max(1.0, abs(float(value))):  # all groups say the same
        return Estimate(float(value), (float(value), float(value)), 1.0 if value == 0 else 0.0)
    left, right = np.triu_indices(columns.shape[1])
    weights = _weights(groups)
    with np.errstate(invalid="ignore", divide="ignore"):  # a resample may have no entry; it is not used
        values, slopes = measure(weights @ columns)
        # Each resample's own standard error, from its sums of products of two columns.
        products = weights @ (columns[:, left] * columns[:, right])
        twice = np.where(left == right, 1.0, 2.0)
        squares = (products * twice * slopes[:, left] * slopes[:, right]).sum(1) * groups / (groups - 1)
        usable = squares > 1e-6 * error**2
    off = (values[usable] - value) / np.sqrt(squares[usable])
    low, high = np.quantile(off, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    p = (1 + (np.abs(off) >= abs(value) / error).sum()) / (1 + len(off))
    return Estimate(float(value), (float(value - high * error), float(value - low * error)), float(p))


@functools.lru_cache(maxsize=2)
def _weights(groups: int) -> Float64s:
    """(RESAMPLES, groups): how often each group is in each resample. The same for every measure."""
    draws = np.random.default_rng(SEED).multinomial(groups, np.full(groups, 1 / groups), RESAMPLES)
    weights: Float64s = draws.astype(np.float64)
    return weights


def mean(totals: Float64s) -> tuple[Float64s, Float64s]:
    """The mean: of (..., 2) counts and sums."""
    counts, sums = totals[..., 0], totals[..., 1]
    value = sums / counts
    return value, np.stack([-value / counts, 1 / counts], -1)


def root_mean(totals: Float64s) -> tuple[Float64s, Float64s]:
    """The root of the mean: of (..., 2) counts and sums that are not negative."""
    value, slope = mean(totals)
    root = np.sqrt(value)
    return root, slope / (2 * np.maximum(root, np.finfo(np.float64).tiny))[..., None]


def difference(measure: OfTotals) -> OfTotals:
    """The measure of the second column less that of the third: of (..., 3) counts and two sums of the same entries."""

    def found(totals: Float64s) -> tuple[Float64s, Float64s]:
        (one, of_one), (other, of_other) = measure(totals[..., [0, 1]]), measure(totals[..., [0, 2]])
        return one - other, np.stack([of_one[..., 0] - of_other[..., 0], of_one[..., 1], -of_other[..., 1]], -1)

    return found
