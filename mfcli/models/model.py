"""A trained factor model as plain NumPy arrays. Nothing here needs what trained it.

A user u and an item i: r̂ = μ + b_u + b_i + p_u·q_i, clipped to the range of the ratings.
Of clicks: p_u·q_i, a score about 1 for what was clicked and about 0 for what was not, which is clipped to nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from mfcli.arrays import Bools, Float32s, Float64s, Int32s, Int64s
from mfcli.data.ratings import Sides
from mfcli.models.days import DayEffects
from mfcli.models.newcomer import NewcomerPrior
from mfcli.models.products import products

PAIRS_AT_ONCE = 250_000
PAIRS = ("factors", "counts", "biases", "noise", "variances")
"""The fields that are an array of the users and one of the items."""

Deviations = Callable[[npt.NDArray[Any], npt.NDArray[Any]], Float32s | None]
"""Standard deviations for rows of users and of items, as :meth:`FactorModel.deviations` and ``uncertainties`` give."""

Change = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]

Dots = TypeVar("Dots", Float32s, Float64s)


@dataclass(frozen=True)
class FactorModel:
    """A trained model.

    Attributes:
        mean: mean of the training ratings; the prediction where nothing else is known.
        minimum, maximum: range of the training ratings; predictions are clipped to it.
        factors: (n, k) float32 of users and of items; for who has no training ratings zeros, or (als, gibbs) about the
            mean.
        counts: (n,) int32, training ratings of each user and of each item.
        biases: (n,) float32; None for the plain dot product p·q, without μ.
        noise: (n,) float32; a user's times an item's is the variance of a rating about the true prediction. None, as
            the next are, where the solver does not tell.
        variances: (n,) float32; a user's times an item's is the variance of the prediction itself.
        days: effects of users' days, for predictions at a known time; None where none were learnt.
        typical_click: median weight of the clicks that it was fitted to; None if it was fitted to ratings.
        newcomer: the prior of a user that is folded in; None where nobody is (baselines, models of an earlier mfcli).
    """

    mean: float
    minimum: float
    maximum: float
    factors: Sides[Float32s]
    counts: Sides[Int32s]
    biases: Sides[Float32s] | None = None
    noise: Sides[Float32s] | None = None
    variances: Sides[Float32s] | None = None
    days: DayEffects | None = None
    typical_click: float | None = None
    newcomer: NewcomerPrior | None = None

    @property
    def of_clicks(self) -> bool:
        """Whether it was fitted to clicks, so that its predictions are scores and no ratings."""
        return self.typical_click is not None

    @property
    def n_users(self) -> int:
        return len(self.factors.users)

    @property
    def n_items(self) -> int:
        return len(self.factors.items)

    @property
    def n_factors(self) -> int:
        return int(self.factors.users.shape[1])

    def known(self, users: npt.NDArray[Any], items: npt.NDArray[Any]) -> Bools:
        """Booleans of the shape that users and items broadcast to: both have training ratings."""
        both: Bools = (self.counts.users[users] > 0) & (self.counts.items[items] > 0)
        return both

    def predict(
        self,
        users: npt.NDArray[Any],
        items: npt.NDArray[Any],
        timestamps: Int64s | None = None,
        *,
        clip: bool = True,
    ) -> Float32s:
        """Predicted ratings.

        Args:
            users: (n,) rows of users.
            items: (n,) rows of items.
            timestamps: (n,) seconds since 1970 of when the ratings are given; None where that is not known.
            clip: whether to clip them to the range of the ratings.

        Returns:
            (n,) float32, within [minimum, maximum] if clipped.
        """
        out = np.empty(len(users), np.float32)
        for start in range(0, len(users), PAIRS_AT_ONCE):
            part = slice(start, start + PAIRS_AT_ONCE)
            u, i = users[part], items[part]
            out[part] = self._completed(np.einsum("nk,nk->n", self.factors.users[u], self.factors.items[i]), u, i)
        if self.days is not None and timestamps is not None:
            out += self.days.of(users, timestamps)
        return self.clip(out) if clip else out

    def exact(self, users: npt.NDArray[Any], items: npt.NDArray[Any]) -> Float64s:
        """(n,) float64: the predictions of (n,) pairs of rows, not clipped, whatever else is asked for."""
        return self._completed(products(self.factors, users, items), users, items)

    def scores(self, users: npt.NDArray[Any]) -> Float32s:
        """(len(users), n_items) float32: the predictions for every item, not clipped, so that they rank."""
        dots: Float32s = self.factors.users[users] @ self.factors.items.T
        return self._completed(dots, users[:, None], np.arange(self.n_items))

    def of_items(self, rows: Int32s) -> "FactorModel":
        """The model with these (m,) rows of items alone."""
        return self.changed(lambda of_users: of_users, lambda of_items: of_items[rows])

    def changed(self, users: Change, items: Change) -> "FactorModel":
        """The model with what these functions make of each array, (n, ...), of the users and of the items."""
        pairs: dict[str, Any] = {name: getattr(self, name) for name in PAIRS}
        made: dict[str, Any] = {
            name: pair and Sides(users(pair.users), items(pair.items)) for name, pair in pairs.items()
        }
        return replace(self, **made)

    def _completed(self, dots: Dots, users: npt.NDArray[Any], items: npt.NDArray[Any]) -> Dots:
        """Predictions of products p·q, in their place: with the biases; without biases the mean for who is unknown.

        Args:
            dots: float32 or float64.
            users, items: rows, of shapes that broadcast to that of ``dots``.
        """
        if self.biases is None:
            if not self.of_clicks:  # of these a row that nothing is known of is 0, and so are its products
                dots[~self.known(users, items)] = self.mean
        else:
            dots += dots.dtype.type(self.mean) + self.biases.users[users] + self.biases.items[items]
        return dots

    def deviations(
        self, users: npt.NDArray[Any], items: npt.NDArray[Any], timestamps: Int64s | None = None
    ) -> Float32s | None:
        """Standard deviations of ratings about their predictions: the noise and how unsure the prediction is.

        Args:
            users: rows of users.
            items: rows of items, of a shape that broadcasts with that of users.
            timestamps: as for :meth:`predict`; then all three are (n,).

        Returns:
            float32 of the broadcast shape; None where the solver does not tell.
        """
        if self.noise is None or self.variances is None:
            return None
        noise = self.noise.users[users] * self.noise.items[items]
        variances = noise + self.variances.users[users] * self.variances.items[items]
        if self.days is not None:
            at_day = np.float32(self.days.unknown) if timestamps is None else self.days.variances_of(users, timestamps)
            variances = variances + at_day
        deviations: Float32s = np.sqrt(variances)
        return deviations

    def uncertainties(self, users: npt.NDArray[Any], items: npt.NDArray[Any]) -> Float32s | None:
        """float32 standard deviations of the predictions themselves, without the noise; else as :meth:`deviations`."""
        if self.variances is None:
            return None
        deviations: Float32s = np.sqrt(self.variances.users[users] * self.variances.items[items])
        return deviations

    def clip(self, scores: Float32s) -> Float32s:
        """Scores as ratings, within the range; scores of clicks as they are."""
        if self.of_clicks:
            return scores
        clipped: Float32s = np.clip(scores, self.minimum, self.maximum)
        return clipped

    def scaled(self, scale: float) -> "FactorModel":
        """The same model in another unit: predictions and their deviations are ``scale`` times as large."""
        if scale == 1:
            return self
        root = float(np.sqrt(scale))

        def times(sides: Sides[Float32s] | None, factor: float) -> Sides[Float32s] | None:
            return None if sides is None else Sides(*((side * factor).astype(side.dtype) for side in sides))

        newcomer = self.newcomer
        if newcomer is not None:
            vector = np.array([root] * self.n_factors + [scale] * (self.biases is not None))
            newcomer = newcomer.scaled(vector, scale**2 if self.noise is None else scale)
        return FactorModel(
            mean=self.mean * scale,
            minimum=self.minimum * scale,
            maximum=self.maximum * scale,
            factors=Sides(*((side * root).astype(side.dtype) for side in self.factors)),
            counts=self.counts,
            biases=times(self.biases, scale),
            noise=times(self.noise, scale),
            variances=times(self.variances, scale),
            days=None if self.days is None else self.days.scaled(scale),
            newcomer=newcomer,
        )
