"""SIGKILL at every moment: what is there afterwards is whole, and the same command again ends with the same bytes.

The moments are those at which a process asks the system to change a file: it kills itself at the first, the second, ...
Its parent has imported torch, so that a victim costs milliseconds.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest

from mfcli.artifacts import Artifacts
from tests.conftest import clean_environment, run_mfcli
from tests.test_artifacts import commit, read, stage_at
from tests.victims import fork_server

TRAIN = ("train", "--run", "r", "--epochs", "4", "--factors", "4", "--batch", "500", "--patience", "0", "-q")
PREPARE = ("prepare", "--seed", "7", "-q")
CHANGES = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree"}


def _die_at(moment: int) -> None:
    """From now on count the changes of files, and die by SIGKILL just before that one; 0: never."""
    passed = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal passed
        if event in CHANGES or (event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR)):
            passed += 1
            if passed == moment:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def _command(folder: Path, moment: int, arguments: tuple[str, ...]) -> None:
    import mfcli.training
    from mfcli.cli.app import run

    mfcli.training.SAVE_EVERY = 0.0
    os.chdir(folder)
    _die_at(moment)
    sys.exit(run(list(arguments)))


def _commit(folder: Path, moment: int, text: str) -> None:
    _die_at(moment)
    commit(stage_at(folder / "data"), text)


def _promote(folder: Path, moment: int) -> None:
    candidate = stage_at(folder / "candidate")
    fingerprint = candidate.record().fingerprint
    _die_at(moment)
    stage_at(folder / "default").promote(candidate, fingerprint, 1)


@pytest.fixture(scope="module")
def victims() -> ForkServerContext:
    """Processes forked from one that has imported what the commands need, and has computed nothing."""
    return fork_server()


def _survives(victims: ForkServerContext, target: Callable[..., None], *arguments: Any) -> bool:
    """Run it in a process of its own: True if it came to its end, False if it was killed."""
    process = victims.Process(target=target, args=arguments)
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode == 0


def _contents(folder: Path, *patterns: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for pattern in patterns for path in sorted(folder.glob(pattern))}


@pytest.fixture(scope="module")
def undisturbed(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What the two commands make where nobody disturbs them."""
    folder = tmp_path_factory.mktemp("undisturbed")
    shutil.copytree(finished, folder / "artifacts")
    assert run_mfcli(*TRAIN, cwd=folder).returncode == 0
    assert run_mfcli(*PREPARE, cwd=folder).returncode == 0
    return _contents(folder / "artifacts", "data/*.parquet", "runs/r/*.safetensors", "runs/r/history.jsonl")


@pytest.mark.parametrize("before", ["nothing", "old"])
def test_a_stage_is_old_or_new_whenever_its_writer_dies(
    victims: ForkServerContext, tmp_path: Path, before: str
) -> None:
    moments = 0
    finished = False
    while not finished:
        moments += 1
        folder = tmp_path / str(moments)
        stage = stage_at(folder / "data")
        if before == "old":
            commit(stage, "old")
        finished = _survives(victims, _commit, folder, moments, "new")
        if stage.exists() or before == "old":
            assert stage.consistent(read) in ("old", "new")
        commit(stage, "last")
        assert stage.consistent(read) == "last"
        assert sorted(os.listdir(folder)) == [".data.lock", "data"]
    assert moments > 8


@pytest.mark.parametrize("before", [{}, {"default": "old"}, {"default": "old", "default.previous": "older"}])
def test_a_promotion_is_not_begun_or_done_whenever_its_process_dies(
    victims: ForkServerContext, tmp_path: Path, before: dict[str, str]
) -> None:
    moments, finished = 0, False
    while not finished:
        moments += 1
        folder = tmp_path / str(moments)
        named = {name: stage_at(folder / name) for name in ("default", "default.previous", "candidate")}
        for name, text in (before | {"candidate": "new"}).items():
            commit(named[name], text)
        finished = _survives(victims, _promote, folder, moments)
        served = named["default"].consistent(read) if before or named["default"].exists() else None
        assert served in (before.get("default"), "new")
        with named["default"].lock(1), named["default.previous"].lock(1):  # whoever is next to write finishes it
            pass
        found = {name: stage.consistent(read) for name, stage in named.items() if stage.exists()}
        promoted = {"default": "new"} | ({"default.previous": "old"} if before else {})
        assert found in (before | {"candidate": "new"}, promoted)
        if found != promoted:
            named["default"].promote(named["candidate"], named["candidate"].record().fingerprint, 1)
        assert {name: stage.consistent(read) for name, stage in named.items() if stage.exists()} == promoted
        assert sorted(name for name in os.listdir(folder) if not name.endswith(".lock")) == sorted(promoted)
    assert moments > 4


