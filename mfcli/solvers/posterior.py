"""The posterior of a factor model from samples of it: mean and variance of every prediction, as a model of factors.

The mean of many samples' p·q is itself nearly of low rank. Samples are stacked beside the sum so far, and the stack is
compressed again (:mod:`mfcli.solvers.compression`); so memory does not grow with the number of samples. Users and items
weigh in by their shares of the ratings: what is discarded is what the fewest predictions need.

The variance of a prediction is one number of the user times one of the item. For every user their product with the
items' is exact on average over the items (weighted likewise), and for every item over the users. How a single pair
departs from that is not kept.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mfcli.arrays import Int32s, Int64s
from mfcli.data.ratings import Ratings, Sides
from mfcli.data.shared import SharedRatings
from mfcli.models.metrics import rmse
from mfcli.models.model import FactorModel
from mfcli.solvers.base import State
from mfcli.solvers.compression import compress, weighted_gram
from mfcli.solvers.compute import Map, by_pieces
from mfcli.solvers.fitted import factor_model
from mfcli.solvers.solving import Solutions

PENDING = 4  # samples stacked before they are compressed, which takes the square of the columns for every row
WIDTH, LEAST = 2, 32  # columns kept by a compression: so many times a sample's factors, but no fewer than LEAST
DISCARD = 0.006  # how far the finished model's predictions may be from the mean's: RMS, as a share of the noise std
PROBES = 20_000  # pairs on which that is measured


def width(factors: int) -> int:
    """Columns that a compression keeps, at the most."""
    return max(WIDTH * factors, LEAST)


class Vectors(NamedTuple):
    """The vectors of one side: (n, k) factors and (n,) biases, 0 in a model without."""

    factors: Tensor
    biases: Tensor


@dataclass
class Sums:
    """What is summed over the samples, of one side.

    Attributes:
        biases: (n,) float32.
        stack: (n, w) float32: first products, so that the users' @ the items'.T is the sum of p·q over the compressed
            samples, then the factors of the samples since, side by side; room for more to the right.
        kept, filled: columns of the products, and of all that the stack holds.
        squares: (n,) float64 mean squares of the row's predictions, less μ.
        noises: (n,) float64 1/γ.
    """

    biases: Tensor
    stack: Tensor
    kept: int
    filled: int
    squares: Tensor
    noises: Tensor

    @classmethod
    def zeros(cls, n: int, factors: int, device: torch.device) -> "Sums":
        """Those of no sample of so many factors."""
        exact = torch.zeros(n, dtype=torch.float64, device=device)
        stack = torch.empty(n, width(factors) + PENDING * factors, device=device)
        return cls(torch.zeros(n, device=device), stack, 0, 0, exact, exact.clone())

    @property
    def columns(self) -> Tensor:
        """(n, filled) what the stack holds."""
        return self.stack[:, : self.filled]

    def add(self, factors: Tensor) -> None:
        """Stack (n, k) more columns."""
        self.stack[:, self.filled : self.filled + factors.shape[1]] = factors
        self.filled += factors.shape[1]

    def replace(self, products: Tensor) -> None:
        """Put (n, r) products in place of all that the stack holds."""
        self.kept = self.filled = products.shape[1]
        self.stack[:, : self.filled] = products

    def state(self) -> State:
        """What :meth:`load_state` needs."""
        stacked = {"products": self.stack[:, : self.kept], "pending": self.stack[:, self.kept : self.filled]}
        arrays = {"biases": self.biases, **stacked, "squares": self.squares, "noises": self.noises}
        return State({name: array.cpu().numpy() for name, array in arrays.items()})

    def load_state(self, state: State) -> None:
        """Go on from the sums that gave that state."""
        self.biases, self.squares, self.noises = (
            torch.from_numpy(state.arrays[name]).to(self.stack.device) for name in ("biases", "squares", "noises")
        )
        products, pending = (torch.from_numpy(state.arrays[name]).to(self.stack) for name in ("products", "pending"))
        self.replace(products)
        self.add(pending)


class Posterior:
    """Sums over samples of (n_users, d) and (n_items, d) rows, whose last number is a bias if ``biased``.

    Args:
        train: whose counts weigh users and items.
        factors: k of a sample.
        biased: whether rows end with a bias.
        seed: of the pairs on which the loss by compression is measured.
        device: where samples are.
    """

    def __init__(
        self, train: Ratings | SharedRatings, factors: int, biased: bool, seed: int, device: torch.device
    ) -> None:
        self.train, self.factors, self.biased, self.device = train, factors, biased, device
        self.shares = Sides(_shares(train.user_counts(), device), _shares(train.item_counts(), device))
        self.count = 0
        self.noise_variance = 0.0  # sum of 1/α
        self.sums = Sides(*(Sums.zeros(n, factors, device) for n in (train.n_users, train.n_items)))
        # Users and items drawn apart from each other, each as often as it is rated.
        rng = np.random.default_rng(seed)
        self.probes = Sides(*(torch.from_numpy(_drawn(counts, rng)).to(device) for counts in train.counts))
        self.probed = torch.zeros(PROBES, dtype=torch.float64, device=device)

    def add(self, users: Tensor, items: Solutions, alpha: float, weights: Sides[Tensor], workers: Map = map) -> None:
        """Count one more sample.

        Args:
            users: (n_users, d) sample.
            items: (n_items, d) sample, and the means of what it was drawn from, given the users: the mean of the
                predictions is taken with these, their mean square with the sample.
            alpha: noise precision.
            weights: (n_users,) and (n_items,) that it is multiplied by.
            workers: a ``map`` over pieces of the rows.
        """
        self.count += 1
        self.noise_variance += 1 / alpha
        sample = Sides(self._vectors(users), self._vectors(items.rows))
        means = Sides(sample.users, self._vectors(items.means))
        squares = mean_squares(sample, self.shares, workers)
        for sums, mean, square, weight in zip(self.sums, means, squares, weights, strict=True):
            sums.biases += mean.biases
            sums.add(mean.factors)
            sums.squares += square
            sums.noises += weight.double().reciprocal()
        self.probed += pair_predictions(means, self.probes)
        if self.sums.users.filled - self.sums.users.kept == PENDING * self.factors:
            products, _ = self._compressed(workers)
            for sums, product in zip(self.sums, products, strict=True):
                sums.replace(product)

    def _vectors(self, rows: Tensor) -> Vectors:
        """(n, d) rows as factors and biases."""
        return Vectors(rows[:, :-1], rows[:, -1]) if self.biased else Vectors(rows, torch.zeros_like(rows[:, 0]))

    def _compressed(self, workers: Map = map) -> tuple[Sides[Tensor], Tensor]:
        """The sum of p·q over all samples as one product, and its singular values."""
        users, items = (sums.columns for sums in self.sums)
        return compress(Sides(users, items), self.shares, width(self.factors), workers)

    def model(self) -> FactorModel:
        """The posterior's mean as a model of no more factors than it needs, with its standard deviations."""
        mean = self._mean()
        noise = Sides(*(sums.noises / self.count * self._noise_std() for sums in self.sums))
        return factor_model(
            self.train,
            Sides(mean.users.factors, mean.items.factors),
            Sides(mean.users.biases, mean.items.biases) if self.biased else None,
            noise=noise,
            variances=self._variances(mean),
        )

    def _noise_std(self) -> float:
        """Of a rating by a user and on an item whose weights are 1."""
        return float((self.noise_variance / self.count) ** 0.5)

    def _mean(self) -> Sides[Vectors]:
        """The mean of the samples' predictions, in as few factors as :data:`DISCARD` allows."""
        products, values = self._compressed()
        discarded = (values / self.count).square().flip(0).cumsum(0).flip(0).sqrt()  # RMS, if cut before each
        rank = max(1, int((discarded > DISCARD * self._noise_std()).sum()))
        return Sides(
            *(
                Vectors(product[:, :rank] * self.count**-0.5, sums.biases / self.count)
                for product, sums in zip(products, self.sums, strict=True)
            )
        )

    def _variances(self, mean: Sides[Vectors]) -> Sides[Tensor]:
        """(n_users,) and (n_items,) whose products are the variances of the predictions about their mean."""
        of_mean = mean_squares(mean, self.shares)
        users, items = (
            (sums.squares / self.count - square).clamp(min=0) for sums, square in zip(self.sums, of_mean, strict=True)
        )
        # A table's cell from its margins: row times column over the whole, which both margins share.
        root_whole = (users * self.shares.users).sum().sqrt().clamp(min=1e-12)
        return Sides(users / root_whole, items / root_whole)

    def loss(self, model: FactorModel) -> float:
        """RMS over random pairs of what a model of :meth:`model` departs from the mean of the samples' predictions."""
        users, items = (rows.cpu().numpy() for rows in self.probes)
        predicted = np.einsum("nk,nk->n", model.factors.users[users], model.factors.items[items]).astype(np.float64)
        if model.biases is not None:
            predicted += model.biases.users[users] + model.biases.items[items]
        return rmse(self.probed.cpu().numpy() / self.count, predicted)

    def state(self) -> State:
        """What :meth:`load_state` needs."""
        values = {"count": self.count, "noise_variance": self.noise_variance}
        both = State({"probed": self.probed.cpu().numpy()}, values)
        return State.joined(both=both, users=self.sums.users.state(), items=self.sums.items.state())

    def load_state(self, state: State) -> None:
        """Go on from that state."""
        for side, sums in self.sums._asdict().items():
            sums.load_state(state.part(side))
        both = state.part("both")
        self.probed = torch.from_numpy(both.arrays["probed"]).to(self.device)
        self.count, self.noise_variance = both.values["count"], both.values["noise_variance"]


