"""``mfcli train``: fit a factor model to the training part, and learn the exposure from it."""

import contextlib
import json
import os
import time
from dataclasses import dataclass, replace
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
from mfcli.models.model_file import FILE as MODEL
from mfcli.models.run import SEARCH, TIMING, TrainedRun, open_run
from mfcli.progress import Progress
from mfcli.solvers.base import State
from mfcli.solvers.compiled import kernels
from mfcli.solvers.compute import Compute, torch_threads
from mfcli.solvers.create import check_fits, solver_class
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
    compute = compute.on(config.device, config.threads)
    with contextlib.ExitStack() as stack:
        with compute.together():
            if compute.first:
                stack.enter_context(stage.lock(config.lock_timeout))
        task = _task(config, artifacts, stage, compute)
        compute = compute.on(task.config.device, task.config.threads)
        source = _source(task, artifacts, compute, stack)
        if task.abandons:
            progress.note(f"starting anew; {stage.path / CHECKPOINT} (--resume would go on from it) will be replaced")
        if task.config.resume and task.begun is None and not task.journal.begun:
            with compute.together():
                finished = _finished(task.asked, stage, source.prepared.fingerprint)
            if finished is not None:
                progress.note(f"nothing to resume: run '{config.run}' is finished")
                return finished
            progress.note(f"no checkpoint of run '{config.run}': starting at the beginning")
            task = replace(task, config=task.config.but(resume=False))
        check_fits(task.config.solver, source.prepared.feedback, source.data.train)
        _warn_of_factors(task.config, source.prepared, progress)
        _note_of_kernels(task.config, compute, progress)
        if task.begun is None and task.config.search:
            task = replace(task, config=_searched(task, stage, source, compute, progress))
        elif task.begun is None and compute.first:
            task.journal.path.unlink(missing_ok=True)  # it is not to go on
        return _fitted(task, stage, source, compute, progress)


@dataclass(frozen=True)
class _Task:
    """What is to be done.

    Attributes:
        asked: the options that are given, or that the run was begun with.
        config: the same; what is not given is as the lender has it.
        journal: of the run's search.
        begun: the state that it goes on from; None if it starts at the beginning.
        lender: the run whose settings or vectors it takes; None if it takes none.
        abandons: there is a state that it does not go on from.
    """

    asked: TrainConfig
    config: TrainConfig
    journal: Journal
    begun: State | None
    lender: TrainedRun | None
    abandons: bool


@dataclass(frozen=True)
class _Source:
    """What is learnt from.

    Attributes:
        prepared: the data stage, as the run reads it.
        data: what the solver is built from, or this process's own part of it.
        inputs: name -> SHA-256 of what the run is made from.
    """

    prepared: Prepared
    data: TrainingData
    inputs: dict[str, str]


def _task(config: TrainConfig, artifacts: Artifacts, stage: Stage, compute: Compute) -> _Task:
    """What these options ask for, seen what an earlier process left. Raises UsageError or ArtifactError."""
    path, journal = stage.path / CHECKPOINT, Journal.of(stage.path)
    begun = lender = None
    there, wanted = compute.broadcast([os.path.lexists(path), config.recorded()])
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
    return _Task(asked, config, journal, begun, lender, abandons=there and not config.resume)


def _source(task: _Task, artifacts: Artifacts, compute: Compute, files: contextlib.ExitStack) -> _Source:
    """What the run learns from; ``files`` keeps those open that are read again.

    Raises ArtifactError if it cannot be read, is not what all processes read, or not what the run was begun with.
    """
    config = task.config
    with compute.together():
        prepared, data = artifacts.data.consistent(lambda record: read(Prepared(record), config, compute, files))
    data, inputs = completed(data, compute), {"data": prepared.fingerprint}
    if task.lender is not None:
        inputs[f"run {config.lender}"] = task.lender.record.fingerprint
    fingerprint = compute.broadcast(prepared.fingerprint)
    with compute.together():
        if fingerprint != prepared.fingerprint:
            raise ArtifactError("the processes have not all read the same data: train again")
        if task.begun is not None:
            inputs = task.begun.part("run").values["inputs"]
        if inputs["data"] != prepared.fingerprint:
            path = artifacts.run(config.run).path / CHECKPOINT
            raise ArtifactError(f"{path} belongs to other data: train without --resume")
    return _Source(prepared, data, inputs)


def _searched(task: _Task, stage: Stage, source: _Source, compute: Compute, progress: Progress) -> TrainConfig:
    """The config with the settings that a search finds."""
    source.prepared.part("val")  # raises if there is none, with the command that makes it
    inputs = {"data": source.prepared.fingerprint}
    try:
        with torch_threads(compute.cores):
            return find_settings(task.config, task.journal, inputs, source.data, compute, progress)
    except Stopped as stop:
        message = f"stopped while searching; `{stage.command} --resume` goes on from there"
        raise Stopped(stop.exit_code - 128, message) from None


def _fitted(task: _Task, stage: Stage, source: _Source, compute: Compute, progress: Progress) -> Trained:
    """Train, and commit the run."""
    with contextlib.ExitStack() as drafting, torch_threads(compute.cores):
        draft: Draft | None = None
        with compute.together():
            if compute.first:
                device = str(compute.device)
                replacing = stage.replace(task.config, source.inputs, device=device, libraries=("torch",))
                draft = drafting.enter_context(replacing)
                source.prepared.record.copy_to(draft.path / DATA)  # before training, in which others may be prepared
        run = TrainingRun(task.config, stage, source.data, source.inputs, compute, progress)
        if task.begun is not None:
            run.load_state(task.begun)
        if task.lender is not None:
            run.take(task.lender, source.prepared)
        done = run.go(draft)
        if draft is not None and task.journal.begun:
            _, trials = task.journal.read()
            (draft.path / SEARCH).write_text(table(trials, run.solver.method.validation_measure), "utf-8")
        if stage.exists():
            progress.note(_replaced(stage))
    if compute.first:
        with atomic_file(stage.path / TIMING) as file:
            file.write(to_json({"seconds": run.seconds}).encode())
    return done


def _warn_of_factors(config: TrainConfig, prepared: Prepared, progress: Progress) -> None:
    """Warn if more factors are asked for than the data have dimensions."""
    users, items = prepared.n_users, prepared.n_items
    if config.factors > max(users, items, config.defaults()["factors"]):
        progress.warn(
            f"--factors {config.factors} are more than there are users ({users:,}) and items ({items:,}): "
            f"what is above {min(users, items):,} only takes longer"
        )


def _note_of_kernels(config: TrainConfig, compute: Compute, progress: Progress) -> None:
    """Say so if training takes longer for want of compiled kernels."""
    if solver_class(config.solver).method.of_batches:
        return
    lacking = kernels.lacking(compute)
    if lacking:
        where = "" if compute.world == 1 else f" for {lacking} of {compute.world} processes"
        progress.note(
            f"there are no compiled kernels{where}, and training takes two to three times as long: "
            "where there is a C compiler, `python -m mfcli.solvers.compiled.build` makes them"
        )


def _replaced(stage: Stage) -> str:
    """What the new model takes the place of."""
    made = time.strftime("%Y-%m-%d %H:%M", time.localtime((stage.path / STAGE_FILE).lstat().st_mtime))
    try:
        record = stage.record()
        how = record.told(Learnt).in_words
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
