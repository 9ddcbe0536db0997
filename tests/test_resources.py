"""A full disk, a folder that may not be written, few descriptors, little memory: one line, and nothing is lost."""

import contextlib
import errno
import functools
import os
import random
import resource
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_stops import COMMANDS, fingerprints, left_over, outcome
from tests.victims import Ended, on_change, run_victim

PAGE = resource.getpagesize()
FULL, READ_ONLY = (OSError(number, os.strerror(number)) for number in (errno.ENOSPC, errno.EROFS))
CHANGING = [command for command in COMMANDS if command != "evaluate"]


def refused_from(moment: int, error: Exception) -> None:
    """A fate: from the n-th change of a file on, all of them are refused with this error."""

    def act(passed: int) -> None:
        if passed >= moment:
            raise error

    on_change(act)


def limited(what: int, most: int) -> None:
    """A fate: it can have no more than that of a resource."""
    resource.setrlimit(what, (most, most))


def memory(more: int) -> None:
    """A fate: it may have so many bytes of memory more than it has."""
    limited(resource.RLIMIT_AS, int(Path("/proc/self/statm").read_text().split()[0]) * PAGE + more)


@contextlib.contextmanager
def small_disk(folder: Path, size: int) -> Iterator[None]:
    """A disk of so many bytes on a folder. The test is skipped where disks cannot be mounted."""
    folder.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mounting, capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def check(finished: Path, command: str, root: Path, ended: Ended) -> None:
    """It did what it was to do; or exited 3, said why in one line, and left all as it was."""
    _, before, after = outcome(finished, command)
    said = [line for line in ended.err.splitlines() if line.startswith("mfcli: error: ")]
    assert "Traceback" not in ended.err
    assert "Exception ignored" not in ended.err
    assert (ended.code, len(said)) in ((0, 0), (3, 1)), ended.err
    now = fingerprints(root)
    assert now == after if ended.code == 0 else now in (before, after)


def again(finished: Path, command: str, root: Path) -> None:
    """With all it needs, the command does what it was to do, and nothing of the failure is left."""
    ended = run_victim(root.parent, COMMANDS[command])
    assert ended.code == 0, ended.err
    assert fingerprints(root) == outcome(finished, command)[2]
    assert not left_over(root)


@pytest.mark.parametrize("times", [1, pytest.param(25, marks=pytest.mark.soak)])
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("error", [FULL, READ_ONLY, MemoryError()], ids=lambda error: type(error).__name__ + str(error))
def test_no_change_is_possible_any_more(
    finished: Path, tmp_path: Path, command: str, error: Exception, times: int
) -> None:
    choice = random.Random(f"{command} {error}")
    for turn in range(times):
        root = Path(shutil.copytree(finished, tmp_path / str(turn) / "artifacts"))
        moment = choice.randint(1, outcome(finished, command)[0])
        fate = functools.partial(refused_from, moment, error)
        check(finished, command, root, run_victim(root.parent, COMMANDS[command], fate))
        again(finished, command, root)


@pytest.mark.parametrize("times", [1, pytest.param(25, marks=pytest.mark.soak)])
@pytest.mark.parametrize("command", CHANGING)
def test_a_full_disk(finished: Path, tmp_path: Path, command: str, times: int) -> None:
    used = sum(-(-path.stat().st_size // PAGE) * PAGE for path in finished.rglob("*") if path.is_file())
    choice = random.Random(command)
    for turn in range(times):
        disk = tmp_path / str(turn)
        with small_disk(disk, used + PAGE * choice.randint(1, 60)):
            root = Path(shutil.copytree(finished, disk / "artifacts"))
            check(finished, command, root, run_victim(disk, COMMANDS[command]))
            subprocess.run(["mount", "-o", "remount,size=100m", str(disk)], check=True)
            again(finished, command, root)


def test_evaluate_shows_its_result_where_it_may_not_keep_them(finished: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(finished, tmp_path / "artifacts"))
    shown = run_victim(tmp_path, ("evaluate", "--json"))
    before = (root / "runs/default/evaluation.json").read_bytes()
    ended = run_victim(tmp_path, ("evaluate", "--json"), functools.partial(refused_from, 1, READ_ONLY))
    assert (ended.code, ended.out) == (0, shown.out)
    assert ended.err == (
        "warning: the result is not kept in artifacts/runs/default/evaluation.json: Read-only file system\n"
    )
    assert (root / "runs/default/evaluation.json").read_bytes() == before


@pytest.mark.parametrize("most", [9, pytest.param(None, marks=pytest.mark.soak)])
@pytest.mark.parametrize("command", COMMANDS)
def test_few_descriptors(finished: Path, tmp_path: Path, command: str, most: int | None) -> None:
    for count in range(5, 40) if most is None else (most,):
        root = Path(shutil.copytree(finished, tmp_path / str(count) / "artifacts"))
        fate = functools.partial(limited, resource.RLIMIT_NOFILE, count)
        check(finished, command, root, run_victim(root.parent, COMMANDS[command], fate))
        again(finished, command, root)


@pytest.mark.parametrize("megabytes", [5, pytest.param(None, marks=pytest.mark.soak)])
@pytest.mark.parametrize("command", COMMANDS)
def test_little_memory(finished: Path, tmp_path: Path, command: str, megabytes: int | None) -> None:
    for more in (0, 2, 5, 10, 20, 50, 100, 200) if megabytes is None else (megabytes,):
        root = Path(shutil.copytree(finished, tmp_path / str(more) / "artifacts"))
        fate = functools.partial(memory, more << 20)
        check(finished, command, root, run_victim(root.parent, COMMANDS[command], fate))
        again(finished, command, root)
