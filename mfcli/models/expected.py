"""What is expected of a row that nobody rated: what the rated rows with its features are like on average.

This is a ridge regression (Hoerl and Kennard, Technometrics 1970) of the rated rows on their features, in which a row
with n ratings weighs ∛n. Equal weights would describe rows that few people rate, as most unrated rows are. Weights of n
would describe rows that many people rate, as new ones may become. The power lies between. On MovieLens it is about the
least that predicts items held out at random, popular ones among them, 3 % better than biases alone; a lower power
predicts rare items better.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mfcli.arrays import Float32s, Float64s, Int32s
from mfcli.data.ratings import Sides
from mfcli.models.model import FactorModel
from mfcli.threads import one_blas_thread

POWER = 1 / 3  # of a row's number of ratings


@dataclass(frozen=True)
class Expected:
    """The expected rows, x ↦ origin + xᵀ link.

    Attributes:
        origin: (d,) float64, of a row without any feature.
        link: (f, d) float64.
        spread: (d, d) float64 covariance of how rows depart from what is expected of them.
        weights: (n,) float64 of the rows that it was made of, with sum 1.
    """

    origin: Float64s
    link: Float64s
    spread: Float64s
    weights: Float64s

    @classmethod
    def of(cls, rows: npt.NDArray[Any], features: Any, counts: Int32s, power: float = POWER) -> "Expected":
        """The regression, whose ridge is one row's worth.

        Args:
            rows: (n, d).
            features: (n, f), a ``scipy.sparse.csr_matrix``.
            counts: (n,) ratings; at least one row has some.
            power: of its ratings that a row weighs.
        """
        weights = np.where(counts > 0, counts.astype(np.float64) ** power, 0)
        weights /= weights.sum()
        exact, weighted = rows.astype(np.float64), features.multiply(weights[:, None]).tocsr()
        with one_blas_thread():
            center, typical = weights @ exact, weights @ features
            gram = (weighted.T @ features).toarray() - np.outer(typical, typical)
            ridge = weights @ weights * np.eye(len(gram))
            link = np.linalg.solve(gram + ridge, weighted.T @ (exact - center))
            origin = center - typical @ link
            left = exact - origin - features @ link
            return cls(origin, link, (left * weights[:, None]).T @ left, weights)

    def rows(self, features: Any) -> Float64s:
        """(m, d) of rows with these (m, f) features."""
        expected: Float64s = self.origin + features @ self.link
        return expected


def with_expected(model: FactorModel, features: Sides[Any]) -> FactorModel:
    """The model in which rows without training ratings are what is expected of them.

    Args:
        features: (n, f) ``scipy.sparse.csr_matrix`` of the users and of the items; None for a side that stays.
    """
    for side, matrix in enumerate(features):
        unrated = np.flatnonzero(model.counts[side] == 0)
        if matrix is not None and len(unrated):
            model = fill(model, side, unrated, matrix)
    return model


def fill(model: FactorModel, side: int, rows: npt.NDArray[Any], features: Any) -> FactorModel:
    """The model in which some rows are what is expected of them.

    They are as noisy as the others. How unsure their predictions are has two parts: how far vectors depart from what is
    expected, and how unsure those are that it was made of.

    Args:
        side: 0 for users, 1 for items.
        rows: (m,) of that side.
        features: (n, f) ``scipy.sparse.csr_matrix`` of all rows of that side.
    """
    expected = Expected.of(_vectors(model, side), features, model.counts[side])
    vectors = expected.rows(features[rows])

    def filled(pair: Sides[Float32s], values: Any) -> Sides[Float32s]:
        both = list(pair)
        both[side] = both[side].copy()
        both[side][rows] = values
        return Sides(*both)

    model = replace(model, factors=filled(model.factors, vectors[:, : model.n_factors]))
    if model.biases is not None:
        model = replace(model, biases=filled(model.biases, vectors[:, -1]))
    if model.noise is not None:
        model = replace(model, noise=filled(model.noise, expected.weights @ model.noise[side]))
    if model.variances is not None:
        departing = _mean_square(model, 1 - side, expected.spread)
        variance = departing + expected.weights @ model.variances[side]
        model = replace(model, variances=filled(model.variances, variance))
    return model


def _vectors(model: FactorModel, side: int) -> Float32s:
    """(n, d): the factors of one side, then the bias if there are biases."""
    factors = model.factors[side]
    return factors if model.biases is None else np.column_stack([factors, model.biases[side]])


def _mean_square(model: FactorModel, side: int, spread: Float64s) -> float:
    """What a (d, d) spread of the other side's vectors adds to the variances of predictions, in this side's units."""
    assert model.variances is not None
    factors, shares = model.factors[side], model.counts[side] + 1.0
    design = factors if model.biases is None else np.column_stack([factors, np.ones(len(factors))])
    squares = ((design @ spread) * design).sum(1)
    return float(shares @ squares / max(shares @ model.variances[side], 1e-12))
