"""What is believed of the rows of both sides before their ratings are seen, learnt from the rows.

It takes the place of penalties that somebody would have to choose. By variational Bayes (Lim and Teh, KDD Cup and
Workshop 2007; Nakajima and Sugiyama, JMLR 2011), of the model

    r ~ N(μ + b_u + b_i + p_u·q_i, 1/α)    z = [p, b] ~ N(m, Λ⁻¹), with m and Λ of the users and of the items

a row is held for normal about its solution. We go one step further than they do: its covariance is taken for that of a
row with as many ratings, n, by rows of the other side that are typical of ratings,

    C(n) = (Λ + nα(X + S))⁻¹

where X is the second moment of their x = [q, 1], and S the covariance of their q, both means over all ratings. (With
covariances of each row's own a round takes four times as long, and ml-1m is predicted better by 0.0015.)
So a row with n ratings pays beside its squared errors (z - m)ᵀΛ(z - m) + nα pᵀSp: what is not sure of the other side
is no reason to go far. After every round α, m and Λ become those under which the rows are likeliest.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from mfcli.arrays import Float64s, Int32s, Int64s
from mfcli.data.ratings import Sides
from mfcli.errors import DivergedError
from mfcli.models.newcomer import NewcomerPrior
from mfcli.solvers.base import State
from mfcli.solvers.compute import Compute, Map, by_pieces
from mfcli.solvers.priors import CountedPrior


@dataclass(frozen=True)
class Moments:
    """Sums over the rows of one side that have ratings, all float64.

    Attributes:
        rows: how many they are.
        sum, square: (d,) Σ z and (d, d) Σ z zᵀ, of what features leave of rows.
        rated_sum, rated_square: Σ n z and Σ n z zᵀ of the rows, where n is their number of ratings.
    """

    rows: int
    sum: Float64s
    square: Float64s
    rated_sum: Float64s
    rated_square: Float64s

    @classmethod
    def of(cls, rows: Tensor, counts: Tensor, shifts: Tensor | None = None, workers: Map = map) -> "Moments":
        """Of (n, d) rows with (n,) numbers of ratings, and (n, d) what features say of them; None for nothing.

        ``workers`` is a ``map`` over pieces of the rows.
        """
        d, left = rows.shape[1], rows if shifts is None else rows - shifts

        def of_piece(left: Tensor, rows: Tensor, n: Tensor) -> Tensor:
            """First of each row, then of each rating."""
            pairs = zip((left.double(), rows.double()), ((n > 0).double(), n), strict=True)
            return torch.stack([(torch.nn.functional.pad(z, (0, 1), value=1.0) * w[:, None]).T @ z for z, w in pairs])

        sums = rows.new_zeros(2, d + 1, d, dtype=torch.float64)
        for found in by_pieces(of_piece, left, rows, counts.double(), workers=workers):
            sums += found
        (square, rated_square), (total, rated_total) = sums[:, :-1].cpu().numpy(), sums[:, -1].cpu().numpy()
        return cls(int((counts > 0).sum()), total, square, rated_total, rated_square)

    def about(self, mean: Float64s) -> Float64s:
        """(d, d) Σ (z - m)(z - m)ᵀ."""
        mixed = np.outer(mean, self.sum)
        scatter: Float64s = self.square - mixed - mixed.T + self.rows * np.outer(mean, mean)
        return scatter


@dataclass(frozen=True)
class Belief:
    """What is believed of one side.

    Attributes:
        precision: Λ, (d, d) float64.
        mean: m, (d,) float64.
        spread: S, (d, d) float64: the mean covariance of this side's factors over all ratings, 0 where a bias is
            concerned. The rows of the other side pay for it.
    """

    precision: Float64s
    mean: Float64s
    spread: Float64s


@dataclass(frozen=True)
class Beliefs:
    """What is believed of both sides, and of the noise.

    Attributes:
        alpha: α.
        sides: of the users and of the items.
        biased: whether a row's last number is a bias.
    """

    alpha: float
    sides: Sides[Belief]
    biased: bool

    @classmethod
    def of_variances(cls, variances: Sides[Float64s], alpha: float, counts: Sides[Int32s], biased: bool) -> "Beliefs":
        """Before anything is learnt: rows about 0, each number of its own (d,) variance.

        Args:
            variances: above 0.
            alpha, biased: as the attributes.
            counts: ratings of every user and item.
        """
        d = len(variances.users)
        without = (Belief(np.diag(1 / v), np.zeros(d), np.zeros((d, d))) for v in variances)
        known = cls(alpha, Sides(*without), biased)
        designs = Sides(*(np.diag(np.append(v[:-1], 1.0) if biased else v) for v in variances))
        sides = (
            replace(side, spread=known._of_factors(typical))
            for side, (typical, _) in zip(known.sides, known._covariances(designs, counts), strict=True)
        )
        return replace(known, sides=Sides(*sides))

    def prior(self, side: int, compute: Compute, shifts: Tensor | None = None) -> CountedPrior:
        """Of the rows of one side, 0 for users, given the other side and (n, d) what features say; None for nothing."""
        own, each = self.sides[side], self.alpha * self.sides[1 - side].spread
        axes, growth = _axes(own.precision, each)
        arrays = (own.precision, each, own.precision @ own.mean, axes, growth)
        prior = CountedPrior(self.alpha, *(compute.place(array.astype(np.float32)) for array in arrays))
        return prior if shifts is None else replace(prior, pull=prior.pull + shifts @ prior.precision)

    def penalty(self, moments: Sides[Moments]) -> float:
        """What the rows of both sides pay beside the sum of squared errors: their penalties, divided by α."""
        (users, items), (of_users, of_items) = self.sides, moments
        own = sum(
            (side.precision * rows.about(side.mean)).sum() for side, rows in zip(self.sides, moments, strict=True)
        )
        each = (items.spread * of_users.rated_square).sum() + (users.spread * of_items.rated_square).sum()
        return float(own / self.alpha + each)

    def learnt(
        self, moments: Sides[Moments], counts: Sides[Int32s], squared_error: float, freedoms: Sides[float]
    ) -> "Beliefs":
        """What is believed after a round.

        Λ⁻¹ is the mean of (z - m)(z - m)ᵀ + C, and 1/α that of the squared errors that are expected. Both are taken as
        if there were a little more to learn from: of each side a row with mean 0 and covariance I, and two ratings with
        an error of 1.

        Args:
            moments: of the users' and the items' rows.
            counts: their ratings.
            squared_error: sum over all ratings.
            freedoms: rows' worth of freedom that the links of both sides have.
        """
        ratings = int(counts.users.sum())
        designs = Sides(*(self._design(rows, ratings) for rows in moments))
        covariances = self._covariances(designs, counts)
        (users, _), (items, _) = covariances
        unsure = (items * designs.users).sum() + (users * (designs.items + self._of_factors(items))).sum()
        alpha = (ratings + 2) / (squared_error + ratings * unsure + 2)
        found = (
            self._belief(rows, typical, total + freedom * np.linalg.inv(side.precision))
            for side, rows, (typical, total), freedom in zip(self.sides, moments, covariances, freedoms, strict=True)
        )
        return Beliefs(float(alpha), Sides(*found), self.biased)

    def _belief(self, rows: Moments, typical: Float64s, total: Float64s) -> Belief:
        """Of one side's rows, and their covariances: the typical one, and the sum."""
        mean = rows.sum / (rows.rows + 1)
        scatter = rows.about(mean) + np.outer(mean, mean) + total + np.eye(len(mean))
        precision = np.linalg.inv(scatter / (rows.rows + 1)).astype(np.float64)
        return Belief(precision, mean, self._of_factors(typical))

    def _design(self, rows: Moments, ratings: int) -> Float64s:
        """X of one side's rows, (d, d): their second moment with 1 in place of the bias."""
        design = rows.rated_square / ratings
        if self.biased:
            design[-1] = design[:, -1] = np.append(rows.rated_sum[:-1] / ratings, 1.0)
        return design

    def _covariances(self, designs: Sides[Float64s], counts: Sides[Int32s]) -> list[tuple[Float64s, Float64s]]:
        """For users and for items C(n), its mean over all ratings, and its sum over the rows that have any."""
        found = []
        for axes, shrink, n, rows in self._by_count(designs, counts):
            typical, total = (n * rows) @ shrink / (n @ rows), rows @ shrink
            found.append(((axes * typical) @ axes.T, (axes * total) @ axes.T))
        return found

    def known(self, moments: Sides[Moments], counts: Sides[Int32s]) -> Sides[Float64s]:
        """How much ratings tell of a row: for users and items (d,) mean shares of the variance that they take away.

        They are those of the directions in which Λ is I and C(n) a diagonal.

        Args:
            moments: of the users' and the items' rows.
            counts: their ratings.
        """
        ratings = int(counts.users.sum())
        designs = Sides(*(self._design(rows, ratings) for rows in moments))
        users, items = (rows @ (1 - shrink) / rows.sum() for _, shrink, _, rows in self._by_count(designs, counts))
        return Sides(users, items)

    def _by_count(
        self, designs: Sides[Float64s], counts: Sides[Int32s]
    ) -> Iterator[tuple[Float64s, Float64s, Int64s, Int64s]]:
        """For users and for items C(n) = W diag(s_n) Wᵀ of every number of ratings that rows have.

        Yields:
            (d, d) W, (k, d) s, (k,) numbers of ratings, and (k,) how many rows have as many.
        """
        for own, other, design, numbers in zip(self.sides, self.sides[::-1], designs[::-1], counts, strict=True):
            axes, growth = _axes(own.precision, self.alpha * (design + other.spread))
            rows = np.bincount(numbers)
            n = np.flatnonzero(rows[1:]) + 1
            yield axes, 1 / (1 + n[:, None] * growth), n, rows[n]

    def _of_factors(self, covariance: Float64s) -> Float64s:
        """A covariance of rows as one of their factors, with zeros for the bias."""
        if self.biased:
            covariance = covariance.copy()
            covariance[-1] = covariance[:, -1] = 0
        return covariance

    def newcomer(self) -> NewcomerPrior:
        """Somebody new is taken for a user of whom nothing is known yet."""
        users, each = self.sides.users, self.alpha * self.sides.items.spread
        return NewcomerPrior(users.precision, users.mean, by_root_count=False, noise=1 / self.alpha, each=each)

    def state(self) -> State:
        """All of it but ``biased``."""
        arrays = {
            f"{name}_{side}": getattr(belief, name)
            for side, belief in zip(Sides._fields, self.sides, strict=True)
            for name in ("precision", "mean", "spread")
        }
        return State(arrays, {"alpha": self.alpha})

    def like(self, state: State) -> "Beliefs":
        """The beliefs of such a state."""
        sides = (
            Belief(*(state.arrays[f"{name}_{side}"] for name in ("precision", "mean", "spread")))
            for side in Sides._fields
        )
        return Beliefs(state.values["alpha"], Sides(*sides), self.biased)


def _axes(precision: Float64s, each: Float64s) -> tuple[Float64s, Float64s]:
    """(d, d) W and (d,) g ≥ 0 such that (Λ + nE)⁻¹ = W diag(1/(1 + n g)) Wᵀ for every n. Raises DivergedError."""
    try:
        root = np.linalg.cholesky(precision)
        half = np.linalg.solve(root, each)
        growth, vectors = np.linalg.eigh(np.linalg.solve(root, half.T))
    except np.linalg.LinAlgError:
        raise DivergedError("how rows are spread cannot be told in finite numbers") from None
    return np.linalg.solve(root.T, vectors), growth.clip(0)
