"""The posterior of a factor model from samples of it: mean and variance of every prediction, as a model of factors.

The mean of many samples' p·q is itself nearly of low rank. Samples are stacked beside the sum so far, and the stack is
compressed again by a singular value decomposition; so memory does not grow with the number of samples. Users and items
weigh in by the square roots of their numbers of ratings: what is discarded is what the fewest predictions need.

The variance of a prediction is told by one number for the user times one for the item. They are exact for each row on
average over the other side (weighted likewise); only how a pair departs from its row and column is not kept.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from mfcli.data.ratings import Ratings
from mfcli.models.metrics import rmse
from mfcli.models.model import FactorModel
from mfcli.models.newcomer import NewcomerPrior
from mfcli.solvers.base import State
from mfcli.solvers.blocks import Solved
from mfcli.solvers.fitted import factor_model

PENDING = 8  # samples stacked before they are compressed
WIDTH, LEAST = 2, 32  # times the factors of a sample, and factors at the least: what is kept on the way
DISCARD = 0.006  # RMS of what the finished model may lack of the mean, as a share of the noise
PROBES = 20_000  # pairs on which that is measured
AT_ONCE = 100_000  # rows or pairs worked on at a time
SUMS = ("biases", "products", "pending", "squares", "noises")

Pair = Sequence[Tensor]  # of the users, of the items


class Posterior:
    """Sums over samples of (n_users, d) and (n_items, d) rows, whose last number is a bias if ``biased``.

    Args:
        train: whose counts weigh users and items.
        factors: k of a sample.
        biased: whether rows end with a bias.
        seed: of the pairs on which the loss by compression is measured.
        device: where samples are.
    """

    def __init__(self, train: Ratings, factors: int, biased: bool, seed: int, device: torch.device) -> None:
        self.train, self.factors, self.biased = train, factors, biased
        counts = train.user_counts(), train.item_counts()
        self.shares = [torch.from_numpy((n + 1) / (n + 1).sum()).float().to(device) for n in counts]
        sizes = train.n_users, train.n_items
        self.count = 0
        self.noise = 0.0  # sum of 1/α
        self.noises = [torch.zeros(n, dtype=torch.float64, device=device) for n in sizes]  # sums of 1/γ
        self.biases = [torch.zeros(n, device=device) for n in sizes]
        self.products = [torch.zeros(n, 0, device=device) for n in sizes]  # (n, w); users @ items.T is the sum of p·q
        self.pending = [torch.zeros(n, 0, device=device) for n in sizes]  # samples' factors side by side
        self.squares = [torch.zeros(n, dtype=torch.float64, device=device) for n in sizes]
        # Users and items drawn apart from each other, each as often as it is rated.
        rng = np.random.default_rng(seed)
        self.probes = [torch.from_numpy(rng.choice(side, PROBES)).to(device) for side in (train.users, train.items)]
        self.probed = torch.zeros(PROBES, dtype=torch.float64, device=device)

    def add(self, users: Tensor, items: Solved, alpha: float, weights: Pair) -> None:
        """Count one more sample.

        Args:
            users: (n_users, d) sample.
            items: (n_items, d) sample, and the means of what it was drawn from, given the users: the mean of the
                predictions is taken with these, their mean square with the sample.
            alpha: noise precision.
            weights: what it is multiplied by for each user and each item.
        """
        self.count += 1
        self.noise += 1 / alpha
        factors, biases = zip(*(self._parted(rows) for rows in (users, items.rows)), strict=True)
        squares = mean_squares(factors, biases, self.shares)
        factors, biases = zip(*(self._parted(rows) for rows in (users, items.means)), strict=True)
        for side in (0, 1):
            self.biases[side] += biases[side]
            self.squares[side] += squares[side]
            self.noises[side] += weights[side].double().reciprocal()
            self.pending[side] = torch.cat([self.pending[side], factors[side]], 1)
        self.probed += pair_predictions(factors, biases, self.probes)
        if self.pending[0].shape[1] >= PENDING * self.factors:
            self.products, _ = self._compressed()
            self.pending = [x[:, :0] for x in self.pending]

    def _parted(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """(n, k) factors and (n,) biases, 0 where there are none."""
        return (rows[:, :-1], rows[:, -1]) if self.biased else (rows, torch.zeros_like(rows[:, 0]))

    def _compressed(self) -> tuple[list[Tensor], Tensor]:
        """The sum of p·q over all samples as one product, and its singular values."""
        stacks = [torch.cat(pair, 1) for pair in zip(self.products, self.pending, strict=True)]
        return compress(stacks, self.shares, max(WIDTH * self.factors, LEAST))

    def model(self) -> FactorModel:
        """The posterior's mean as a model of no more factors than it needs, with its standard deviations."""
        products, values = self._compressed()
        discarded = (values / self.count).square().flip(0).cumsum(0).flip(0).sqrt()  # RMS, if cut before each
        overall = (self.noise / self.count) ** 0.5
        rank = max(1, int((discarded > DISCARD * overall).sum()))
        factors = [x[:, :rank] * self.count**-0.5 for x in products]
        biases = [total / self.count for total in self.biases]
        of_mean = mean_squares(factors, biases, self.shares)
        users, items = ((s / self.count - m).clamp(min=0) for s, m in zip(self.squares, of_mean, strict=True))
        # A table's cell from its margins: row times column over the whole, which both margins share.
        whole = (users * self.shares[0]).sum().sqrt().clamp(min=1e-12)
        tensors = {"user_factors": factors[0], "item_factors": factors[1]}
        tensors |= {"user_variances": users / whole, "item_variances": items / whole}
        tensors |= {f"{s}_noise": n / self.count * overall for s, n in zip(("user", "item"), self.noises, strict=True)}
        if self.biased:
            tensors |= {"user_biases": biases[0], "item_biases": biases[1]}
        arrays = {name: tensor.cpu().numpy() for name, tensor in tensors.items()}
        model = factor_model(self.train, None, **arrays)
        return replace(model, newcomer=_one_of_the_users(model))

    def loss(self, model: FactorModel) -> float:
        """RMS over random pairs of what a model of :meth:`model` departs from the mean of the samples' predictions."""
        users, items = (probes.cpu().numpy() for probes in self.probes)
        predicted = np.einsum("nk,nk->n", model.factors.users[users], model.factors.items[items]).astype(np.float64)
        if model.biases is not None:
            predicted += model.biases.users[users] + model.biases.items[items]
        return rmse(self.probed.cpu().numpy() / self.count, predicted)

    def state(self) -> State:
        """What :meth:`load_state` needs."""
        arrays = {f"{name}.{side}": getattr(self, name)[side].cpu().numpy() for name in SUMS for side in (0, 1)}
        return State(arrays | {"probed": self.probed.cpu().numpy()}, {"count": self.count, "noise": self.noise})

    def load_state(self, state: State) -> None:
        """Go on from that state."""
        device = self.probed.device
        for name in SUMS:
            setattr(self, name, [torch.from_numpy(state.arrays[f"{name}.{side}"]).to(device) for side in (0, 1)])
        self.probed = torch.from_numpy(state.arrays["probed"]).to(device)
        self.count, self.noise = state.values["count"], state.values["noise"]


