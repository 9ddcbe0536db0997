"""The table of whole processes: from the published files to one user's recommendations, with mfcli and LensKit."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench import data
from tests.bench.process import Taken, run, script
from tests.bench.report import say, table

SCORER = ("-C", "lenskit.als.BiasedMFScorer", "--rating-predictor")


def lenskit(options: Any) -> Iterator[str]:
    """Seconds and peak memory of each step, and of the chain."""
    theirs, ours = script("lenskit", options.python.get("lenskit", sys.executable)), script("mfcli")
    with tempfile.TemporaryDirectory() as work:
        raw = data.download_small(Path(work) / "artifacts")
        steps = {
            "--help": ([ours, "--help"], [theirs, "--help"]),
            "prepare; data convert": ([ours, "prepare"], [theirs, "data", "convert", "--movielens", str(raw), "data"]),
            "train": ([ours, "train"], [theirs, "train", *SCORER, "-o", "model.pkl", "data"]),
            "recommend": ([ours, "recommend", "--user", "1"], [theirs, "recommend", "model.pkl", "1"]),
        }
        took = {}
        for name, commands in steps.items():
            took[name] = [_middle(command, options, Path(work)) for command in commands]
            say(f"  {name}: {took[name][0].seconds:.2f} s and {took[name][1].seconds:.2f} s")
    chain = list(took.values())[1:]
    took["the chain of the three"] = [
        Taken(sum(step[side].seconds for step in chain), max(step[side].megabytes for step in chain)) for side in (0, 1)
    ]
    yield f"ml-latest-small, whole processes, {options.threads} threads, median of {options.repeat}:"
    yield ""
    heads = ["step", "mfcli, s", "LensKit, s", "LensKit ÷ mfcli", "mfcli, peak MB", "LensKit, peak MB"]
    cells = [
        [
            name,
            f"{a.seconds:.2f}",
            f"{b.seconds:.2f}",
            f"{b.seconds / a.seconds:.1f}",
            *(f"{t.megabytes:.0f}" for t in (a, b)),
        ]
        for name, (a, b) in took.items()
    ]
    yield from table(heads, cells, 1)


def _middle(command: list[str], options: Any, folder: Path) -> Taken:
    """The medians of running a command in ``folder``, where both sides' files are."""
    several = [run(command, options.threads, folder)[1] for _ in range(options.repeat)]
    return Taken(median(t.seconds for t in several), median(t.megabytes for t in several))
