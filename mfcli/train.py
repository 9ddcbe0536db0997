"""``mfcli train``: fit a factor model to the training part, and learn the exposure from it."""

import contextlib
import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from mfcli.artifacts import DATA, Artifacts
from mfcli.atomic import atomic_file, to_json
from mfcli.checkpoint import FILE as CHECKPOINT
from mfcli.checkpoint import Checkpoint, of_checkpoint
from mfcli.config.train import TrainConfig
from mfcli.data.prepared import Prepared
from mfcli.data.training import TrainingData
from mfcli.errors import ArtifactError, Stopped, UsageError
from mfcli.models.history import Learnt
from mfcli.models.model import FILE as MODEL
from mfcli.models.run import SEARCH, TIMING, open_run
from mfcli.progress import Progress
from mfcli.solvers.base import State
from mfcli.solvers.compute import Compute, torch_threads
from mfcli.solvers.create import check_fits
from mfcli.solvers.group import joined
from mfcli.solvers.reading import completed, read
from mfcli.solvers.trials import Journal, find_settings, table
from mfcli.stage import Draft, Stage
from mfcli.stage_file import STAGE_FILE
from mfcli.training import Trained, TrainingRun


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
            run = TrainingRun(config, stage, data, inputs, compute, progress)
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