def _one_of_the_users(model: FactorModel) -> NewcomerPrior:
    """The prior of a newcomer who is like the users with ratings, in their vectors and in their noise."""
    assert model.noise is not None
    vectors = model.factors.users
    if model.biases is not None:
        vectors = np.column_stack([vectors, model.biases.users])
    rated = model.counts.users > 0
    return NewcomerPrior.of_users(vectors[rated], float(model.noise.users[rated].mean()))


def pair_predictions(factors: Pair, biases: Pair, pairs: Pair) -> Tensor:
    """Predictions of some pairs, less μ.

    Args:
        factors, biases: of users and of items, [(n_users, k), (n_items, k)] and [(n_users,), (n_items,)].
        pairs: [(n,), (n,)] rows of users and of items.

    Returns:
        (n,) float64.
    """
    parts = []
    for u, i in zip(*(torch.split(rows, AT_ONCE) for rows in pairs), strict=True):
        dots = (factors[0].index_select(0, u) * factors[1].index_select(0, i)).sum(1)
        parts.append(dots + biases[0].index_select(0, u) + biases[1].index_select(0, i))
    return torch.cat(parts).double()


def mean_squares(factors: Pair, biases: Pair, weights: Pair) -> list[Tensor]:
    """For each user the weighted mean over items of the squared prediction, less μ; and for each item over users.

    Args:
        factors, biases: [(n_users, k), (n_items, k)] and [(n_users,), (n_items,)].
        weights: [(n_users,), (n_items,)], each with sum 1.

    Returns:
        [(n_users,), (n_items,)] float64.
    """
    ones = [torch.ones_like(b) for b in biases]
    # A prediction is z·x with z = [p, b_u, 1] and x = [q, 1, b_i]; its mean square over items is zᵀ(Σ w x xᵀ)z.
    z = torch.cat([factors[0], biases[0][:, None], ones[0][:, None]], 1)
    x = torch.cat([factors[1], ones[1][:, None], biases[1][:, None]], 1)
    sides = (z, weighted_gram(x, weights[1])), (x, weighted_gram(z, weights[0]))
    return [((rows @ gram.to(rows)) * rows).sum(1).double() for rows, gram in sides]


def weighted_gram(rows: Tensor, weights: Tensor) -> Tensor:
    """Σ w x xᵀ over (n, d) rows, as (d, d) float64."""
    total = torch.zeros(rows.shape[1], rows.shape[1], dtype=torch.float64, device=rows.device)
    for x, w in zip(torch.split(rows, AT_ONCE), torch.split(weights, AT_ONCE), strict=True):
        exact = x.double()
        total += (exact * w.double()[:, None]).T @ exact
    return total


def compress(stacks: Pair, weights: Pair, width: int) -> tuple[list[Tensor], Tensor]:
    """The best product of ``width`` columns for users @ items.T, in the weighted sense of least squares.

    Args:
        stacks: [(n_users, w), (n_items, w)].
        weights: [(n_users,), (n_items,)] > 0.

    Returns:
        [(n_users, r), (n_items, r)] with r = min(width, w), strongest column first, and the (r,) singular values: the
        root of the sum of squares of those left out is the weighted RMS of what is lost.
    """
    roots, inverses = [], []
    for rows, weight in zip(stacks, weights, strict=True):
        # D X = Q R with R = √λ Eᵀ from the eigenvalues of (DX)ᵀ(DX), in float64: all that touches rows is products.
        values, vectors = torch.linalg.eigh(weighted_gram(rows, weight))
        values = values.clamp(min=max(float(values[-1]) * 1e-14, 1e-30))
        roots.append(values.sqrt()[:, None] * vectors.T)
        inverses.append(vectors * values.rsqrt())
    left, singular, right = torch.linalg.svd(roots[0] @ roots[1].T)
    strength = singular[:width].sqrt()
    turns = [inverses[0] @ left[:, :width] * strength, inverses[1] @ right.T[:, :width] * strength]
    return [rows @ turn.to(rows) for rows, turn in zip(stacks, turns, strict=True)], singular[:width]
