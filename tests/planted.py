"""Small ratings with a known truth, for the solvers' tests."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from scipy.sparse import csr_matrix

from mfcli.data.features import Features
from mfcli.data.ratings import Ratings, Sides
from mfcli.data.training import TrainingData
from mfcli.solvers.blocks import Block
from mfcli.solvers.compute import Compute

CPU = Compute(torch.device("cpu"))


def ratings_of(pairs: list[tuple[int, int, float]], n_users: int, n_items: int) -> Ratings:
    """Ratings from (user, item, rating)."""
    users, items, ratings = zip(*pairs, strict=True)
    return Ratings(
        np.array(users, np.int32), np.array(items, np.int32), np.array(ratings, np.float32), n_users, n_items
    )


def full_matrix(n_users: int, n_items: int, rank: int, noise: float, seed: int = 0) -> Ratings:
    """Every user has rated every item: planted factors and noise about 3."""
    rng = np.random.default_rng(seed)
    table = 3 + rng.normal(size=(n_users, rank)) @ rng.normal(size=(rank, n_items)) / np.sqrt(rank)
    table += rng.normal(0, noise, table.shape)
    users, items = (index.ravel().astype(np.int32) for index in np.indices(table.shape))
    return Ratings(users, items, table.ravel().astype(np.float32), n_users, n_items)


def planted_biases_and_factors() -> tuple[Ratings, Ratings, np.ndarray[tuple[int], np.dtype[np.float64]]]:
    """Training and test ratings of planted factors and biases with noise of 0.3, and the truth of the test part."""
    rng = np.random.default_rng(0)
    users, items, rank = 150, 120, 2
    p, q = rng.normal(0, 0.8, (users, rank)), rng.normal(0, 0.8, (items, rank))
    b, c = rng.normal(0, 0.4, users), rng.normal(0, 0.4, items)
    u, i = np.divmod(rng.permutation(users * items)[:9000], items)
    truth = 3.5 + b[u] + c[i] + (p[u] * q[i]).sum(1)
    ratings = (truth + rng.normal(0, 0.3, len(u))).astype(np.float32)
    whole = Ratings(u.astype(np.int32), i.astype(np.int32), ratings, users, items)
    return whole.take(np.arange(7500)), whole.take(np.arange(7500, 9000)), truth[7500:]


def some_of(ratings: Ratings, share: float, seed: int = 1) -> tuple[Ratings, Ratings]:
    """A random share of the ratings, and the others."""
    chosen = np.random.default_rng(seed).random(len(ratings)) < share
    return ratings.take(chosen), ratings.take(~chosen)


def quietly(done: int, total: int, rmse: object) -> None:
    """A tick that says nothing."""


@dataclass(frozen=True)
class RowNormals:
    """Draws of N(0, 1) that every row has of its own, however it is cut into blocks.

    Attributes:
        drawn: (rows, columns).
    """

    drawn: torch.Tensor

    @classmethod
    def of_seed(cls, seed: int) -> Self:
        return cls(torch.randn(100, 50, generator=torch.Generator().manual_seed(seed)))

    def of(self, block: Block, columns: int) -> torch.Tensor:
        return self.drawn[block.rows, :columns]


def random_features(rows: int, width: int, seed: int = 0) -> Features:
    """Features of so many rows: each has some of them, the first row none."""
    rng = np.random.default_rng(seed)
    matrix = (rng.random((rows, width)) < 0.4) * rng.normal(1, 0.3, (rows, width))
    matrix[0] = 0
    return Features(csr_matrix(matrix.astype(np.float32)), [f"a={place}" for place in range(width)])


@dataclass(frozen=True)
class PlantedFeatures:
    """Ratings whose truth is nearly all in the features of users and items.

    Attributes:
        data: to learn from.
        test: other ratings.
        oracle: the test ratings' RMSE about the truth: no model's is less but by luck.
    """

    data: TrainingData
    test: Ratings
    oracle: float


def planted_features(users: int, items: int, share: float, own: float, cold: float, seed: int = 5) -> PlantedFeatures:
    """Two factors and biases of variance about 1 in all, and noise of variance 1.

    Args:
        share: of all pairs that are rated; a tenth of these ratings is for testing.
        own: share of the variance of vectors that features do not account for.
        cold: share of the items that have test ratings alone.
    """
    rng = np.random.default_rng(seed)
    features = Sides(random_features(users, 5, 1), random_features(items, 5, 2))

    def vectors(side: Features) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        known = side.matrix @ rng.normal(size=(5, 3))
        known = (known - known.mean(0)) / known.std(0)
        return (np.sqrt(1 - own) * known + np.sqrt(own) * rng.normal(size=known.shape)) * [0.8, 0.8, 0.4]

    p, q = vectors(features.users), vectors(features.items)
    u, i = np.nonzero(rng.random((users, items)) < share)
    truth = 3 + p[u, 2] + q[i, 2] + (p[u, :2] * q[i, :2]).sum(1)
    ratings = (truth + rng.normal(0, 1, len(u))).astype(np.float32)
    whole = Ratings(u.astype(np.int32), i.astype(np.int32), ratings, users, items)
    test = (rng.random(len(u)) < 0.1) | (i < cold * items)
    oracle = float(np.sqrt(np.mean((ratings - truth)[test] ** 2)))
    return PlantedFeatures(TrainingData(whole.take(~test), None, features), whole.take(test), oracle)
