"""What a solver is: ratings in, one epoch at a time, a FactorModel out."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mfcli.config import TrainConfig
from mfcli.errors import UsageError
from mfcli.model import FactorModel
from mfcli.ratings import Float32s, Ratings

if TYPE_CHECKING:
    import torch

Tick = Callable[[int, int, Callable[[], tuple[float, float]]], None]
"""Called after every batch with the batches done, the batches in all, and a function that reads the last batch's RMSE
and the running RMSE off the device. May raise to stop the solver, whose state() then can be resumed."""


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to.

    Attributes:
        train_rmse: over the epoch's ratings, each predicted just before it was learnt from.
        validation_rmse: of the model at the epoch's end, clipped; None without a validation part.
        batch_rmse: (batches,) float32.
        figures: what else the solver reports, for the history.
        converged: more epochs would change nothing.
    """

    train_rmse: float
    validation_rmse: float | None
    batch_rmse: Float32s
    figures: dict[str, float] = field(default_factory=dict)
    converged: bool = False

    @property
    def finite(self) -> bool:
        """Whether all is still well."""
        return math.isfinite(self.train_rmse) and (self.validation_rmse is None or math.isfinite(self.validation_rmse))


@dataclass(frozen=True)
class State:
    """All that a solver needs to go on exactly where it was: tensors on the CPU, and values that JSON can hold."""

    tensors: "dict[str, torch.Tensor]"
    values: dict[str, Any]


class Solver(Protocol):
    """A method of fitting. Built from the training part, the validation part or None, the options and a device."""

    def run_epoch(self, tick: Tick) -> Epoch:
        """Go once over the training ratings, or finish the epoch that a raising tick broke off."""

    def model(self) -> FactorModel:
        """The model as it is now."""

    def state(self) -> State:
        """What :meth:`load_state` needs."""

    def load_state(self, state: State) -> None:
        """Go on from that state: the epochs that follow end in the same bytes as if nothing had come between."""


def create(config: TrainConfig, train: Ratings, validation: Ratings | None, device: "torch.device") -> Solver:
    """The solver that the options name."""
    if config.solver == "adam":
        from mfcli.solvers.adam import Adam

        return Adam(config, train, validation, device)
    raise UsageError(f"--solver: there is no '{config.solver}'")


def factor_model(train: Ratings, **arrays: Any) -> FactorModel:
    """A FactorModel of fitted arrays, with rows that no training rating has touched set to zero.

    Args:
        train: the training part.
        arrays: user_factors, item_factors and, for a model with biases, user_biases and item_biases.
    """
    user_counts, item_counts = train.user_counts(), train.item_counts()
    for name, array in arrays.items():
        if array is not None:
            unseen = (user_counts if name.startswith("user") else item_counts) == 0
            arrays[name] = array = np.array(array, np.float32)
            array[unseen] = 0
    return FactorModel(
        mean=float(train.ratings.mean(dtype=np.float64)),
        minimum=float(train.ratings.min()),
        maximum=float(train.ratings.max()),
        user_counts=user_counts,
        item_counts=item_counts,
        **arrays,
    )
