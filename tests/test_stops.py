"""Commands that are killed or stopped between any two changes of files, or at any moment.

Afterwards each stage holds its previous result or its new one, whole; the same command again, and later ones, work.
Whoever is stopped by SIGTERM or Ctrl-C tidies up and says so by the exit code.
"""

import functools
import random
import re
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mfcli.artifacts import Artifacts
from mfcli.stage import Stage
from tests.conftest import SMALL
from tests.victims import Ended, Victim, run_victim, signal_at, tally

COMMANDS: dict[str, tuple[object, ...]] = {
    "download": ("download", "synthetic", *SMALL, "--seed", 5),
    "prepare": ("prepare", "--seed", 7, "-q"),
    "train": ("train", "--epochs", 3, "--factors", 3, "--seed", 7, "-q"),
    "train another": ("train", "--run", "r", "--epochs", 3, "--factors", 3, "-q"),
    "evaluate": ("evaluate", "--top", 5),
    "plot": ("plot",),
    "recommend": ("recommend", "--all-users", "--save"),
}
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
LEFT_OVER = ("**/.*.new", "**/.*.old", "**/.*.part", "**/.fetch*")


def stages(root: Path) -> Iterator[Stage]:
    """All that are there."""
    artifacts = Artifacts(root)
    yield from (artifacts.raw(name) for name in artifacts.downloaded())
    yield from (stage for stage in (artifacts.data, artifacts.run("default"), artifacts.run("r")) if stage.exists())
    yield from (stage for stage in (artifacts.plots("default"),) if stage.exists())


def fingerprints(root: Path) -> dict[str, str]:
    """Those of all stages, each of which is whole."""
    found = {}
    for stage in stages(root):
        record = stage.record()
        record.check()
        found[str(stage.path.relative_to(root))] = record.fingerprint
    return found


def left_over(root: Path) -> list[Path]:
    return [path for pattern in LEFT_OVER for path in root.glob(pattern)]


@functools.cache
def outcome(finished: Path, command: str) -> tuple[int, dict[str, str], dict[str, str]]:
    """How often a command changes files, and the stages before it and after it where nothing disturbs it."""
    folder = finished.parent / f"undisturbed {command}"
    root = Path(shutil.copytree(finished, folder / "artifacts"))
    ended = run_victim(folder, COMMANDS[command], functools.partial(tally, folder / "tally"))
    assert ended.code == 0, ended.err
    return (folder / "tally").stat().st_size, fingerprints(finished), fingerprints(root)


def check(finished: Path, command: str, root: Path, ended: Ended, signum: signal.Signals) -> None:
    """What holds after a command was killed or stopped, and after it has been run again."""
    _, before, after = outcome(finished, command)
    assert ended.code in (0, 128 + signum, -signum), ended.err  # by default handlers before and after it runs
    assert len(re.findall("^mfcli: error: ", ended.err, re.MULTILINE)) == (ended.code > 0), ended.err
    assert "Traceback" not in ended.err
    assert "Exception ignored" not in ended.err
    if signum != signal.SIGKILL:
        assert not left_over(root)
    now = fingerprints(root)
    for stage in before | after:
        assert now.get(stage) in (before.get(stage), after.get(stage)), stage
    reading = run_victim(root.parent, ("recommend", "--user", 1, "--format", "csv"))
    assert (reading.code, reading.out.count(b"\n")) == (0, 11), reading.err
    again = run_victim(root.parent, COMMANDS[command])
    assert again.code == 0, again.err
    assert fingerprints(root) == after
    assert not left_over(root)


@pytest.mark.parametrize(
    ("command", "moments"),
    [(command, 1) for command in COMMANDS]
    + [pytest.param(command, None, marks=pytest.mark.soak) for command in COMMANDS],
)
@pytest.mark.parametrize("signum", SIGNALS)
def test_between_two_changes_of_files(
    finished: Path, tmp_path: Path, command: str, moments: int | None, signum: signal.Signals
) -> None:
    changes, *_ = outcome(finished, command)
    everywhere = range(1, changes + 1)
    chosen = everywhere if moments is None else random.Random(f"{command} {signum}").sample(everywhere, moments)
    for moment in chosen:
        root = Path(shutil.copytree(finished, tmp_path / str(moment) / "artifacts"))
        ended = run_victim(root.parent, COMMANDS[command], functools.partial(signal_at, moment, signum))
        check(finished, command, root, ended, signum)


@pytest.mark.parametrize("times", [2, pytest.param(200, marks=pytest.mark.soak)])
@pytest.mark.parametrize("signum", SIGNALS)
def test_at_any_moment(finished: Path, tmp_path: Path, times: int, signum: signal.Signals) -> None:
    choice = random.Random(times + signum)
    for number in range(times):
        command = choice.choice(list(COMMANDS))
        root = Path(shutil.copytree(finished, tmp_path / str(number) / "artifacts"))
        running = Victim(root.parent, COMMANDS[command])
        time.sleep(choice.uniform(0.02, 0.6))
        running.signal(signum)
        check(finished, command, root, running.wait(), signum)
