"""What a solver is: training data in, one epoch at a time, a FactorModel out."""

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from mfcli.arrays import Float32s, Int32s
from mfcli.config.train import TrainConfig
from mfcli.data.ratings import Sides
from mfcli.data.shared import Chosen
from mfcli.data.training import TrainingData
from mfcli.models.measures import RMSE, Measure
from mfcli.models.model import FactorModel
from mfcli.solvers.compute import Compute
from mfcli.solvers.start import Start
from mfcli.typed import typed

Tick = Callable[[int, int, Callable[[], tuple[float, float]]], None]
"""Called after every batch with the batches done, the batches in all, and a function that reads the last batch's RMSE
and the running RMSE off the device. May raise to stop the solver, whose state() then can be resumed."""


@dataclass(frozen=True)
class Epoch:
    """The results of one epoch.

    Attributes:
        train: the solver's train_measure of the training part. An RMSE is by adam of each rating predicted just before
            it is learnt from, by als of all at the epoch's end, by gibbs by its last sample alone.
        validation: the solver's validation_measure of the model at the epoch's end (an RMSE of clipped predictions);
            None without a validation part.
        batch_rmse: (batches,) float32; empty where an epoch goes over blocks.
        phase: '' or, before the first epoch that counts, what it is: of gibbs 'als', a round of it, or 'burn-in'.
        errors: further numbers in rating points, by the names that the history gives them; progress shows them too.
        others: further numbers of the history in no unit, or in one of the solver's own.
        converged: more epochs would change nothing.
    """

    train: float
    validation: float | None
    batch_rmse: Float32s = field(default_factory=lambda: np.zeros(0, np.float32))
    phase: str = ""
    errors: dict[str, float] = field(default_factory=dict)
    others: dict[str, float] = field(default_factory=dict)
    converged: bool = False

    @property
    def finite(self) -> bool:
        """Whether the measures are finite numbers."""
        return math.isfinite(self.train) and (self.validation is None or math.isfinite(self.validation))


@dataclass(frozen=True)
class State:
    """All that a solver needs to go on exactly where it was.

    Attributes:
        arrays: NumPy arrays by name.
        values: what JSON can hold, by name.
    """

    arrays: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def joined(cls, **parts: "State") -> "State":
        """One state of several: array ``x`` of part ``a`` is array ``a.x`` of the whole."""
        arrays = {f"{part}.{name}": array for part, state in parts.items() for name, array in state.arrays.items()}
        return cls(arrays, {part: state.values for part, state in parts.items()})

    def part(self, name: str) -> "State":
        """One of the states that :meth:`joined` put together."""
        start = f"{name}."
        arrays = {key.removeprefix(start): array for key, array in self.arrays.items() if key.startswith(start)}
        return State(arrays, self.values[name])

    def check_like(self, other: "State") -> None:
        """Raise ValueError unless it has all that another of the same solver has, alike, and finite numbers.

        A dimension that is 0 in the other one grows with the epochs.
        """
        for name, array in other.arrays.items():
            mine = self.arrays.get(name)
            if mine is None or mine.dtype != array.dtype or mine.ndim != array.ndim:
                raise ValueError(f"{name} is not {array.dtype} of {array.ndim} dimensions")
            if any(wanted not in (0, size) for wanted, size in zip(array.shape, mine.shape, strict=True)):
                raise ValueError(f"{name} is not {array.shape}")
        for name, array in self.arrays.items():
            if not np.isfinite(array).all():
                raise ValueError(f"{name} has numbers that are not finite")
        _check_alike(self.values, json.loads(json.dumps(other.values)), "values")


def _check_alike(value: Any, other: Any, name: str) -> None:
    """Raise ValueError unless two values of JSON are of one kind. None stands for a number, which is finite."""
    if isinstance(other, dict | list):
        typed(type(other), value, name)
        keys, mine = (list(one) if isinstance(one, dict) else list(range(len(one))) for one in (other, value))
        if sorted(keys) != sorted(mine):
            raise ValueError(f"{name} has other entries")
        for key in keys:
            _check_alike(value[key], other[key], f"{name}.{key}")
    else:
        typed(float | None if other is None else type(other), value, name)


@dataclass(frozen=True)
class Method:
    """What holds for every run of a solver.

    Attributes:
        epoch_name: what its epochs are called.
        averages_samples: the model is the average of all samples so far. Then the last epoch's model is the one to
            keep, and the validation measure is that of the average; else the best epoch's model is kept.
        remedy: what to try where training diverges.
        of_batches: an epoch goes over batches of ratings drawn at random, whose RMSE says how good the model was just
            then; else over blocks of users and of items, whose RMSE does not.
        of_clicks: it learns from clicks; else from ratings.
        train_measure, validation_measure: what an epoch is judged by on the training and on the validation part.
    """

    epoch_name: str
    averages_samples: bool
    remedy: str
    of_batches: bool = False
    of_clicks: bool = False
    train_measure: Measure = RMSE
    validation_measure: Measure = RMSE

    @property
    def batch_name(self) -> str:
        """What the pieces of an epoch are called."""
        return "batch" if self.of_batches else "block"


class Solver(ABC):
    """A way of fitting, built as ``SomeSolver(config, data, compute)``.

    Attributes:
        method: what holds for every run of it.
        epochs: how many a whole run has.
    """

    method: Method
    epochs: int

    @abstractmethod
    def __init__(self, config: TrainConfig, data: TrainingData, compute: Compute) -> None: ...

    @classmethod
    def own(cls, config: TrainConfig, counts: Sides[Int32s], compute: Compute) -> Chosen:
        """Which ratings of the training part it wants in this one of several processes; all, unless it says otherwise.

        Args:
            config, compute: as it will be built with.
            counts: training ratings of every user and item.
        """
        return lambda ratings, _: Sides(np.ones(len(ratings), bool), np.ones(len(ratings), bool))

    @abstractmethod
    def begin(self, start: Start) -> None:
        """Before the first epoch: begin with these vectors."""

    @abstractmethod
    def run_epoch(self, tick: Tick) -> Epoch:
        """Go once over the training ratings. After a tick has raised, the next call does the rest of that epoch."""

    @abstractmethod
    def model(self) -> FactorModel:
        """The model as it is now."""

    def results(self, model: FactorModel) -> dict[str, float]:
        """What is worth knowing of one of its models beside the RMSE, by name, in rating points."""
        return {}

    def explained(self) -> dict[str, float]:
        """What side information it uses: by kind, such as ``users`` or ``time``, the share of variance explained.

        Of features it is a share of the variance of the rows' vectors, of ``time`` one of the ratings'.
        """
        return {}

    @abstractmethod
    def state(self) -> State:
        """What :meth:`load_state` needs. Its arrays may share memory with the solver: store them before going on."""

    @abstractmethod
    def load_state(self, state: State) -> None:
        """Go on from that state: the epochs that follow end in the same bytes as if nothing had come between."""