def _drawn(counts: Int32s, rng: np.random.Generator) -> Int64s:
    """(PROBES,) rows, each as often as its share of the counts says."""
    ends = np.cumsum(counts, dtype=np.int64)
    rows: Int64s = np.searchsorted(ends, rng.integers(0, ends[-1], PROBES), side="right")
    return rows


def _shares(counts: Int32s, device: torch.device) -> Tensor:
    """(n,) float32 shares of the ratings, of which each row counts one more than it has."""
    return torch.from_numpy((counts + 1) / (counts + 1).sum()).float().to(device)


def pair_predictions(vectors: Sides[Vectors], pairs: Sides[Tensor]) -> Tensor:
    """(n,) float64 predictions, less μ, of pairs: (n,) rows of users and (n,) of items."""
    (p, b), (q, c) = vectors

    def of(u: Tensor, i: Tensor) -> Tensor:
        dots = (p.index_select(0, u) * q.index_select(0, i)).sum(1)
        return dots + b.index_select(0, u) + c.index_select(0, i)

    return torch.cat([*by_pieces(of, *pairs)]).double()


def mean_squares(vectors: Sides[Vectors], weights: Sides[Tensor], workers: Map = map) -> Sides[Tensor]:
    """For each user the weighted mean over items of the squared prediction, less μ; and for each item over users.

    A prediction is z·x with z = [p, b_u, 1] and x = [q, 1, b_i]; its mean square over items is zᵀ(Σ w x xᵀ)z.

    Args:
        vectors: of the users and of the items.
        weights: (n_users,) and (n_items,), each with sum 1.
        workers: a ``map`` over pieces of the rows.

    Returns:
        (n_users,) and (n_items,) float64.
    """
    (p, b), (q, c) = vectors
    z = torch.cat([p, b[:, None], torch.ones_like(b)[:, None]], 1)
    x = torch.cat([q, torch.ones_like(c)[:, None], c[:, None]], 1)

    def forms(rows: Tensor, gram: Tensor) -> Tensor:
        form = gram.to(rows)
        return torch.cat([*by_pieces(lambda piece: ((piece @ form) * piece).sum(1), rows, workers=workers)]).double()

    grams = Sides(weighted_gram(z, weights.users, workers), weighted_gram(x, weights.items, workers))
    return Sides(forms(z, grams.items), forms(x, grams.users))
