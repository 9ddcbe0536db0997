"""Ten commands at once on one directory: readers see one generation, and no writer's work is lost untold."""

import json
import random
import shutil
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from mfcli.artifacts import Artifacts
from tests.test_stops import fingerprints, left_over
from tests.victims import Victim, run_victim

READERS: dict[str, tuple[object, ...]] = {
    "evaluate": ("evaluate", "--json", "-q"),
    "recommend": ("recommend", "--user", 1, "--user", 2, "-n", 3, "--format", "csv", "-q"),
    "list": ("recommend", "--list", "items", "--format", "csv", "-q"),
    "plot": ("plot", "--json", "-q"),
}
WRITERS: dict[str, tuple[object, ...]] = {
    "train 1": ("train", "--epochs", 2, "--factors", 3, "--seed", 1, "-q"),
    "train 2": ("train", "--epochs", 2, "--factors", 3, "--seed", 2, "-q"),
    "prepare": ("prepare", "--json", "-q"),
    "prepare 7": ("prepare", "--seed", 7, "--json", "-q"),
    "save": ("recommend", "--all-users", "-n", 2, "--save", "-q"),
}
ALL = READERS | WRITERS
SEEN = ("evaluate", "recommend")
"""Readers whose results tell the trainings apart."""
TOLD = ("is being written by another mfcli", "again meanwhile")
"""What one is told if somebody else was faster."""


@pytest.fixture(scope="module")
def possible(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[bytes]]:
    """What a reader may say: of each training on each data, what it says where nobody disturbs it."""
    said: dict[str, set[bytes]] = {name: set() for name in SEEN}
    for commands in ((), *((data, model) for data in ("prepare", "prepare 7") for model in ("train 1", "train 2"))):
        folder = tmp_path_factory.mktemp("possible")
        shutil.copytree(finished, folder / "artifacts")
        for name in commands:
            assert run_victim(folder, WRITERS[name]).code == 0
        for name in SEEN:
            said[name].add(run_victim(folder, READERS[name]).out)
    assert len(said["evaluate"]) == 5
    return said


@pytest.mark.parametrize("seconds", [3, pytest.param(60, marks=pytest.mark.soak)])
@pytest.mark.parametrize("killed", [0.0, 0.1], ids=["undisturbed", "killed"])
def test_ten_commands_at_once(
    finished: Path, tmp_path: Path, possible: dict[str, set[bytes]], seconds: float, killed: float
) -> None:
    """With some of them killed, too: their locks are free at once, and whoever comes next tidies up."""
    root, choice = Path(shutil.copytree(finished, tmp_path / "artifacts")), random.Random(seconds)
    running: list[tuple[str, Victim]] = []
    codes: Counter[int] = Counter()
    ends = time.monotonic() + seconds
    while running or time.monotonic() < ends:
        while len(running) < 10 and time.monotonic() < ends:
            name = choice.choice(list(ALL))
            running.append((name, Victim(tmp_path, ALL[name])))
        time.sleep(0.02)
        if choice.random() < killed:
            choice.choice(running)[1].signal(signal.SIGKILL)
        done = [one for one in running if not one[1].running]
        running = [one for one in running if one not in done]
        for name, victim in done:
            ended = victim.wait()
            codes[ended.code] += 1
            assert ended.code in (0, 3, *([-signal.SIGKILL] if killed else [])), (name, ended.err)
            if ended.code == 3:
                assert ended.err.startswith("mfcli: error: "), ended.err
                assert any(text in ended.err for text in TOLD), (name, ended.err)
            if ended.code == 0 and name in SEEN:
                assert ended.out in possible[name], name
    assert codes[0] > 0, codes
    for name in ("prepare", "train 1", "plot", "evaluate"):
        ended = run_victim(tmp_path, (*ALL[name], "--lock-timeout", 0))
        assert ended.code == 0, ended.err
    fingerprints(root)
    assert not left_over(root)
    kept = json.loads((root / "runs/default/evaluation.json").read_bytes())
    assert kept["inputs"]["model"] == Artifacts(root).run("default").record().fingerprint
    assert kept["rmse"] == json.loads(ended.out)["rmse"]
