"""``mfcli train``: fit a factor model to the training part, and learn the exposure from it."""

import contextlib
import json
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mfcli.artifacts import DATA, Artifacts, Draft, Stage
from mfcli.atomic import atomic_file, to_json
from mfcli.checkpoint import FILE as CHECKPOINT
from mfcli.checkpoint import Checkpoint, of_checkpoint
from mfcli.config.train import TrainConfig
from mfcli.data.prepared import Prepared
from mfcli.data.ratings import TrainingData
from mfcli.errors import ArtifactError, DivergedError, PeerError, Stopped, UsageError
from mfcli.judging.moved import learnt
from mfcli.models.exposure import FILE as EXPOSURE
from mfcli.models.exposure import Exposure, learn
from mfcli.models.history import FILE as HISTORY
from mfcli.models.history import Learnt
from mfcli.models.model import FILE as MODEL
from mfcli.models.run import SEARCH, TIMING, TrainedRun, open_run
from mfcli.progress import EpochLine, Progress, TrainingProgress
from mfcli.signals import SafePoints
from mfcli.solvers.base import State
from mfcli.solvers.compute import Compute, one_blas_thread, torch_threads
from mfcli.solvers.create import check_fits
from mfcli.solvers.fit import Fit
from mfcli.solvers.group import joined
from mfcli.solvers.reading import completed, read
from mfcli.solvers.start import Start
from mfcli.solvers.trials import Journal, find_settings, table
from mfcli.stage_file import STAGE_FILE

SAVE_EVERY = 1.0  # seconds at the least from one checkpoint to the next, where epochs are shorter than that


