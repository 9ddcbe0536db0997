"""What is known of a user before their first rating: the prior that somebody new is folded in with."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mfcli.arrays import Float32s, Float64s, Int32s

JITTER = 1e-6  # of the mean variance, added to each: the users' covariance then has an inverse


@dataclass(frozen=True)
class NewcomerPrior:
    """The prior of a user's vector z, in rating units: z ~ N(mean, precision⁻¹).

    A vector has d numbers: the factors, then the bias if the model has biases.

    Attributes:
        precision: (d, d) float64, symmetric and positive semidefinite.
        mean: (d,) float64.
        by_root_count: whether the precision is times √n for a user with n ratings, as L2 by the square root of a row's
            count (Rendle, Krichene, Zhang and Koren, RecSys 2022).
        noise: variance of a newcomer's rating about the true prediction; times the item's of ``item_noise`` where the
            model has that. It is 1 where the precision is a penalty beside plain squared errors.
        each: (d, d) float64, what every rating, or click, of a user adds to the precision; None for nothing. It pulls
            towards 0, as if these ratings had said so.
        link: (f, d) float64: the mean of a user with features x is that of the others and xᵀ times this; None where
            features make no difference. First come e features from what the user rated, then those of attributes.
        basis: (n_items, e) float32: the first e features are the sum of the rated items' rows over √n.
        typical: (f,) float64 mean features of the users there are: what is taken for what is not known.
    """

    precision: Float64s
    mean: Float64s
    by_root_count: bool
    noise: float
    each: Float64s | None = None
    link: Float64s | None = None
    basis: Float32s | None = None
    typical: Float64s | None = None

    @classmethod
    def of_penalties(cls, factors: int, l2: float, bias_l2: float | None) -> "NewcomerPrior":
        """The prior that L2 is: a row with n ratings pays λ√n‖p‖² + λ_b√n b² beside its squared errors.

        Args:
            factors: how many.
            l2: λ of the factors, ≥ 0.
            bias_l2: λ_b of the bias, ≥ 0; None for a model without biases.
        """
        penalties = np.array([l2] * factors + ([] if bias_l2 is None else [bias_l2]), np.float64)
        return cls(np.diag(penalties), np.zeros(len(penalties)), by_root_count=True, noise=1.0)

    @classmethod
    def of_users(cls, vectors: npt.NDArray[Any], noise: float) -> "NewcomerPrior":
        """The normal distribution of the users there are: a newcomer is taken for one of them.

        Posterior means vary less than users do, so newcomers are held a little too close to the others.

        Args:
            vectors: (n, d) of the users with ratings, n > 0.
            noise: as the attribute.
        """
        exact = vectors.astype(np.float64)
        covariance: Float64s = np.atleast_2d(np.cov(exact.T, bias=True))
        covariance += JITTER * max(float(np.trace(covariance)), JITTER) * np.eye(len(covariance))
        precision: Float64s = np.linalg.inv(covariance).astype(np.float64)
        return cls(precision, exact.mean(0), by_root_count=False, noise=noise)

    @classmethod
    def of_clicks(cls, items: Float64s, unclicked: float, l2: float) -> "NewcomerPrior":
        """The equations of :mod:`mfcli.solvers.ials` for a user before their first click.

        Args:
            items: (n, d) factors of all items.
            unclicked: α₀.
            l2: λ.
        """
        precision = unclicked * (items.T @ items + l2 * len(items) * np.eye(items.shape[1]))
        return cls(
            precision, np.zeros(len(precision)), by_root_count=False, noise=1.0, each=l2 * np.eye(len(precision))
        )

    def given(self, items: Int32s, attributes: npt.NDArray[Any] | None) -> "NewcomerPrior":
        """The prior of a user of whom something is known.

        Args:
            items: (n,) rows of the items that the user rated.
            attributes: (f - e,) features of their attributes; None where they tell none.
        """
        if self.link is None or self.basis is None or self.typical is None:
            return self
        features, e = self.typical.copy(), self.basis.shape[1]
        if len(items):
            features[:e] = self.basis[items].sum(0, dtype=np.float64) / np.sqrt(len(items))
        if attributes is not None:
            features[e:] = attributes
        return replace(self, mean=self.mean + features @ self.link)

    @property
    def typical_attributes(self) -> Float64s | None:
        """(f - e,) what is taken for attributes that are not told; None where attributes make no difference."""
        if self.typical is None or self.basis is None or len(self.typical) == self.basis.shape[1]:
            return None
        attributes: Float64s = self.typical[self.basis.shape[1] :]
        return attributes

    def widened(self, design: Float64s, weights: Float64s, variance: float) -> "NewcomerPrior":
        """The prior where users differ by more than the vectors do that it was made of, as those are posterior means.

        Args:
            design: (n, d) items' factors, and 1 for the bias.
            weights: (n,) of these items, with sum 1.
            variance: of a prediction, for a user and an item of these: how unsure the vectors are.
        """
        spread = weights @ ((design @ np.linalg.inv(self.precision)) * design).sum(1)
        return replace(self, precision=self.precision / (1 + variance / max(float(spread), JITTER)))

    def posterior(self, design: Float64s, target: Float64s, noise: Float64s) -> tuple[Float64s, Float64s]:
        """Mean (d,) and covariance (d, d) of z given ratings: Bayesian linear regression, or a ridge regression.

            (Xᵀ N⁻¹ X + n E + Λ) z = Xᵀ N⁻¹ y + Λ m

        Of several solutions (no penalty, few ratings) it is the smallest.

        Args:
            design: (n, d) X: the rated items' factors, and 1 for the bias.
            target: (n,) y: the ratings less what the items alone say.
            noise: (n,) N: the ratings' variances.
        """
        precision = self.precision * np.sqrt(max(len(target), 1)) if self.by_root_count else self.precision
        weighted = design / noise[:, None]
        gram = weighted.T @ design + precision
        if self.each is not None:
            gram = gram + self.each * len(target)
        covariance = np.linalg.pinv(gram, hermitian=True)
        return covariance @ (weighted.T @ target + precision @ self.mean), covariance

    def scaled(self, vector: Float64s, noise: float) -> "NewcomerPrior":
        """The prior in other units: a user's vector is (d,) ``vector`` times as large, the noise ``noise`` times."""
        squares = np.outer(vector, vector)
        return replace(
            self,
            precision=self.precision / squares,
            mean=self.mean * vector,
            noise=self.noise * noise,
            each=None if self.each is None else self.each / squares,
            link=None if self.link is None else self.link * vector,
        )
