"""A trained factor model as plain NumPy arrays. Nothing here needs what trained it.

A user u and an item i: r̂ = μ + b_u + b_i + p_u·q_i, clipped to the range of the ratings.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mfcli.data.ratings import Float32s, Int32s
from mfcli.errors import ArtifactError
from mfcli.models.newcomer import NewcomerPrior

FILE = "model.safetensors"
FORMAT = "1"
PAIRS_AT_ONCE = 250_000
NEWCOMER = "newcomer_"  # what the names of its arrays and numbers begin with, in the file


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
        newcomer: the prior of a user that is folded in; None where nobody is (baselines, models of an earlier mfcli).
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
    newcomer: NewcomerPrior | None = None

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
        """Booleans of the shape that users and items broadcast to: both have training ratings."""
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
            out[part] = self._completed(np.einsum("nk,nk->n", self.user_factors[u], self.item_factors[i]), u, i)
        return self.clip(out) if clip else out

    def scores(self, users: npt.NDArray[Any]) -> Float32s:
        """(len(users), n_items) float32: the predictions for every item, not clipped, so that they rank."""
        dots: Float32s = self.user_factors[users] @ self.item_factors.T
        return self._completed(dots, users[:, None], np.arange(self.n_items))

    def _completed(self, dots: Float32s, users: npt.NDArray[Any], items: npt.NDArray[Any]) -> Float32s:
        """Predictions of products p·q, in their place: with the biases; without biases the mean for who is unknown.

        Args:
            dots: float32.
            users, items: rows, of shapes that broadcast to that of ``dots``.
        """
        if self.user_biases is not None and self.item_biases is not None:
            dots += np.float32(self.mean) + self.user_biases[users] + self.item_biases[items]
        else:
            dots[~self.known(users, items)] = self.mean
        return dots

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

    def clip(self, scores: Float32s) -> Float32s:
        """Scores as ratings, within the range."""
        clipped: Float32s = np.clip(scores, self.minimum, self.maximum)
        return clipped

    def scaled(self, scale: float) -> "FactorModel":
        """The same model in another unit: predictions and their deviations are ``scale`` times as large."""
        if scale == 1:
            return self
        root = float(np.sqrt(scale))
        by = {"user_factors": root, "item_factors": root, "user_counts": 1.0, "item_counts": 1.0}
        arrays: dict[str, Any] = {
            name: (array * by.get(name, scale)).astype(array.dtype) for name, array in self._own_arrays().items()
        }
        newcomer = self.newcomer
        if newcomer is not None:
            vector = np.array([root] * self.factors + [scale] * self.biased)
            newcomer = newcomer.scaled(vector, scale**2 if self.item_noise is None else scale)
        return FactorModel(self.mean * scale, self.minimum * scale, self.maximum * scale, **arrays, newcomer=newcomer)

    def _own_arrays(self) -> dict[str, npt.NDArray[Any]]:
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

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The model's arrays by name; those of the prior of newcomers begin with ``newcomer_``."""
        if self.newcomer is None:
            return self._own_arrays()
        prior = {f"{NEWCOMER}precision": self.newcomer.precision, f"{NEWCOMER}mean": self.newcomer.mean}
        return self._own_arrays() | {name: np.ascontiguousarray(a) for name, a in prior.items()}

    def scalars(self) -> dict[str, Any]:
        """What the model has beside its arrays, as JSON can hold it."""
        own = {"mean": self.mean, "minimum": self.minimum, "maximum": self.maximum}
        if self.newcomer is None:
            return own
        prior = {"by_root_count": self.newcomer.by_root_count, "noise": self.newcomer.noise}
        return own | {f"{NEWCOMER}{name}": value for name, value in prior.items()}

    @classmethod
    def of(cls, arrays: Mapping[str, npt.NDArray[Any]], scalars: Mapping[str, Any]) -> "FactorModel":
        """The model of what :meth:`arrays` and :meth:`scalars` gave. Raises TypeError or KeyError if they are not."""
        both: dict[str, Any] = {**arrays, **scalars}
        prior = {name: both.pop(name) for name in list(both) if name.startswith(NEWCOMER)}
        newcomer = NewcomerPrior(**{name.removeprefix(NEWCOMER): v for name, v in prior.items()}) if prior else None
        return cls(**both, newcomer=newcomer)

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
            arrays = load(content)
            scalars = metadata(content)
            if scalars.pop("format") != FORMAT:
                raise ArtifactError("the model was written by another version of mfcli: run `mfcli train` again")
            return cls.of(arrays, scalars)
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f"not a model of mfcli ({error}): run `mfcli train` again") from None


def metadata(content: bytes) -> dict[str, Any]:
    """What we wrote beside the tensors of a safetensors file. Raises ValueError or KeyError if there is nothing."""
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    ours: dict[str, Any] = json.loads(header["__metadata__"]["mfcli"])
    return ours