@dataclass(frozen=True)
class Trained:
    """The result: what was fitted and how well.

    Attributes:
        run: the run's name.
        path: the model's file.
        device: where it was computed.
        factors: of the model, which for gibbs are as many as its posterior mean needs.
        epochs: epochs run.
        best_epoch: the one whose weights were kept.
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


def train(config: TrainConfig, progress: Progress | None = None) -> Trained:
    """Train a model and commit it as the run ``config.run``.

    With ``config.resume`` the options are those of the run's checkpoint; one given that says otherwise is an error.

    Raises:
        ArtifactError: the prepared data or the checkpoint cannot be used, or another process writes the run.
        DataError: the training ratings are all alike.
        DivergedError: the loss is no longer finite; the previous model stays.
        Stopped: a signal came; the checkpoint has been written.
        UsageError: there is no such device, the solver does not learn from such data, or an option is not that of the
            run that is to go on.
    """
    with joined() as compute:
        return _train(config, progress or Progress(), compute)


def _train(config: TrainConfig, progress: Progress, compute: Compute) -> Trained:
    """The same in this one of the processes that do it together. Rank 0 alone locks and writes."""
    artifacts = Artifacts(config.dir)
    stage = artifacts.run(config.run)
    path = stage.path / CHECKPOINT
    compute = compute.on(config.device, config.threads)
    with contextlib.ExitStack() as stack:
        with compute.together():
            if compute.first:
                stack.enter_context(stage.lock(config.lock_timeout))
        begun = lender = None
        journal = Journal.of(stage.path)
        there, wanted = compute.told([os.path.lexists(path), config.recorded()])
        with compute.together():
            _check_options(config, wanted)
            if config.resume and there:
                begun = _begun(path, config)
                config = config.again(begun.part("run").values["config"])
            elif config.resume and journal.begun:
                config = journal.config(config)
            if config.search and compute.world > 1:
                raise UsageError("--search works in one process: train what it finds in several")
            asked = config
            if begun is None and config.lender is not None:
                lender = open_run(artifacts, config.lender)
                config = config.with_options_of(lender.record.config)
                if lender.prepared.whole and config.refit is None:
                    raise UsageError(
                        f"--warm-start {config.lender}: that run learnt from all ratings, those held out too; "
                        "begin with the one that it was refitted from"
                    )
        compute = compute.on(config.device, config.threads)
        with compute.together():
            prepared, data = artifacts.data.consistent(lambda record: read(Prepared(record), config, compute, stack))
        data, inputs = completed(data, compute), {"data": prepared.fingerprint}
        if lender is not None:
            inputs[f"run {config.lender}"] = lender.record.fingerprint
        fingerprint = compute.told(prepared.fingerprint)
        with compute.together():
            if fingerprint != prepared.fingerprint:
                raise ArtifactError("the processes have not all read the same data: train again")
            if begun is not None:
                inputs = begun.part("run").values["inputs"]
            if inputs["data"] != prepared.fingerprint:
                raise ArtifactError(f"{path} belongs to other data: train without --resume")
        if there and not config.resume:
            progress.note(f"starting anew; {path} (--resume would go on from it) will be replaced")
        if config.resume and not there and not journal.begun:
            with compute.together():
                finished = _finished(asked, stage, prepared.fingerprint)
            if finished is not None:
                progress.note(f"nothing to resume: run '{config.run}' is finished")
                return finished
            progress.note(f"no checkpoint of run '{config.run}': starting at the beginning")
            config = replace(config, resume=False)
        check_fits(config.solver, prepared.feedback, data.train)
        if begun is None and config.search:
            config = _searched(config, journal, stage, prepared, data, compute, progress)
        elif begun is None and compute.first:
            journal.path.unlink(missing_ok=True)  # it is not to go on
        with contextlib.ExitStack() as drafting, torch_threads(compute.cores):
            draft: Draft | None = None
            with compute.together():
                if compute.first:
                    replacing = stage.replace(config, inputs, device=str(compute.device), libraries=("torch",))
                    draft = drafting.enter_context(replacing)
                    prepared.record.copy_to(draft.path / DATA)  # before training, in which other data may be prepared
            run = _Run(config, stage, data, inputs, compute, progress)
            if begun is not None:
                run.load_state(begun)
            if lender is not None:
                run.take(lender, prepared)
            done = run.go(draft)
            if draft is not None and journal.begun:
                _, trials = journal.read()
                (draft.path / SEARCH).write_text(table(trials, run.solver.method.validation_measure), "utf-8")
            if stage.exists():
                progress.note(_replaced(stage))
        if compute.first:
            with atomic_file(stage.path / TIMING) as file:
                file.write(to_json({"seconds": run.seconds}).encode())
    return done


def _searched(
    config: TrainConfig,
    journal: Journal,
    stage: Stage,
    prepared: Prepared,
    data: TrainingData,
    compute: Compute,
    progress: Progress,
) -> TrainConfig:
    """The config with the settings that a search finds."""
    prepared.part("val")  # raises if there is none, with the command that makes it
    try:
        with torch_threads(compute.cores):
            return find_settings(config, journal, {"data": prepared.fingerprint}, data, compute, progress)
    except Stopped as stop:
        message = f"stopped while searching; `{stage.command} --resume` goes on from there"
        raise Stopped(stop.exit_code - 128, message) from None


def _replaced(stage: Stage) -> str:
    """What the new model takes the place of."""
    made = time.strftime("%Y-%m-%d %H:%M", time.localtime((stage.path / STAGE_FILE).lstat().st_mtime))
    try:
        record = stage.record()
        how = record.told(Learnt).judged
    except (ArtifactError, OSError):
        return f"this replaces the run of {made}, which was damaged"
    return f"this replaces the run of {made}: {record.config.get('solver')}, {how}"


def _check_options(config: TrainConfig, first: dict[str, Any]) -> None:
    """Raise UsageError unless this process has the options that the first one has."""
    if json.loads(json.dumps(config.recorded())) != first:
        raise UsageError("the processes have not all the same options: look for MFCLI_* variables on each machine")


def _begun(path: Path, config: TrainConfig) -> State:
    """The state in a checkpoint. Raises UsageError or ArtifactError if it is of other options."""
    checkpoint = Checkpoint.load(path)
    state = State(checkpoint.arrays, checkpoint.values)
    with of_checkpoint(path):
        run = state.part("run").values
        config.again(run["config"])
    flag = config.contradiction(run["config"])
    if flag is not None:
        raise UsageError(
            f"{flag}: run '{config.run}' was begun with another value: leave {flag} out, or train without --resume"
        )
    return state


def _finished(config: TrainConfig, stage: Stage, data: str) -> Trained | None:
    """The result of the run if it is finished, on data of this fingerprint and not with other options; else None."""
    if not stage.exists():
        return None
    record = stage.record()
    if record.inputs["data"] != data or config.contradiction(record.config) is not None:
        return None
    record.check()
    no_time = {"ratings_per_second": None, "seconds": 0.0, "exposure_seconds": 0.0}
    what = {"run": config.run, "path": stage.path / MODEL, "device": record.body["device"]}
    return record.told(Trained, **what, **no_time, resumed_at=record.results.get("epochs"))


class _Run:
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
        self.resumed_at = 0
        self.saved = float("-inf")

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
        made_from = {"config": self.config.recorded(), "inputs": self.inputs, "device": self.device.type}
        return State.joined(run=State({}, {**made_from, "seconds": self.seconds}), fit=self.fit.state())

    def load_state(self, state: State) -> None:
        """Go on from that state. Raises ArtifactError if it is of another kind of device."""
        device = state.part("run").values["device"]
        if device != self.device.type:
            raise ArtifactError(
                f"{self.checkpoint} was begun on {device} and this is {self.device.type}, where other bytes would come "
                "of it: go on there, or train without --resume"
            )
        with of_checkpoint(self.checkpoint):
            self.fit.load_state(state.part("fit"))
        self.resumed_at, self.earlier = self.done, state.part("run").values.get("seconds", 0.0)

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
        while not self.compute.told(self.fit.finished):
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
            if self.compute.told(not self.fit.finished and now - self.saved >= SAVE_EVERY):
                self._save()
            with self.compute.together():
                signals.check()

    def _save(self) -> None:
        """Write the checkpoint. No process goes on before it is there."""
        self.saved = time.perf_counter()
        with self.compute.together():
            if self.compute.first:
                state = self.state()
                Checkpoint(state.arrays, state.values).save(self.checkpoint)

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
        results, exposure_seconds = self.compute.told(written)
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
            **self.fit.judged(epoch),
            "epoch_name": self.solver.method.epoch_name,
            "averages_samples": self.solver.method.averages_samples,
            "burn_in": self.fit.burn_in,
            "exposure_rank": exposure.rank,
            "solver_results": self.solver.results(model),
            "explained": self.solver.explained(),
        }
        (draft.path / MODEL).write_bytes(model.to_bytes())
        (draft.path / EXPOSURE).write_bytes(exposure.to_bytes())
        with (draft.path / HISTORY).open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(record) + "\n" for record in self.fit.history)
        draft.results.update(results)
        return results, exposure_seconds
