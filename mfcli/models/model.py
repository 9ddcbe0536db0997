"""A trained factor model as plain NumPy arrays. Nothing here needs what trained it.

A user u and an item i: r̂ = μ + b_u + b_i + p_u·q_i, clipped to the range of the ratings.
"""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mfcli.data.ratings import Float32s, Int32s
from mfcli.errors import ArtifactError

FILE = "model.safetensors"
FORMAT = "1"
SCORES_AT_ONCE = 4_000_000  # predictions held at a time where all items are scored: 16 MB
PAIRS_AT_ONCE = 250_000


@dataclass(frozen=True)
class FactorModel:
    """A trained model.

    Attributes:
        mean: mean of the training ratings; the prediction where nothing else is known.
        minimum, maximum: range of the training ratings; predictions are clipped to it.
        user_factors: (n_users, k) float32; for a user without training ratings zeros, or (gibbs) about all users' mean.
        item_factors: (n_items, k) float32, likewise.
        user_counts: (n_users,) int32, training ratings of each user.
        item_counts: (n_items,) int32, training ratings of each item.
        user_biases: (n_users,) float32, or None for the plain dot product p·q, without μ.
        item_biases: (n_items,) float32, or None likewise.
        user_noise: (n_users,) float32; times an item's of item_noise (n_items,) it is the variance of a rating about
            the true prediction. These two and the next two are None where the solver does not tell.
        user_variances: (n_users,) float32; times an item's of item_variances (n_items,) it is the variance of the
            prediction itself.
    """

    mean: float
    minimum: float
    maximum: float
    user_factors: Float32s
    item_factors: Float32s
    user_counts: Int32s
    item_counts: Int32s
    user_biases: Float32s | None = None
    item_biases: Float32s | None = None
    user_noise: Float32s | None = None
    item_noise: Float32s | None = None
    user_variances: Float32s | None = None
    item_variances: Float32s | None = None

    @property
    def n_users(self) -> int:
        return len(self.user_factors)

    @property
    def n_items(self) -> int:
        return len(self.item_factors)

    @property
    def factors(self) -> int:
        return int(self.user_factors.shape[1])

    @property
    def biased(self) -> bool:
        return self.user_biases is not None

    def known(self, users: npt.NDArray[Any], items: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """(n,) booleans: both the user and the item have training ratings."""
        both: npt.NDArray[np.bool_] = (self.user_counts[users] > 0) & (self.item_counts[items] > 0)
        return both

    def predict(self, users: npt.NDArray[Any], items: npt.NDArray[Any], *, clip: bool = True) -> Float32s:
        """Predicted ratings.

        Args:
            users: (n,) rows of users.
            items: (n,) rows of items.
            clip: whether to clip them to the range of the ratings.

        Returns:
            (n,) float32, within [minimum, maximum] if clipped.
        """
        out = np.empty(len(users), np.float32)
        for start in range(0, len(users), PAIRS_AT_ONCE):
            part = slice(start, start + PAIRS_AT_ONCE)
            u, i = users[part], items[part]
            dots = np.einsum("nk,nk->n", self.user_factors[u], self.item_factors[i])
            if self.user_biases is not None and self.item_biases is not None:
                dots += self.mean + self.user_biases[u] + self.item_biases[i]
            else:
                dots[~self.known(u, i)] = self.mean
            out[part] = dots
        return self.clip(out) if clip else out

    def deviations(self, users: npt.NDArray[Any], items: npt.NDArray[Any]) -> Float32s | None:
        """Standard deviations of ratings about their predictions: the noise and how unsure the prediction is.

        Args:
            users: rows of users.
            items: rows of items, of a shape that broadcasts with that of users.

        Returns:
            float32 of the broadcast shape; None where the solver does not tell.
        """
        if self.user_noise is None or self.item_noise is None:
            return None
        assert self.user_variances is not None
        assert self.item_variances is not None
        noise = self.user_noise[users] * self.item_noise[items]
        deviations: Float32s = np.sqrt(noise + self.user_variances[users] * self.item_variances[items])
        return deviations

    def newcomers_noise(self, items: npt.NDArray[Any]) -> Float32s | None:
        """(n,) float32 variance of the ratings that an average user gives the (n,) items about the true predictions."""
        if self.user_noise is None or self.item_noise is None:
            return None
        noise: Float32s = self.user_noise[self.user_counts > 0].mean() * self.item_noise[items]
        return noise

    def scores(self, users: npt.NDArray[Any]) -> Float32s:
        """(len(users), n_items) float32: the predictions for every item, not clipped, so that they rank."""
        scores: Float32s = self.user_factors[users] @ self.item_factors.T
        if self.user_biases is not None and self.item_biases is not None:
            scores += np.float32(self.mean) + self.user_biases[users, None] + self.item_biases
        else:
            scores[self.user_counts[users] == 0] = self.mean
            scores[:, self.item_counts == 0] = self.mean
        return scores

    def clip(self, scores: Float32s) -> Float32s:
        """Scores as ratings, within the range."""
        clipped: Float32s = np.clip(scores, self.minimum, self.maximum)
        return clipped

    def fold_in(self, items: Int32s, ratings: Float32s, *, l2: float, bias_l2: float) -> "Newcomer":
        """A user who was not there in training, from their ratings, the items' factors being fixed: a ridge regression.

        Where the noise is known, the prior is Gaussian with the mean and covariance of the users there are (of their
        own posterior means, which vary less than users do: it holds newcomers a little too close to the others); else
        it is the penalty of training, λ√n‖p‖² and λ√n b².

        Args:
            items: (n,) int32 rows of the items the user rated.
            ratings: (n,) float32.
            l2, bias_l2: λ of factors and bias, of no account where the noise is known.
        """
        design, target = self.item_factors[items].astype(np.float64), ratings.astype(np.float64)
        if self.item_biases is not None:
            target = target - self.mean - self.item_biases[items]
            design = np.column_stack([design, np.ones(len(items))])
        noise = self.newcomers_noise(items)
        if noise is None:
            penalty = np.full(self.factors, l2)
            if self.item_biases is not None:
                penalty = np.append(penalty, bias_l2)
            precision, pull = np.diag(penalty * np.sqrt(len(items))), np.zeros(len(penalty))
            weighted = design
        else:
            mean, covariance = self._users_spread()
            precision = np.linalg.inv(covariance)
            pull, weighted = precision @ mean, design / noise[:, None]
        inverse = np.linalg.pinv(weighted.T @ design + precision, hermitian=True)
        solution = (inverse @ (weighted.T @ target + pull)).astype(np.float32)
        bias = float(solution[-1]) if self.item_biases is not None else 0.0
        return Newcomer(solution[: self.factors], bias, None if noise is None else inverse)

    def _users_spread(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Mean (d,) and covariance (d, d) of the factors, and the bias if there is one, of users with ratings."""
        rows = self.user_factors
        if self.user_biases is not None:
            rows = np.column_stack([rows, self.user_biases])
        rows = rows[self.user_counts > 0].astype(np.float64)
        covariance = np.atleast_2d(np.cov(rows.T, bias=True))
        return rows.mean(0), covariance + 1e-6 * max(float(np.trace(covariance)), 1e-6) * np.eye(len(covariance))

    def scores_for(self, user: "Newcomer") -> Float32s:
        """(n_items,) float32: what :meth:`scores` gives, for somebody folded in."""
        scores: Float32s = self.item_factors @ user.factors
        if self.item_biases is not None:
            scores += np.float32(self.mean + user.bias) + self.item_biases
        else:
            scores[self.item_counts == 0] = self.mean
        return scores

    def deviations_for(self, user: "Newcomer") -> Float32s | None:
        """(n_items,) float32: what :meth:`deviations` gives, for somebody folded in, were the items known for sure."""
        noise = self.newcomers_noise(np.arange(self.n_items))
        if noise is None or user.covariance is None:
            return None
        design = self.item_factors
        if self.item_biases is not None:
            design = np.column_stack([design, np.ones(self.n_items, np.float32)])
        deviations: Float32s = np.sqrt(noise + ((design @ user.covariance) * design).sum(1)).astype(np.float32)
        return deviations

    def scaled(self, scale: float) -> "FactorModel":
        """The same model in another unit: predictions and their deviations are ``scale`` times as large."""
        if scale == 1:
            return self
        root = float(np.sqrt(scale))
        by = {"user_factors": root, "item_factors": root, "user_counts": 1.0, "item_counts": 1.0}
        arrays: dict[str, Any] = {
            name: (array * by.get(name, scale)).astype(array.dtype) for name, array in self.arrays().items()
        }
        return FactorModel(self.mean * scale, self.minimum * scale, self.maximum * scale, **arrays)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The model's arrays by name."""
        named = {
            "user_factors": self.user_factors,
            "item_factors": self.item_factors,
            "user_counts": self.user_counts,
            "item_counts": self.item_counts,
            "user_biases": self.user_biases,
            "item_biases": self.item_biases,
            "user_noise": self.user_noise,
            "item_noise": self.item_noise,
            "user_variances": self.user_variances,
            "item_variances": self.item_variances,
        }
        return {name: np.ascontiguousarray(a) for name, a in named.items() if a is not None}

    def scalars(self) -> dict[str, float]:
        """What the model has beside its arrays."""
        return {"mean": self.mean, "minimum": self.minimum, "maximum": self.maximum}

    def to_bytes(self) -> bytes:
        """The model as a safetensors file."""
        from safetensors.numpy import save

        return save(self.arrays(), metadata={"mfcli": json.dumps({"format": FORMAT, **self.scalars()})})

    @classmethod
    def from_bytes(cls, content: bytes) -> "FactorModel":
        """The model that :meth:`to_bytes` wrote. Raises ArtifactError if it is none."""
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            arrays: dict[str, Any] = load(content)
            scalars = metadata(content)
            if scalars.pop("format") != FORMAT:
                raise ArtifactError("the model was written by another version of mfcli: run `mfcli train` again")
            return cls(**scalars, **arrays)
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f"not a model of mfcli ({error}): run `mfcli train` again") from None


def metadata(content: bytes) -> dict[str, Any]:
    """What we wrote beside the tensors of a safetensors file. Raises ValueError or KeyError if there is nothing."""
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    ours: dict[str, Any] = json.loads(header["__metadata__"]["mfcli"])
    return ours


@dataclass(frozen=True)
class Newcomer:
    """A user folded in.

    Attributes:
        factors: (k,) float32.
        bias: 0 where the model has none.
        covariance: (d, d) float64 of both together, the bias last; None where the model's noise is not known.
    """

    factors: Float32s
    bias: float
    covariance: npt.NDArray[Any] | None


def top_n(scores: Float32s, n: int) -> Int32s:
    """The n best columns of every row, best first; equal scores in the order of their columns; -inf is never taken.

    Args:
        scores: (rows, columns) float32.
        n: at most so many.

    Returns:
        (rows, min(n, columns)) int32, -1 where a row has fewer than n columns to offer.
    """
    n = min(n, scores.shape[1])
    # One threshold a row by partition; then a stable sort of the few that reach it settles ties by column.
    threshold = -np.partition(-scores, n - 1, axis=1)[:, n - 1] if n else np.empty(len(scores))
    best = np.full((len(scores), n), -1, np.int32)
    for row, (values, least) in enumerate(zip(scores, threshold, strict=True)):
        candidates = np.flatnonzero(values >= least) if np.isfinite(least) else np.flatnonzero(values > -np.inf)
        order = np.argsort(-values[candidates], kind="stable")[:n]
        best[row, : len(order)] = candidates[order]
    return best
