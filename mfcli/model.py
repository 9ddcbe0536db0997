"""A trained factor model as plain NumPy arrays. Nothing here needs what trained it.

A user u and an item i: r̂ = μ + b_u + b_i + p_u·q_i, clipped to the range of the ratings.
"""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mfcli.errors import ArtifactError
from mfcli.ratings import Float32s, Int32s

FORMAT = "1"
SCORES_AT_ONCE = 4_000_000  # predictions held at a time where all items are scored: 16 MB
PAIRS_AT_ONCE = 250_000


@dataclass(frozen=True)
class FactorModel:
    """A trained model.

    Attributes:
        mean: mean of the training ratings; the prediction where nothing else is known.
        minimum, maximum: range of the training ratings; predictions are clipped to it.
        user_factors: (n_users, k) float32; zeros for a user without training ratings.
        item_factors: (n_items, k) float32; zeros for an item without training ratings.
        user_counts: (n_users,) int32, training ratings of each user.
        item_counts: (n_items,) int32, training ratings of each item.
        user_biases: (n_users,) float32, or None for the plain dot product p·q, without μ.
        item_biases: (n_items,) float32, or None likewise.
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
        """(n,) booleans: both the user and the item have training ratings; elsewhere only biases speak."""
        both: npt.NDArray[np.bool_] = (self.user_counts[users] > 0) & (self.item_counts[items] > 0)
        return both

    def predict(self, users: npt.NDArray[Any], items: npt.NDArray[Any]) -> Float32s:
        """Predicted ratings, clipped.

        Args:
            users: (n,) rows of users.
            items: (n,) rows of items.

        Returns:
            (n,) float32 within [minimum, maximum].
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
        return np.clip(out, self.minimum, self.maximum, out=out)

    def scores(self, users: npt.NDArray[Any]) -> Float32s:
        """(len(users), n_items) float32: the predictions for every item, not clipped, so that they rank."""
        scores: Float32s = self.user_factors[users] @ self.item_factors.T
        if self.user_biases is not None and self.item_biases is not None:
            scores += np.float32(self.mean) + self.user_biases[users, None] + self.item_biases
        else:
            scores[self.user_counts[users] == 0] = self.mean
            scores[:, self.item_counts == 0] = self.mean
        return scores

    def scores_for(self, factors: Float32s, bias: float) -> Float32s:
        """(n_items,) float32: what :meth:`scores` gives, for a user of these (k,) factors and this bias."""
        scores: Float32s = self.item_factors @ factors
        if self.item_biases is not None:
            scores += np.float32(self.mean + bias) + self.item_biases
        else:
            scores[self.item_counts == 0] = self.mean
        return scores

    def clip(self, scores: Float32s) -> Float32s:
        """Scores as ratings, within the range."""
        clipped: Float32s = np.clip(scores, self.minimum, self.maximum)
        return clipped

    def fold_in(self, items: Int32s, ratings: Float32s, *, l2: float, bias_l2: float) -> tuple[Float32s, float]:
        """Factors and bias of a user who was not there in training, the items' being fixed: a ridge regression.

        Args:
            items: (n,) int32 rows of the items the user rated.
            ratings: (n,) float32.
            l2, bias_l2: the penalties λ√n‖p‖² and λ√n b² of training.

        Returns:
            (k,) float32 factors and the bias (0 where the model has none).
        """
        design = self.item_factors[items].astype(np.float64)
        target = ratings.astype(np.float64)
        penalty = np.full(self.factors, l2 * np.sqrt(len(items)))
        if self.item_biases is not None:
            target = target - self.mean - self.item_biases[items]
            design = np.column_stack([design, np.ones(len(items))])
            penalty = np.append(penalty, bias_l2 * np.sqrt(len(items)))
        gram = design.T @ design + np.diag(penalty)
        solution = np.linalg.lstsq(gram, design.T @ target, rcond=None)[0]
        bias = float(solution[-1]) if self.item_biases is not None else 0.0
        return solution[: self.factors].astype(np.float32), bias

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The model's arrays by name."""
        named = {
            "user_factors": self.user_factors,
            "item_factors": self.item_factors,
            "user_counts": self.user_counts,
            "item_counts": self.item_counts,
            "user_biases": self.user_biases,
            "item_biases": self.item_biases,
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
            header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
            scalars = json.loads(header["__metadata__"]["mfcli"])
            if scalars.pop("format") != FORMAT:
                raise ArtifactError("the model was written by another version of mfcli: run `mfcli train` again")
            return cls(**scalars, **arrays)
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f"not a model of mfcli ({error}): run `mfcli train` again") from None


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
