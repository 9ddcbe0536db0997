"""mfcli's own solvers, as ``mfcli train`` runs them but with nothing written: to be fitted whole, or sweep by sweep."""

import importlib
import time
from typing import Any

import numpy.typing as npt
import torch

from mfcli.arrays import Int32s
from mfcli.config.train import TrainConfig
from mfcli.data.features import Features
from mfcli.data.ratings import Ratings, Sides
from mfcli.data.training import TrainingData
from mfcli.models.metrics import rmse
from mfcli.solvers.base import Solver
from mfcli.solvers.compute import Compute
from mfcli.solvers.create import create


def configured(solver: str, threads: int, settings: dict[str, Any]) -> TrainConfig:
    """The options of a run on ``threads`` CPU threads; imports the solver, so that no import is timed."""
    torch.set_num_threads(threads)
    importlib.import_module(f"mfcli.solvers.{solver}")
    return TrainConfig.from_mapping({"device": "cpu", "threads": threads, "solver": solver} | settings)


def created(config: TrainConfig, data: TrainingData) -> Solver:
    """The solver, ready for its first epoch."""
    return create(config, data, Compute(torch.device(config.device), config.threads))


class Ours:
    """One of our solvers as a :class:`tests.bench.peers.Fit`.

    Args:
        train, threads: as for every fit.
        solver: its name.
        test: the test part, for ``until`` only.
        features: side information, which is used then, all that the solver can; None to learn from the ratings alone.
        until: stop as soon as an epoch ends with this test RMSE or a better one; looking is not timed.
        settings: options of ``mfcli train``.
    """

    package, note = "mfcli", ""

    def __init__(
        self,
        train: Ratings,
        threads: int,
        *,
        solver: str,
        test: Ratings,
        features: Sides[Features | None] | None = None,
        until: float | None = None,
        **settings: Any,
    ) -> None:
        self.data, self.test, self.until = TrainingData(train, None, features or Sides(None, None)), test, until
        side = ["none" if features is None else "auto"]
        self.config = configured(solver, threads, {"side": side} | settings)
        self.epochs, self.outside = 0, 0.0

    def fit(self) -> None:
        solver = created(self.config, self.data)
        finished = False
        while not finished:
            converged = solver.run_epoch(lambda done, total, rmse: None).converged
            self.epochs += 1
            finished = converged or self.epochs == solver.epochs or self._good_enough(solver)
        self.model = solver.model()

    def _good_enough(self, solver: Solver) -> bool:
        if self.until is None:
            return False
        start = time.perf_counter()
        error = rmse(self.test.ratings, solver.model().predict(self.test.users, self.test.items))
        self.outside += time.perf_counter() - start
        return error <= self.until

    def predict(self, users: Int32s, items: Int32s) -> npt.NDArray[Any]:
        times = self.test.timestamps if users is self.test.users else None  # without them days count for nothing
        return self.model.predict(users, items, times)


def seconds_a_sweep(train: Ratings, solver: str, count: int, threads: int, settings: dict[str, Any]) -> float:
    """The mean of ``count`` sweeps after a first that warms up. ``settings`` are options of ``mfcli train``."""
    one = created(configured(solver, threads, settings), TrainingData(train))
    one.run_epoch(lambda done, total, rmse: None)
    start = time.perf_counter()
    for _ in range(count):
        one.run_epoch(lambda done, total, rmse: None)
    return (time.perf_counter() - start) / count