def test_prepare_killed_at_any_moment(
    victims: ForkServerContext, finished: Path, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    old = Artifacts(finished).data.record().fingerprint
    moment, ended = 1, False
    while not ended:
        folder = tmp_path / str(moment)
        artifacts = Artifacts(Path(shutil.copytree(finished, folder / "artifacts")))
        ended = _survives(victims, _command, folder, moment, PREPARE)
        record = artifacts.data.record()
        record.check()
        if record.fingerprint != old:
            assert _contents(artifacts.root, "data/*.parquet").items() <= undisturbed.items()
        assert _survives(victims, _command, folder, 0, PREPARE)
        assert _contents(artifacts.root, "data/*.parquet").items() <= undisturbed.items()
        assert not list(artifacts.root.glob(".data.[no]*"))
        moment += 1
    assert moment > 8


def test_train_killed_at_any_moment_and_resumed(
    victims: ForkServerContext, finished: Path, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    moment, ended = 1, False
    while not ended:
        folder = tmp_path / str(moment)
        artifacts = Artifacts(Path(shutil.copytree(finished, folder / "artifacts")))
        ended = _survives(victims, _command, folder, moment, TRAIN)
        if artifacts.run("r").exists():
            artifacts.run("r").record().check()
        assert _survives(victims, _command, folder, 0, (*TRAIN, "--resume"))
        run = _contents(artifacts.root, "runs/r/*.safetensors", "runs/r/history.jsonl")
        assert len(run) == 3
        assert run.items() <= undisturbed.items()
        assert not list(artifacts.root.glob("runs/.r.[no]*"))
        assert not (artifacts.run("r").path / "checkpoint.safetensors").exists()
        moment += 1
    assert moment > 12


def test_evaluate_killed_at_any_moment_of_a_promotion(
    victims: ForkServerContext, finished: Path, tmp_path: Path
) -> None:
    before = Artifacts(Path(shutil.copytree(finished, tmp_path / "before")))
    train = ("train", "--dir", "before", "--run", "candidate", "--epochs", "1", "--factors", "2", "-q")
    assert _survives(victims, _command, tmp_path, 0, train)
    old, new = (before.run(name).record().fingerprint for name in ("default", "candidate"))
    moment, ended = 1, False
    while not ended:
        folder = tmp_path / str(moment)
        artifacts = Artifacts(Path(shutil.copytree(before.root, folder / "artifacts")))
        ended = _survives(
            victims, _command, folder, moment, ("evaluate", "--run", "candidate", "--promote", "default", "-q")
        )
        served = artifacts.run("default").record()
        served.check()
        assert served.fingerprint in (old, new)
        assert _survives(victims, _command, folder, 0, ("evaluate", "-q"))
        names = (
            ("default.previous", "default") if artifacts.run("default.previous").exists() else ("default", "candidate")
        )
        assert [artifacts.run(name).record().fingerprint for name in names] == [old, new]
        moment += 1
    assert moment > 5


def test_train_killed_again_and_again_by_the_clock(
    victims: ForkServerContext, finished: Path, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    """Between two changes of files, too: while it computes."""
    artifacts = Path(shutil.copytree(finished, tmp_path / "artifacts"))
    for milliseconds in (10, 20, 40, 60, 80, 100, 120):
        process = victims.Process(target=_command, args=(tmp_path, 0, (*TRAIN, "--resume")))
        process.start()
        process.join(milliseconds / 1000)
        process.kill()
        process.join()
    assert _survives(victims, _command, tmp_path, 0, (*TRAIN, "--resume"))
    assert _contents(artifacts, "runs/r/*.safetensors", "runs/r/history.jsonl").items() <= undisturbed.items()


def test_two_trainings_at_once_do_not_mix(artifacts: Path, undisturbed: dict[str, bytes]) -> None:
    command = [sys.executable, "-m", "mfcli", *TRAIN]
    pair = [
        subprocess.Popen(
            [*command, *more], cwd=artifacts.parent, env=clean_environment(), stderr=subprocess.PIPE, text=True
        )
        for more in ((), ("--lock-timeout", "0"))
    ]
    ends = [(one.communicate()[1], one.returncode) for one in pair]
    assert {code for _, code in ends} <= {0, 3}
    assert 0 in {code for _, code in ends}
    for message, code in ends:
        assert message.count("\n") == (1 if code else 0)
    Artifacts(artifacts).run("r").record().check()
    assert _contents(artifacts, "runs/r/*.safetensors", "runs/r/history.jsonl").items() <= undisturbed.items()
