"""What the tests share: a runner of the real command, a small finished chain, and where the real ratings are."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import typer

from mfcli.cli.app import run
from mfcli.cli.console import Output
from mfcli.cli.option import Command, options
from mfcli.config.common import Config
from mfcli.progress import Progress
from mfcli.signals import STOPPING

Result = subprocess.CompletedProcess[str]
Runner = Callable[..., Result]
Parse = Callable[..., Any]

os.environ.pop("COLUMNS", None)  # pytest-xdist sets it where tests run; tables would be as wide as that
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as in a background job of a shell
    signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # two tests run at a time, and threads that wait in a loop take the cores

SMALL = ("--users", "120", "--items", "80", "--ratings", "3000", "--rank", "2")


def clean_environment(**extra: str) -> dict[str, str]:
    """The environment without anything that would steer mfcli or its output."""
    steering = ("NO_COLOR", "COLUMNS", "PYTHONUNBUFFERED")
    kept = {k: v for k, v in os.environ.items() if not k.startswith("MFCLI_") and k not in steering}
    return kept | {"PYTHONWARNINGS": "error", "OMP_NUM_THREADS": "2"} | extra


def run_mfcli(
    *arguments: object, cwd: Path | None = None, env: dict[str, str] | None = None, **options: object
) -> Result:
    """Run ``mfcli`` as a process of its own and return what it printed and its exit code."""
    return subprocess.run(  # type: ignore[call-overload, no-any-return]
        [sys.executable, "-m", "mfcli", *map(str, arguments)],
        cwd=cwd,
        env=clean_environment(**(env or {})),
        capture_output=True,
        text=True,
        timeout=300,
        **options,
    )


def run_python(script: str, *arguments: str, cwd: Path | None = None) -> Result:
    """Run Python code as a process of its own."""
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, cwd=cwd, env=clean_environment(), capture_output=True, text=True, timeout=60)


class Listening(Progress):
    """Keeps what a stage says."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def pytest_make_parametrize_id(val: object) -> str | None:
    """No bytes in the ids of tests: compressed ones hold the time, and ids must be the same in every process."""
    return "bytes" if isinstance(val, bytes) else None


@pytest.fixture
def process(tmp_path: Path) -> Runner:
    """``process("train", "--epochs", 3)`` runs ``mfcli`` as a process of its own in the test's own folder."""

    def runner(*arguments: object, **options: object) -> Result:
        return run_mfcli(*arguments, cwd=options.pop("cwd", tmp_path), **options)  # type: ignore[arg-type]

    return runner


@pytest.fixture
def mfcli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Runner:
    """As :func:`process`, but within this process, which has imported torch already: seconds are saved each time."""

    def runner(*arguments: object, cwd: Path = tmp_path, env: Mapping[str, str] | None = None) -> Result:
        handlers = {signum: signal.getsignal(signum) for signum in STOPPING}
        capsys.readouterr()
        with monkeypatch.context() as patch:
            patch.chdir(cwd)
            for name in os.environ.keys() - clean_environment().keys():
                patch.delenv(name)
            for name, value in (env or {}).items():
                patch.setenv(name, value)
            code = run([*map(str, arguments)])
        for signum, handler in handlers.items():
            signal.signal(signum, handler)
        return subprocess.CompletedProcess(["mfcli", *map(str, arguments)], code, *capsys.readouterr())

    return runner


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An artifact directory after download, prepare and train on small synthetic data. Read only: copy to change."""
    folder = tmp_path_factory.mktemp("finished")
    for command in (("download", "synthetic", *SMALL), ("prepare",), ("train", "--epochs", 4, "--factors", 4)):
        done = run_mfcli(*command, cwd=folder)
        assert done.returncode == 0, done.stderr
    yield folder / "artifacts"
    assert [path.name for path in (folder / "artifacts/runs").iterdir() if path.is_dir()] == ["default"], "copy it"


@pytest.fixture
def artifacts(finished: Path, tmp_path: Path) -> Path:
    """A copy of :func:`finished` as ``artifacts`` in the test's own folder, where ``mfcli`` runs."""
    return Path(shutil.copytree(finished, tmp_path / "artifacts"))


@pytest.fixture
def real_data() -> Path:
    """The folder that MFCLI_TEST_DATA names; the test is skipped where it is not there."""
    folder = Path(os.environ.get("MFCLI_TEST_DATA", ""))
    if not os.environ.get("MFCLI_TEST_DATA") or not folder.is_dir():
        pytest.skip("MFCLI_TEST_DATA names no folder of real ratings")
    return folder


@pytest.fixture
def parse() -> Parse:
    """``parse(TrainConfig, "--epochs", "3")`` is the config that ``mfcli train --epochs 3`` would hand to its stage."""

    def parse(kind: type[Config], *arguments: str) -> Config:
        found: list[Config] = []

        def body(config: Config, output: Output) -> None:
            found.append(config)

        app = typer.Typer()
        app.command(cls=Command)(options(kind)(body))
        app(list(arguments), standalone_mode=False)
        return found[0]

    return parse
