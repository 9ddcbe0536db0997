"""Folding in: the vector of a user whom training did not see, from their ratings; the items stay as trained.

Given the items, a user's vector is a Bayesian linear regression of their ratings on the items' vectors (Bishop, Pattern
Recognition and Machine Learning, 2006, chapter 3).
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mfcli.arrays import Float32s, Float64s, Int32s
from mfcli.data.ratings import Sides
from mfcli.errors import ArtifactError
from mfcli.models.clicks import confidences
from mfcli.models.model import FactorModel
from mfcli.models.newcomer import NewcomerPrior


@dataclass(frozen=True)
class FoldedIn:
    """A user folded in.

    Attributes:
        model: the trained model's items with the newcomer as the only user, row 0.
        covariance: (d, d) float64 of the newcomer's vector; None where the model's noise is not known.
        noise: (n_items,) float64 variance of the newcomer's ratings about the true predictions; None likewise.
    """

    model: FactorModel
    covariance: Float64s | None
    noise: Float64s | None

    def deviations(self, users: npt.NDArray[Any], items: npt.NDArray[Any]) -> Float32s | None:
        """As :meth:`FactorModel.deviations`, were the items known for sure. All ``users`` are 0."""
        if self.covariance is None or self.noise is None:
            return None
        deviations: Float32s = np.sqrt(self.noise[items] + self._variances(self.covariance, items)).astype(np.float32)
        return deviations

    def uncertainties(self, users: npt.NDArray[Any], items: npt.NDArray[Any]) -> Float32s | None:
        """As :meth:`FactorModel.uncertainties`, were the items known for sure. All ``users`` are 0."""
        if self.covariance is None:
            return None
        deviations: Float32s = np.sqrt(self._variances(self.covariance, items)).astype(np.float32)
        return deviations

    def _variances(self, covariance: Float64s, items: npt.NDArray[Any]) -> Float64s:
        """Variances of the predictions for these items, of the shape of ``items``."""
        design = _design(self.model, items.ravel())
        variances: Float64s = ((design @ covariance) * design).sum(1).reshape(items.shape)
        return variances


def fold_in(
    model: FactorModel, items: Int32s, ratings: Float32s, attributes: npt.NDArray[Any] | None = None
) -> FoldedIn:
    """A newcomer from their ratings and the model's prior of newcomers.

    Args:
        items: (n,) int32 rows of the items that the newcomer rated.
        ratings: (n,) float32; for a model of clicks, their weights.
        attributes: features of the newcomer's attributes, as :meth:`NewcomerPrior.given` has them.

    Raises:
        ArtifactError: the model has no prior of newcomers.
    """
    prior = _prior(model).given(items, attributes)
    vector, covariance = prior.posterior(*_regression(model, items, ratings))
    with_user = _with_user(model, vector.astype(np.float32), len(items))
    return FoldedIn(with_user, None, None) if model.noise is None else FoldedIn(with_user, covariance, _noise(model))


def contributions(model: FactorModel, rated: Int32s, ratings: Float32s, items: Int32s) -> Float64s:
    """What each rating of a user adds to the predictions, were the user folded in.

    A prediction by folding in is linear in the ratings: what is expected of somebody who rated these items, however
    they did, and a sum over the ratings, each less its item's bias. (Hu, Koren and Volinsky, ICDM 2008.)

    Args:
        rated: (n,) rows of the items that the user rated.
        ratings: (n,).
        items: (m,) rows of the items that are predicted.

    Returns:
        (m, n), in rating points.

    Raises:
        ArtifactError: the model has no prior of newcomers.
    """
    design, target, noise = _regression(model, rated, ratings)
    _, covariance = _prior(model).posterior(design, target, noise)
    parts: Float64s = (_design(model, items) @ covariance @ design.T) * (target / noise)
    return parts


def _prior(model: FactorModel) -> NewcomerPrior:
    """The prior of newcomers. Raises ArtifactError if the model has none."""
    if model.newcomer is None:
        raise ArtifactError("the model does not hold what a newcomer needs: run `mfcli train` again")
    return model.newcomer


def _regression(model: FactorModel, items: Int32s, ratings: Float32s) -> tuple[Float64s, Float64s, Float64s]:
    """What a newcomer's vector is the solution of: (n, d) design, (n,) target and (n,) noise variances."""
    design = _design(model, items)
    if model.typical_click is not None:
        return design, np.ones(len(items)), 1 / confidences(ratings, model.typical_click).astype(np.float64)
    target = ratings.astype(np.float64)
    if model.biases is not None:
        target = target - model.mean - model.biases.items[items]
    return design, target, _noise(model)[items]


def _noise(model: FactorModel) -> Float64s:
    """(n_items,) variances of a newcomer's ratings of every item about the true predictions."""
    variance = _prior(model).noise
    noise = np.full(model.n_items, variance) if model.noise is None else variance * model.noise.items.astype(np.float64)
    return noise if model.days is None else noise + model.days.unknown


def _design(model: FactorModel, items: npt.NDArray[Any]) -> Float64s:
    """(n, d) float64: what a user's vector is multiplied by for these items, the factors and 1 for the bias."""
    factors = model.factors.items[items].astype(np.float64)
    return factors if model.biases is None else np.column_stack([factors, np.ones(len(items))])


def _with_user(model: FactorModel, vector: Float32s, ratings: int) -> FactorModel:
    """The model with one user of that (d,) vector and so many ratings in place of all."""
    factors, bias = vector[None, : model.n_factors], vector[model.n_factors :]
    return replace(
        model,
        factors=Sides(factors, model.factors.items),
        counts=Sides(np.array([ratings], np.int32), model.counts.items),
        biases=None if model.biases is None else Sides(bias, model.biases.items),
        noise=None,
        variances=None,
        days=None,
    )
