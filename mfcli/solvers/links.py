"""Links: how features move the rows of a side, sampled with everything else, or learnt between rounds.

(Macau: Simm, Arany, Zakeri, Haber, Wegner, Chupakhin, Ceulemans and Moreau, MLSP 2017.) A row z with features f is

    z ~ N(m + Bᵀf, Λ⁻¹)    B ~ matrix normal, mean 0, of rows λ⁻¹I and columns Λ⁻¹    λ ~ Gamma(1, 1)

Given the rows, B is a matrix normal distribution about the ridge regression (FᵀF + λI)⁻¹Fᵀ(Z - m), of rows
(FᵀF + λI)⁻¹ and columns Λ⁻¹. With FᵀF = Q diag(s) Qᵀ, found once, all of it is products.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mfcli.arrays import Float64s
from mfcli.solvers.priors import Prior
from mfcli.solvers.row_features import RowFeatures
from mfcli.threads import one_blas_thread

SHAPE, RATE = 1.0, 1.0  # of the Gamma prior of λ


@dataclass(frozen=True)
class Link:
    """A side's link: a sample, or what is expected.

    Attributes:
        coefficients: (f, d) B.
        precision: λ.
        shifts: (n, d) F B.
    """

    coefficients: Tensor
    precision: float
    shifts: Tensor

    def scatter(self) -> Float64s:
        """(d, d) λBᵀB: what B, whose rows are draws of N(0, Λ⁻¹/λ), says of Λ."""
        exact = self.coefficients.double().cpu().numpy()
        scatter: Float64s = self.precision * exact.T @ exact
        return scatter


class Linking:
    """Draws or learns the links of one side.

    Args:
        features: of its rows.
    """

    def __init__(self, features: RowFeatures) -> None:
        self.features = features
        self.rated = torch.nonzero(features.rated)[:, 0]
        gram = features.gram.cpu().numpy()
        with one_blas_thread():
            values, vectors = np.linalg.eigh(gram)
        self.values = torch.from_numpy(values.clip(0)[:, None]).to(features.gram)
        self.vectors = torch.from_numpy(vectors).to(features.gram)

    def none_yet(self, dimensions: int) -> Link:
        """Before the first sample: features move nothing."""
        return self.link(self.features.dense.new_zeros(self.features.width, dimensions), 1.0)

    def link(self, coefficients: Tensor, precision: float) -> Link:
        """The link of these coefficients."""
        return Link(coefficients, precision, self.features.times(coefficients))

    def left(self, rows: Tensor, link: Link) -> Tensor:
        """Z - FB of the (n, d) rows with ratings; the others are draws that say nothing of their own."""
        return (rows - link.shifts).index_select(0, self.rated)

    def sample(self, rows: Tensor, prior: Prior, last: Link, rng: np.random.Generator) -> Link:
        """Draw B given the rows, m, Λ and the last λ, then λ given B.

        Args:
            rows: (n, d) Z.
            prior: m and Λ, of all rows alike.
            last: the last sample.
            rng: source of the draws.
        """
        spread, moment = self.values + last.precision, self._moment(rows, prior.mean)
        normals = torch.from_numpy(rng.standard_normal(moment.shape)).to(moment)
        assert prior.covariance_root is not None
        root = prior.covariance_root.double()
        coefficients = self.vectors @ (self.vectors.T @ moment / spread + normals @ root.T / spread.sqrt())
        squared = float(((coefficients @ prior.precision.double()) * coefficients).sum())
        precision = rng.gamma(SHAPE + coefficients.numel() / 2, 1 / (RATE + squared / 2))
        return self.link(coefficients.to(rows), float(precision))

    def expected(self, rows: Tensor, mean: Tensor, precision: Tensor, known: Tensor, last: Link) -> tuple[Link, float]:
        """The mean of B given the rows, m, Λ and the last λ, and the mean of λ given what is then known of B.

        Rows of which few ratings tell are guesses, so that λ is learnt as if they told as much less of B. Taken for
        certain they would make it rise and rise: they lie as B says because nothing else is known of them. (The freedom
        stays that of certain rows: else ml-1m is predicted worse by 0.003.)

        Args:
            rows: (n, d) Z.
            mean: (d,) m.
            precision: (d, d) float64 Λ.
            known: (d,) float64 how much of a row its ratings tell, by directions in which Λ is I.
            last: the last link.

        Returns:
            The link, and how many rows' worth of freedom it has.
        """
        spread = self.values + last.precision
        coefficients = self.vectors @ (self.vectors.T @ self._moment(rows, mean) / spread)
        unsure = 1 / (self.values * known + last.precision)  # (f, d) variances of B, in those directions and FᵀF's
        squared = ((coefficients @ precision) * coefficients).sum() + unsure.sum()
        found = (SHAPE + coefficients.numel() / 2) / (RATE + float(squared) / 2)
        return self.link(coefficients.to(rows), found), float((self.values / spread).sum())

    def _moment(self, rows: Tensor, mean: Tensor) -> Tensor:
        """(f, d) float64 Fᵀ(Z - m) of the rows with ratings."""
        return self.features.transposed_times((rows - mean) * self.features.rated[:, None]).double()
