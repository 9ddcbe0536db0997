"""What may say how good items are for a user, beside the model's rating and the exposure alone."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mfcli.arrays import Float32s, Float64s, Int32s, Int64s
from mfcli.config.common import RankBy
from mfcli.models.exposure import Exposure
from mfcli.models.model import Deviations, FactorModel
from mfcli.models.ranking import Scorer

TASTE = 0.4  # what a standard deviation of the ratings counts for, as a power of e
PREFERENCE = 1.0  # what the score of a clicked item counts for, likewise; of both validation parts as clicks the best
CAUTION = np.float32(2)  # standard deviations
SOFTNESS = 1e-3  # exposures below about this are told apart, but count for nothing


@dataclass(frozen=True)
class Likely:
    """Exposure and rating together: would the user meet the item, and would they like it?

        score = soft(s) · exp(0.4 (r̂ - μ) / σ),  soft(s) = (s + √(s² + ε²)) / 2 = ε/2 · exp(asinh(s/ε))

    s is the exposure, r̂ the predicted rating, not clipped, μ and σ the training ratings' mean and standard deviation.
    Of clicks r̂ is the model's score, and exp(r̂) the second factor.
    ``soft`` is about s where s is above 0, and still rises where it is below, so that nothing is tied.
    """

    model: FactorModel
    exposure: Exposure

    @property
    def n_items(self) -> int:
        return self.model.n_items

    def scores(self, users: Int64s) -> Float32s:
        """(len(users), n_items) float32 logarithms of the scores, but for a constant."""
        out = self.exposure.scores(users)
        out *= np.float32(1 / SOFTNESS)
        np.arcsinh(out, out=out)
        ratings = self.model.scores(users)
        ratings *= np.float32(self._taste)
        out += ratings
        return out

    def exact(self, users: npt.NDArray[Any], items: npt.NDArray[Any]) -> Float64s:
        """(n,) float64 scores of (n,) pairs of rows."""
        middle = 0.0 if self.model.of_clicks else self.exposure.mean
        liking = self._taste * (self.model.exact(users, items) - middle)
        scores: Float64s = SOFTNESS / 2 * np.exp(np.arcsinh(self.exposure.exact(users, items) / SOFTNESS) + liking)
        return scores

    def of_items(self, rows: Int32s) -> "Likely":
        """The same for these (m,) rows of items alone."""
        return Likely(self.model.of_items(rows), self.exposure.of_items(rows))

    @property
    def _taste(self) -> float:
        return PREFERENCE if self.model.of_clicks else TASTE / self.exposure.std


@dataclass(frozen=True)
class LowerBound:
    """The predicted rating, not clipped, less two standard deviations of the prediction itself.

    For 39 of 40 pairs the true rating, free of noise, should be above it.

    Attributes:
        model: predicts.
        uncertainties: of the predictions, as :meth:`FactorModel.uncertainties` gives them.
    """

    model: FactorModel
    uncertainties: Deviations

    @property
    def n_items(self) -> int:
        return self.model.n_items

    def scores(self, users: Int64s) -> Float32s:
        """(len(users), n_items) float32."""
        out = self.model.scores(users)
        out -= self._margin(users[:, None], np.arange(self.n_items))
        return out

    def exact(self, users: npt.NDArray[Any], items: npt.NDArray[Any]) -> Float64s:
        """(n,) float64 scores of (n,) pairs of rows."""
        return self.model.exact(users, items) - self._margin(users, items)

    def of_items(self, rows: Int32s) -> "LowerBound":
        """The same for these (m,) rows of items alone."""
        return LowerBound(self.model.of_items(rows), lambda users, items: self.uncertainties(users, rows[items]))

    def _margin(self, users: npt.NDArray[Any], items: npt.NDArray[Any]) -> Float32s:
        uncertainties = self.uncertainties(users, items)
        assert uncertainties is not None, "open_run has refused a run that does not tell them"
        return CAUTION * uncertainties


@dataclass(frozen=True)
class Popularity:
    """The same list for everybody: the items with the most training ratings.

    Attributes:
        counts: (n_items,) int32 training ratings.
    """

    counts: Int32s

    @property
    def n_items(self) -> int:
        return len(self.counts)

    def scores(self, users: Int64s) -> Float32s:
        """(len(users), n_items) float32."""
        return np.tile(self.counts.astype(np.float32), (len(users), 1))

    def exact(self, users: npt.NDArray[Any], items: npt.NDArray[Any]) -> Float64s:
        """(n,) float64 scores of (n,) pairs of rows."""
        counts: Float64s = self.counts[items].astype(np.float64)
        return counts

    def of_items(self, rows: Int32s) -> "Popularity":
        """The same for these (m,) rows of items alone."""
        return Popularity(self.counts[rows])


@dataclass(frozen=True)
class Chance:
    """A list drawn at random for every user, the same on every run.

    Attributes:
        n_items: to draw from.
        seed: of the draws, together with the user's row.
    """

    n_items: int
    seed: int = 0

    def scores(self, users: Int64s) -> Float32s:
        """(len(users), n_items) float32 in [0, 1)."""
        draws = np.empty((len(users), self.n_items), np.float32)
        for of_user, user in zip(draws, users, strict=True):
            np.random.default_rng((self.seed, int(user))).random(out=of_user, dtype=np.float32)
        return draws

    def exact(self, users: npt.NDArray[Any], items: npt.NDArray[Any]) -> Float64s:
        """(n,) float64 scores of (n,) pairs of rows."""
        drawn, places = np.unique(users, return_inverse=True)  # a user's draws are dear, and a list has many pairs
        exact: Float64s = self.scores(drawn)[places, items].astype(np.float64)
        return exact

    def of_items(self, rows: Int32s) -> "Chance":
        """The same for as many items as these (m,) rows."""
        return Chance(len(rows), self.seed)


def by_exposure(rank_by: RankBy | None) -> bool:
    """Whether what ranks items so needs their exposure; None ranks nothing."""
    return rank_by in ("likely", "exposure")


def scorer(rank_by: RankBy, model: FactorModel, exposure: Exposure | None, uncertainties: Deviations) -> Scorer:
    """What ranks items by ``rank_by``.

    Args:
        rank_by: as the option.
        model: predicts the ratings of some users.
        exposure: of the same users to the same items; None where it is not :func:`by_exposure`.
        uncertainties: as :class:`LowerBound` has them.
    """
    if rank_by == "rating":
        return model
    if rank_by == "lower-bound":
        return LowerBound(model, uncertainties)
    assert exposure is not None, "open_run has read it"
    return exposure if rank_by == "exposure" else Likely(model, exposure)
