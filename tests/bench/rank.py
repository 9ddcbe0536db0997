"""One of the processes of :mod:`tests.bench.ranks`: trains as ``mfcli train`` does, and writes down what it took.

Its arguments are JSON, the options of a run, and the folder where ``RANK.json`` is to lie.
"""

import itertools
import json
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from mfcli.config.train import TrainConfig
from mfcli.progress import EpochLine, Progress, TrainingProgress
from mfcli.ranks import place
from mfcli.solvers import compute
from mfcli.train import train

exchanged = 0.0  # seconds in exchanges so far, those of waiting for others among them


@contextmanager
def timed() -> Iterator[None]:
    """In the place of :func:`mfcli.solvers.compute.exchanging`."""
    global exchanged
    start = time.perf_counter()
    yield
    exchanged += time.perf_counter() - start


class Watch(Progress, TrainingProgress):
    """Takes the time, and what else there is to take, after every epoch."""

    def __init__(self) -> None:
        self.times: list[tuple[float, float, float]] = []
        self.megabytes = 0.0

    @contextmanager
    def training(self, epoch_name: str, batch_name: str, epochs: int, done: int) -> Iterator[TrainingProgress]:
        self._take()
        yield self
        self.megabytes = peak()

    def epoch(self, line: EpochLine) -> None:
        self._take()

    def _take(self) -> None:
        self.times.append((time.perf_counter(), time.process_time(), exchanged))


def peak() -> float:
    """Megabytes of memory that this process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    torch.set_num_threads(1)
    compute.exchanging = timed
    watch = Watch()
    train(TrainConfig.from_mapping(json.loads(sys.argv[1])), watch)
    whole, cpu, inside = (
        [later - sooner for sooner, later in itertools.pairwise(times[1:])] for times in zip(*watch.times, strict=True)
    )
    told = {"seconds": whole, "cpu": cpu, "exchanged": inside, "training": watch.megabytes, "peak": peak()}
    (Path(sys.argv[2]) / f"{place().rank}.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main()
