"""What a solver is: ratings in, one epoch at a time, a FactorModel out."""

import contextlib
import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from mfcli.config import TrainConfig
from mfcli.data.ratings import Float32s, Ratings, scale_of
from mfcli.models.metrics import rmse
from mfcli.models.model import FactorModel

if TYPE_CHECKING:
    import torch

Tick = Callable[[int, int, Callable[[], tuple[float, float]]], None]
"""Called after every batch with the batches done, the batches in all, and a function that reads the last batch's RMSE
and the running RMSE off the device. May raise to stop the solver, whose state() then can be resumed."""


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to.

    Attributes:
        train_rmse: of the training ratings: by adam each predicted just before it is learnt from, by als at the epoch's
            end, by gibbs by its last sample alone.
        validation_rmse: of the model at the epoch's end, clipped; None without a validation part.
        batch_rmse: (batches,) float32.
        figures: what else the solver reports, for the history.
        sample_rmse: of this epoch's sample alone, where validation_rmse is that of an average of samples.
        converged: more epochs would change nothing.
    """

    train_rmse: float
    validation_rmse: float | None
    batch_rmse: Float32s
    figures: dict[str, float] = field(default_factory=dict)
    sample_rmse: float | None = None
    converged: bool = False

    @property
    def finite(self) -> bool:
        """Whether all is still well."""
        return math.isfinite(self.train_rmse) and (self.validation_rmse is None or math.isfinite(self.validation_rmse))

    def scaled(self, scale: float) -> "Epoch":
        """The same with every RMSE ``scale`` times as large."""

        def times(rmse: float | None) -> float | None:
            return None if rmse is None else rmse * scale

        return replace(
            self,
            train_rmse=self.train_rmse * scale,
            validation_rmse=times(self.validation_rmse),
            sample_rmse=times(self.sample_rmse),
            batch_rmse=self.batch_rmse * np.float32(scale),
        )


@dataclass(frozen=True)
class State:
    """All that a solver needs to go on exactly where it was: tensors on the CPU, and values that JSON can hold."""

    tensors: "dict[str, torch.Tensor]"
    values: dict[str, Any]


class Solver(Protocol):
    """A method of fitting. Built from the training part, the validation part or None, the options and a device.

    Attributes:
        keeps_best: whether the model of the best epoch is the one to keep; else the last epoch's, which is then what
            all of them come to.
        remedy: what to try where training diverges.
    """

    keeps_best: ClassVar[bool]
    remedy: ClassVar[str]

    def run_epoch(self, tick: Tick) -> Epoch:
        """Go once over the training ratings, or finish the epoch that a raising tick broke off."""

    def model(self) -> FactorModel:
        """The model as it is now."""

    def figures(self, model: FactorModel) -> dict[str, float]:
        """What is worth knowing of a model of its own beside the RMSE, by name, in rating points."""

    def state(self) -> State:
        """What :meth:`load_state` needs."""

    def load_state(self, state: State) -> None:
        """Go on from that state: the epochs that follow end in the same bytes as if nothing had come between."""


class Scaled:
    """A solver that sees ratings divided by a scale and is seen as if it did not, so that defaults serve any range.

    The scale is a power of two, about the ratings' standard deviation: 1 for stars, so that nothing changes, not even
    a byte; 32 for percent. State and what concerns the solver alone are its own.
    """

    def __init__(self, config: TrainConfig, train: Ratings, validation: Ratings | None, device: "torch.device") -> None:
        self.scale = scale_of(train)
        self.solver = create(
            config, self._divided(train), None if validation is None else self._divided(validation), device
        )
        self.keeps_best, self.remedy = self.solver.keeps_best, self.solver.remedy
        self.state, self.load_state = self.solver.state, self.solver.load_state

    def _divided(self, ratings: Ratings) -> Ratings:
        return replace(ratings, ratings=ratings.ratings / np.float32(self.scale))

    def run_epoch(self, tick: Tick) -> Epoch:
        def scaled(done: int, total: int, rmse: Callable[[], tuple[float, float]]) -> None:
            def enlarged() -> tuple[float, float]:
                batch, running = rmse()
                return batch * self.scale, running * self.scale

            tick(done, total, enlarged)

        return self.solver.run_epoch(scaled).scaled(self.scale)

    def model(self) -> FactorModel:
        return self.solver.model().scaled(self.scale)

    def figures(self, model: FactorModel) -> dict[str, float]:
        own = self.solver.figures(model.scaled(1 / self.scale))
        return {name: value * self.scale for name, value in own.items()}


def create(config: TrainConfig, train: Ratings, validation: Ratings | None, device: "torch.device") -> Solver:
    """The solver that the options name."""
    if config.solver == "adam":
        from mfcli.solvers.adam import Adam

        return Adam(config, train, validation, device)
    if config.solver == "als":
        from mfcli.solvers.als import Als

        return Als(config, train, validation, device)
    from mfcli.solvers.gibbs import Gibbs

    return Gibbs(config, train, validation, device)


def mixed_seed(seed: int, *parts: int) -> int:
    """A seed for each epoch (or half, or block) of each run, unrelated to its neighbours: a function of its arguments.

    So a random state need not be kept: to go on from an epoch is to draw what that epoch draws.
    """
    text = "/".join(map(str, (seed, *parts)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


@contextlib.contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Within the block torch computes with so many threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def validate(model: FactorModel, validation: Ratings | None) -> float | None:
    """RMSE of the model on the validation part, or None without one."""
    if validation is None:
        return None
    return rmse(validation.ratings, model.predict(validation.users, validation.items))


def factor_model(train: Ratings, **arrays: Any) -> FactorModel:
    """A FactorModel of fitted arrays, with what it has to know of the ratings that it was fitted to.

    Args:
        train: the training part.
        arrays: user_factors, item_factors and what else the model has, as its attributes are called.
    """
    named: dict[str, Any] = {name: np.array(array, np.float32) for name, array in arrays.items()}
    return FactorModel(
        mean=float(train.ratings.mean(dtype=np.float64)),
        minimum=float(train.ratings.min()),
        maximum=float(train.ratings.max()),
        user_counts=train.user_counts(),
        item_counts=train.item_counts(),
        **named,
    )
