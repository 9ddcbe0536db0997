"""Ratings in any unit: a solver sees them divided by a scale, so that its defaults serve stars and percent alike."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from mfcli.data.ratings import Ratings
from mfcli.data.shared import SharedRatings
from mfcli.models.model import FactorModel
from mfcli.solvers.base import Epoch, Solver, State, Tick
from mfcli.solvers.start import Start


def scale_of(train: Ratings | SharedRatings) -> float:
    """The power of two nearest to the standard deviation of the ratings; 1 where all are alike. For stars it is 1."""
    deviation = train.summary.std
    return float(2.0 ** round(math.log2(deviation))) if 0 < deviation < math.inf else 1.0


class Scaled(Solver):
    """A solver of ratings that were divided by ``scale``, seen from outside: all it tells is in rating points."""

    def __init__(self, solver: Solver, scale: float) -> None:
        self.solver, self.scale = solver, scale
        self.method, self.epochs = solver.method, solver.epochs

    def begin(self, start: Start) -> None:
        self.solver.begin(start.scaled(1 / self.scale))

    def run_epoch(self, tick: Tick) -> Epoch:
        def tick_in_points(done: int, total: int, rmse: Callable[[], tuple[float, float]]) -> None:
            def in_points() -> tuple[float, float]:
                batch, running = rmse()
                return batch * self.scale, running * self.scale

            tick(done, total, in_points)

        epoch = self.solver.run_epoch(tick_in_points)
        return replace(
            epoch,
            train=epoch.train * self.scale,
            validation=None if epoch.validation is None else epoch.validation * self.scale,
            batch_rmse=epoch.batch_rmse * np.float32(self.scale),
            errors=self._in_points(epoch.errors),
        )

    def _in_points(self, numbers: dict[str, float]) -> dict[str, float]:
        return {name: number * self.scale for name, number in numbers.items()}

    def model(self) -> FactorModel:
        return self.solver.model().scaled(self.scale)

    def results(self, model: FactorModel) -> dict[str, float]:
        return self._in_points(self.solver.results(model.scaled(1 / self.scale)))

    def explained(self) -> dict[str, float]:
        return self.solver.explained()

    def state(self) -> State:
        return self.solver.state()

    def load_state(self, state: State) -> None:
        self.solver.load_state(state)
