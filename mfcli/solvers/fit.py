"""Fitting: one epoch after the other, what each came to, and the model to keep."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mfcli.config.train import TrainConfig
from mfcli.data.training import TrainingData
from mfcli.errors import DivergedError
from mfcli.models import model_file
from mfcli.models.history import checked_epochs
from mfcli.models.measures import Measures
from mfcli.models.model import FactorModel
from mfcli.solvers.base import Epoch, Solver, State, Tick
from mfcli.solvers.compute import Compute
from mfcli.solvers.create import create
from mfcli.typed import typed

HOPELESS = 1000.0  # times the largest rating: an RMSE that no epoch comes back from


@dataclass
class Best:
    """The model that is the best so far on the validation part; without that part, nothing.

    Attributes:
        epoch: that made it, from 1; 0 for none.
        validation: what it came to on the validation part.
        model: as it was then.
    """

    epoch: int = 0
    validation: float | None = None
    model: FactorModel | None = None

    def state(self) -> State:
        """What :meth:`from_state` needs: the model as the bytes of its file."""
        if self.model is None:
            return State()
        content = np.frombuffer(model_file.to_bytes(self.model), np.uint8)
        return State({"model": content}, {"epoch": self.epoch, "validation": self.validation})

    @classmethod
    def from_state(cls, state: State) -> "Best":
        """The best that :meth:`state` told."""
        if not state.arrays:
            return cls()
        model = model_file.from_bytes(state.arrays["model"].tobytes())
        return cls(typed(int, state.values["epoch"]), typed(float, state.values["validation"]), model)


class Fit:
    """A solver on its way through its epochs.

    Args:
        solver: ready for its first epoch.
        patience: epochs without a better validation measure before stopping early; 0 for never.
        largest: absolute value of the largest rating.

    Attributes:
        epochs: how many it does at the most: all that the solver has, or fewer.
        history: a record an epoch, as in history.jsonl.
        best: the best model so far, where the solver's last is not the one to keep.
    """

    def __init__(self, solver: Solver, patience: int, largest: float) -> None:
        self.solver, self.patience, self.largest = solver, patience, largest
        self.method = solver.method
        self.epochs = solver.epochs
        self.history: list[dict[str, Any]] = []
        self.best = Best()

    @classmethod
    def of(cls, config: TrainConfig, data: TrainingData, compute: Compute) -> "Fit":
        """The fit of the solver of these options, ready for its first epoch."""
        return cls(create(config, data, compute), config.patience, data.train.summary.largest)

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, more would change nothing, or early stopping says so."""
        done = len(self.history)
        if done == self.epochs or (done and self.history[-1]["converged"]):
            return True
        return self.best.model is not None and 0 < self.patience <= done - self.best.epoch

    def run_epoch(self, tick: Tick) -> Epoch:
        """One more epoch, or the rest of one that the tick broke off.

        Raises:
            DivergedError: a measure is not finite, or hopeless.
        """
        try:
            epoch = self.solver.run_epoch(tick)
            if not epoch.finite or epoch.train > HOPELESS * max(1.0, self.largest):
                raise DivergedError(f"{self.method.train_measure.name} {epoch.train:g}")
        except DivergedError as error:
            raise DivergedError(
                f"training diverged in {self.method.epoch_name} {len(self.history) + 1} ({error}): "
                f"{self.method.remedy}; the previous model is untouched"
            ) from None
        self._remember(epoch)
        return epoch

    def _remember(self, epoch: Epoch) -> None:
        """Add to the history, and keep the model if it is the best yet."""
        self.history.append(
            {
                "epoch": len(self.history) + 1,
                f"train_{self.method.train_measure.key}": epoch.train,
                f"validation_{self.method.validation_measure.key}": epoch.validation,
                **epoch.errors,
                "converged": epoch.converged,
                **epoch.others,
                **({"phase": epoch.phase} if epoch.phase else {}),
                **({"batch_rmse": [round(float(x), 6) for x in epoch.batch_rmse]} if self.method.of_batches else {}),
            }
        )
        if self.method.averages_samples or epoch.validation is None:
            return
        if self.method.validation_measure.better(epoch.validation, self.best.validation):
            self.best = Best(len(self.history), epoch.validation, self.solver.model())

    def measures(self, epoch: Epoch) -> Measures:
        """What an epoch is judged by, and its further errors, as progress names them."""
        named = {f"train {self.method.train_measure.name}": epoch.train}
        if epoch.validation is not None:
            named[f"val {self.method.validation_measure.name}"] = epoch.validation
        return named | {name.replace("_rmse", " RMSE"): error for name, error in epoch.errors.items()}

    def mark(self, epoch: Epoch) -> str:
        """What is special about the last epoch, in a word, as progress shows it."""
        return epoch.phase or ("best" if self.best.epoch == len(self.history) else "")

    @property
    def burn_in(self) -> int:
        """How many epochs were before the first that counts."""
        return sum("phase" in record for record in self.history)

    def measures_within(self, rmse: Callable[[], tuple[float, float]]) -> Measures:
        """What progress shows within an epoch, from what the tick tells. Of clicks an RMSE says nothing."""
        if self.method.of_clicks:
            return {}
        batch, running = rmse()
        return {"RMSE": batch, "running": running} if self.method.of_batches else {"RMSE": running}

    def kept(self) -> tuple[FactorModel, dict[str, Any]]:
        """The model to keep, and the record of its epoch: the best one's, or the last one's."""
        return self.best.model or self.solver.model(), self.history[(self.best.epoch or len(self.history)) - 1]

    def measured(self, record: dict[str, Any]) -> dict[str, Any]:
        """By what an epoch is judged, and how it was, from its record in the history."""
        measures = {"train": self.method.train_measure.key, "validation": self.method.validation_measure.key}
        which = {f"{part}_measure": key for part, key in measures.items()}
        return which | {f"{part}_{key}": record[f"{part}_{key}"] for part, key in measures.items()}

    def state(self) -> State:
        """What :meth:`load_state` needs."""
        history = State({}, {"epochs": self.history, "of": self.epochs})
        return State.joined(history=history, best=self.best.state(), solver=self.solver.state())

    def load_state(self, state: State) -> None:
        """Go on from that state. Raises ValueError, or what a solver may raise, if it is none of this solver."""
        told = state.part("history").values
        self.history = checked_epochs(told["epochs"], f"train_{self.method.train_measure.key}")
        self.epochs = typed(int, told["of"], "the number of epochs")
        self.best = Best.from_state(state.part("best"))
        if self.best.epoch > len(self.history) or not len(self.history) <= self.epochs <= self.solver.epochs:
            raise ValueError("there are more epochs than can be")
        state.part("solver").check_like(self.solver.state())
        self.solver.load_state(state.part("solver"))
