"""One training run: the epochs, the checkpoints between them, and what is kept in the end."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mfcli.checkpoint import FILE as CHECKPOINT
from mfcli.checkpoint import Checkpoint, of_checkpoint
from mfcli.config.train import TrainConfig
from mfcli.data.prepared import Prepared
from mfcli.data.training import TrainingData
from mfcli.errors import ArtifactError, DivergedError, PeerError, Stopped
from mfcli.judging.moved import learnt
from mfcli.models import model_file
from mfcli.models.exposure import FILE as EXPOSURE
from mfcli.models.exposure import Exposure, learn
from mfcli.models.history import FILE as HISTORY
from mfcli.models.model_file import FILE as MODEL
from mfcli.models.run import TrainedRun
from mfcli.progress import EpochLine, Progress, TrainingProgress
from mfcli.signals import SafePoints
from mfcli.solvers.base import State
from mfcli.solvers.compiled import kernels
from mfcli.solvers.compute import Compute, torch_threads
from mfcli.solvers.fit import Fit
from mfcli.solvers.start import Start
from mfcli.stage import Draft, Stage
from mfcli.threads import one_blas_thread
from mfcli.typed import typed

SAVE_EVERY = 1.0  # seconds at the least from one checkpoint to the next, where epochs are shorter than that
SAVE_COST = 0.02  # seconds that writing one may take at that pace: where it takes twice as long, twice as many pass
SAVE_LATEST = 60.0  # seconds that pass at the most


@dataclass(frozen=True)
class Trained:
    """The result: what was fitted and how well.

    Attributes:
        run: the run's name.
        path: the model's file.
        device: where it was computed.
        factors: of the model, which for gibbs are as many as its posterior mean needs.
        epochs: epochs run.
        best_epoch: the one whose model was kept.
        train_measure, validation_measure: which of the four that follow it was judged by.
        train_rmse, train_loss: of that epoch; None if it is not judged by that.
        validation_rmse, validation_ndcg: of that epoch; None without a validation part, or if it is not judged by that.
        epoch_name, averages_samples: of the solver, as :class:`mfcli.solvers.base.Method` has them.
        burn_in: epochs before the first that counts.
        solver_results: what else the solver says of the model.
        explained: kind of side information used -> share of the variance that it explains.
        ratings_per_second: speed of the epochs run by this process; None if it ran none.
        seconds: of this process, from the data in memory to the end of the last epoch.
        exposure_rank: how many directions of who rated what the exposure keeps.
        exposure_seconds: what learning it took then; 0 if it was there.
        resumed_at: epochs that an earlier process had finished; 0 for a fresh start.
    """

    run: str
    path: Path
    device: str
    factors: int
    epochs: int
    best_epoch: int
    train_measure: str
    validation_measure: str
    epoch_name: str
    averages_samples: bool
    solver_results: dict[str, float]
    explained: dict[str, float]
    ratings_per_second: float | None
    seconds: float
    exposure_rank: int
    exposure_seconds: float
    resumed_at: int
    train_rmse: float | None = None
    train_loss: float | None = None
    validation_rmse: float | None = None
    validation_ndcg: float | None = None
    burn_in: int = 0


class TrainingRun:
    """One training run, from the data in memory to the model on disk."""

    def __init__(
        self,
        config: TrainConfig,
        stage: Stage,
        data: TrainingData,
        inputs: dict[str, str],
        compute: Compute,
        progress: Progress,
    ) -> None:
        self.config, self.stage, self.inputs = config, stage, inputs
        self.compute, self.device, self.progress = compute, compute.device, progress
        self.started, self.earlier = time.perf_counter(), 0.0
        self.train = data.train
        self.fit = Fit.of(config, data, compute)
        self.solver = self.fit.solver
        by_kernels = self.device.type == "cpu" and not self.solver.method.of_batches
        self.kernels = kernels.kind() if by_kernels else None
        self.resumed_at = 0
        self.saved, self.save_cost = float("-inf"), 0.0  # when the last checkpoint was there, and what it took

    @property
    def checkpoint(self) -> Path:
        return self.stage.path / CHECKPOINT

    @property
    def done(self) -> int:
        """Epochs that are done."""
        return len(self.fit.history)

    @property
    def seconds(self) -> float:
        """What the run has taken until now, in earlier processes too."""
        return self.earlier + time.perf_counter() - self.started

    def state(self) -> State:
        """What :meth:`load_state` needs."""
        made_from = {"config": self.config.recorded(), "inputs": self.inputs}
        made_by = {"device": self.device.type, "kernels": self.kernels, "seconds": self.seconds}
        return State.joined(run=State({}, made_from | made_by), fit=self.fit.state())

    def load_state(self, state: State) -> None:
        """Go on from that state. Raises ArtifactError if it is of another kind of device."""
        device = state.part("run").values["device"]
        if device != self.device.type:
            raise ArtifactError(
                f"{self.checkpoint} was begun on {device} and this is {self.device.type}, where other bytes would come "
                "of it: go on there, or train without --resume"
            )
        begun = state.part("run").values.get("kernels")
        if begun != self.kernels:
            kinds = " and ".join("none" if kind is None else f"'{kind}'" for kind in (begun, self.kernels))
            self.progress.note(f"begun and gone on with other compiled kernels ({kinds}): the last bits will differ")
        with of_checkpoint(self.checkpoint):
            self.fit.load_state(state.part("fit"))
            self.earlier = typed(float, state.part("run").values.get("seconds", 0.0), "the seconds")
        self.resumed_at = self.done

    def take(self, lender: TrainedRun, prepared: Prepared) -> None:
        """Before the first epoch, take from another run what a refit or a warm start takes."""
        name = self.config.lender
        if self.config.refit is not None:
            self.fit.epochs = lender.record.results["best_epoch"]
            self.progress.note(f"refitting run '{name}' to all {len(self.train):,} {prepared.feedback}")
        if self.config.warm_start is not None:
            places = prepared.rows_among(lender.prepared)
            with torch_threads(1), one_blas_thread():  # the same bytes on any number of cores
                self.solver.begin(Start.of(lender.model, places))
            users, items = ((side < 0).sum() for side in places)
            new = f"{users:,} users and {items:,} items are new"
            self.progress.note(f"beginning with the vectors of run '{name}'; {new}")
        if self.config.refit is None and prepared.has("test"):
            test = prepared.part("test")
            known = learnt(test, prepared, lender)
            if known:
                self.progress.warn(
                    f"run '{name}' learnt from {known:,} of the {len(test):,} ratings held out now, which will flatter "
                    "this one; `mfcli prepare` with --test-users-share or --split latest keeps them apart as data grow"
                )

    def go(self, draft: Draft | None) -> Trained:
        """Run the epochs that are left and put the model into the draft, which rank 0 has."""
        method, begun = self.solver.method, (self.fit.epochs, self.resumed_at)
        with (
            SafePoints() as signals,
            self.progress.training(method.epoch_name, method.batch_name, *begun) as bars,
        ):
            try:
                self._epochs(signals, bars)
            except Stopped as stop:
                self._save()
                raise Stopped(
                    stop.exit_code - 128,
                    f"stopped in {method.epoch_name} {self.done + 1}; "
                    f"`{self.stage.command} --resume` goes on from there",
                ) from None
            except PeerError as error:
                saved = f"`{self.stage.command} --resume` goes on from the last checkpoint"
                raise PeerError(f"{error}; {saved}" if self.saved > 0 or self.resumed_at else str(error)) from None
            except DivergedError:
                if self.compute.first:
                    self.checkpoint.unlink(missing_ok=True)  # from there it would only diverge again
                raise
            seconds = time.perf_counter() - self.started
        return self._finish(draft, seconds)

    def _epochs(self, signals: SafePoints, bars: TrainingProgress) -> None:
        def tick(done: int, total: int, rmse: Any) -> None:
            bars.batch(done, total, lambda: self.fit.measures_within(rmse))
            signals.check()

        begin = time.perf_counter()
        while not self.compute.broadcast(self.fit.finished):
            before = time.perf_counter()
            with self.compute.together():
                epoch = self.fit.run_epoch(tick)
            now = time.perf_counter()
            begun, left = self.done - self.resumed_at, self.fit.epochs - self.done
            bars.epoch(
                EpochLine(
                    epoch=self.done,
                    epochs=self.fit.epochs,
                    measures=self.fit.measures(epoch),
                    mark=self.fit.mark(epoch),
                    ratings_per_second=len(self.train) / (now - before),
                    seconds=now - begin,
                    seconds_left=(now - begin) / begun * left,
                )
            )
            wait = min(SAVE_EVERY * max(1.0, self.save_cost / SAVE_COST), SAVE_LATEST)
            if self.compute.broadcast(not self.fit.finished and now - self.saved >= wait):
                self._save()
            with self.compute.together():
                signals.check()

    def _save(self) -> None:
        """Write the checkpoint. No process goes on before it is there."""
        begin = time.perf_counter()
        with self.compute.together():
            if self.compute.first:
                state = self.state()
                Checkpoint(state.arrays, state.values).save(self.checkpoint)
        self.saved = time.perf_counter()
        self.save_cost = self.saved - begin

    def _exposure(self) -> tuple[Exposure, float]:
        """The exposure, and the seconds that learning it took."""
        self.progress.note("learning exposure: who is likely to meet what")
        begin = time.perf_counter()
        exposure = learn(self.train.whole())
        return exposure, time.perf_counter() - begin

    def _finish(self, draft: Draft | None, seconds: float) -> Trained:
        self._save()  # the epochs are not lost if the exposure is not waited for
        written: tuple[dict[str, Any], float] | None = None
        with self.compute.together():
            if draft is not None:
                written = self._written(draft)
        results, exposure_seconds = self.compute.broadcast(written)
        run = self.done - self.resumed_at
        return Trained(
            run=self.config.run,
            path=self.stage.path / MODEL,
            device=str(self.device),
            ratings_per_second=run * len(self.train) / seconds if run else None,
            seconds=seconds,
            exposure_seconds=exposure_seconds,
            resumed_at=self.resumed_at,
            **results,
        )

    def _written(self, draft: Draft) -> tuple[dict[str, Any], float]:
        """Write the model and what belongs to it; its results, and the seconds that the exposure took."""
        exposure, exposure_seconds = self._exposure()
        model, epoch = self.fit.kept()
        results = {
            "factors": model.n_factors,
            "epochs": self.done,
            "best_epoch": epoch["epoch"],
            **self.fit.measured(epoch),
            "epoch_name": self.solver.method.epoch_name,
            "averages_samples": self.solver.method.averages_samples,
            "burn_in": self.fit.burn_in,
            "exposure_rank": exposure.rank,
            "solver_results": self.solver.results(model),
            "explained": self.solver.explained(),
        }
        if self.kernels is not None:
            draft.versions["kernels"] = self.kernels
        (draft.path / MODEL).write_bytes(model_file.to_bytes(model))
        (draft.path / EXPOSURE).write_bytes(exposure.to_bytes())
        with (draft.path / HISTORY).open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(record) + "\n" for record in self.fit.history)
        draft.results.update(results)
        return results, exposure_seconds
