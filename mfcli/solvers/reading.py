"""What a process reads of the prepared data: all that a solver is built from, or its own part of it."""

import contextlib
from dataclasses import asdict, replace

from mfcli.config.train import TrainConfig
from mfcli.data.prepared import Prepared
from mfcli.data.ratings import UNKNOWN, Ratings, Summary
from mfcli.data.shared import SharedRatings, TrainFile
from mfcli.data.training import TrainingData
from mfcli.solvers.compute import Compute
from mfcli.solvers.create import own


def read(
    prepared: Prepared, config: TrainConfig, compute: Compute, files: contextlib.ExitStack
) -> tuple[Prepared, TrainingData]:
    """The prepared data, and what the solver is built from: all that is read of them, or this process's own.

    Args:
        prepared: the data.
        config, compute: as the solver will be built with.
        files: keeps those open that are read again.
    """
    if config.refit is not None:
        prepared = replace(prepared, whole=True)
    validation = prepared.part("val") if prepared.has("val") else None
    if compute.world == 1 or prepared.whole:
        return prepared, TrainingData(prepared.part("train"), validation, prepared.features)
    counts = prepared.train_counts()
    file = TrainFile(files.enter_context(prepared.record.opened("train.parquet")), prepared, config.uses_time)
    chosen = own(config, counts, compute)
    summary, typical = file.summarized() if compute.first else (UNKNOWN, 0.0)
    train = SharedRatings(summary, typical, counts, file.timed, lambda: file.read(chosen), file.whole)
    return prepared, TrainingData(train, validation, prepared.features)


def completed(data: TrainingData, compute: Compute) -> TrainingData:
    """The data with what the first process alone knows."""
    if isinstance(data.train, Ratings):
        return data
    summary, typical = compute.broadcast([asdict(data.train.summary), data.train.typical])
    return replace(data, train=replace(data.train, summary=Summary(**summary), typical=typical))
