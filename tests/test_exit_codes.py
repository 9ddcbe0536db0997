"""Every exit code of the table, reached by a real process; an error is one line on standard error and nothing else."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mfcli.artifacts import Artifacts
from mfcli.errors import EXIT_CODES
from mfcli.signals import SafePoints
from tests.conftest import Result, Runner, clean_environment, run_mfcli, run_python

LONG = (
    "train",
    "--factors",
    "4",
    "--batch",
    "64",
    "--epochs",
    "30",
    "--patience",
    "0",
    "--threads",
    "1",
)


def assert_error(done: Result, code: int, *words: str) -> None:
    """The process ended with that code, said so in one line that has all these words, and printed no result."""
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert re.fullmatch(r"mfcli: error: [^\n]+\n", done.stderr), done.stderr
    for word in words:
        assert word in done.stderr
    assert code in EXIT_CODES


def test_0_is_success_and_says_nothing_on_standard_error(artifacts: Path) -> None:
    done = run_mfcli("evaluate", cwd=artifacts.parent)
    assert done.returncode == 0
    assert "RMSE" in done.stdout
    assert done.stderr == ""


def test_1_is_a_bug_with_its_traceback(artifacts: Path) -> None:
    """A stage that fails as no stage should."""
    script = "import mfcli.__main__ as m, mfcli.evaluate as e; e.evaluate = lambda *_: 1 / 0; m.main()"
    done = run_python(script, "evaluate", cwd=artifacts.parent)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Traceback")
    assert done.stderr.rstrip().endswith("ZeroDivisionError: division by zero")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("nonsense",), "No such command 'nonsense'"),
        (("train", "--nonsense"), "No such option"),
        (("train", "--epochs", "many"), "--epochs"),
        (("train", "--epochs", "0"), "--epochs: 0 is not in [1, 1e6]"),
        (("train", "--lr", "nan"), "--lr: nan is not in (0, inf)"),
        (("train", "--run", "../x"), "--run: '../x' is no name"),
        (("train", "--device", "cuda:99"), "--device"),
        (("train", "--config", "missing.toml"), "missing.toml: No such file"),
        (("download", "nonsense"), "nonsense"),
        (("train", "--solver", "gibbs", "--epochs", "10"), "--epochs is for --solver adam, als or ials, not for gibbs"),
        (("prepare", "--ratings", ""), "--ratings is empty"),
        (("prepare", "--ratings", "r.csv", "--ratings="), "--ratings is empty"),
        (("plot", "--output", ""), "--output is empty"),
        (("evaluate", "--against", ""), "--against is empty"),
        (("recommend", "--user", "1", "--output", "artifacts/data/test.parquet"), "lies among the artifacts"),
        (("plot", "--output", "artifacts/runs/default"), "lies among the artifacts"),
        (("recommend", "--pairs", "pairs.csv", "--top", "10"), "--top changes nothing with --pairs: leave it out"),
        (("prepare", "--ratings", "r.csv", "--encoding", "base64"), "--encoding: no encoding is called 'base64'"),
        (("prepare", "--ratings", "r.csv", "--encoding", os.fsdecode(b"\xff")), "--encoding: no encoding is called"),
        (("prepare", "--ratings", "r.csv", "--missing", os.fsdecode(b"\xff")), "--missing: '"),
        (("recommend",), "--user"),
        (("recommend", "--user", "1", "--json", "--format", "csv"), "exclude"),
    ],
)
def test_2_is_usage(process: Runner, tmp_path: Path, arguments: tuple[str, ...], word: str) -> None:
    assert_error(process(*arguments), 2, word)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("command", "next_command"),
    [
        (("prepare",), "mfcli download ml-latest-small"),
        (("train",), "mfcli prepare"),
        (("evaluate",), "mfcli train"),
        (("plot",), "mfcli train"),
        (("recommend", "--user", "1"), "mfcli train"),
    ],
)
def test_3_is_an_artifact_that_is_missing(process: Runner, command: tuple[str, ...], next_command: str) -> None:
    assert_error(process(*command), 3, f"run `{next_command}`")


def test_3_is_a_place_that_cannot_be_written(artifacts: Path, process: Runner) -> None:
    (artifacts.parent / "file").touch()
    assert_error(process("download", "synthetic", "--dir", "file/artifacts"), 3, "file/artifacts", "Not a directory")
    target = ("--user", 1, "--format", "csv", "--output")
    assert_error(process("recommend", *target, "/dev/full"), 3, "/dev/full: No space left on device")
    assert_error(process("recommend", *target, "file/x"), 3, "file")


def test_4_is_bad_data(artifacts: Path, process: Runner) -> None:
    (artifacts.parent / "own.csv").write_text("user,item,rating\n1,2,3\n1,3,much\n")
    assert_error(process("prepare", "--ratings", "own.csv"), 4, "own.csv", "line 3")
    assert_error(process("recommend", "--user", "nobody"), 4, "no user 'nobody'")


def test_5_is_a_download_that_failed(process: Runner) -> None:
    assert_error(process("download", "ml-100k", "--from", "missing.zip"), 5, "missing.zip")
    refused = ("--mirror", "http://127.0.0.1:1/", "--retries", 0)
    assert_error(process("download", "ml-100k", *refused, env={"NO_PROXY": "*", "no_proxy": "*"}), 5, "127.0.0.1:1")


def test_6_is_divergence_and_the_previous_model_stays(artifacts: Path, process: Runner) -> None:
    before = (artifacts / "runs/default/model.safetensors").read_bytes()
    assert_error(process("train", "--lr", "1e30", "--epochs", 3), 6, "diverged in epoch", "--lr")
    assert (artifacts / "runs/default/model.safetensors").read_bytes() == before
    assert process("evaluate", "-q").returncode == 0


def test_7_is_a_gate_not_met(artifacts: Path, process: Runner) -> None:
    assert_error(process("evaluate", "--max-rmse", "0.1", "-q"), 7, "above --max-rmse 0.1")
    assert process("evaluate", "--max-rmse", "5", "-q").returncode == 0
    shown = process("evaluate", "--max-rmse", "0.1", "--json")
    assert shown.returncode == 7
    assert '"passed": false' in shown.stdout


@pytest.fixture(scope="module")
def undisturbed(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The model of a training that nobody stops."""
    folder = tmp_path_factory.mktemp("undisturbed")
    artifacts = Path(shutil.copytree(finished, folder / "artifacts"))
    done = run_mfcli(*LONG, "--run", "undisturbed", cwd=folder)
    assert done.returncode == 0, done.stderr
    return (artifacts / "runs/undisturbed/model.safetensors").read_bytes()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_130_and_143_are_signals_and_resume_ends_with_the_same_model(
    artifacts: Path, undisturbed: bytes, signum: signal.Signals
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "mfcli", *LONG, "--run", "long"],
        cwd=artifacts.parent,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    lines = [process.stderr.readline(), process.stderr.readline()]
    process.send_signal(signum)
    out, rest = process.communicate(timeout=60)
    errors = [line for line in [*lines, *rest.splitlines()] if not line.startswith("epoch ")]
    assert (process.returncode, out) == (128 + signum, "")
    assert len(errors) == 1
    hint = re.fullmatch(r"mfcli: error: stopped in epoch \d+; `mfcli (train .*--resume)` goes on from there", errors[0])
    assert hint, errors[0]
    assert_error(
        run_mfcli("evaluate", "--run", "long", cwd=artifacts.parent), 3, "run `mfcli train --run long --resume`"
    )
    assert run_mfcli(*hint[1].split(), "-q", cwd=artifacts.parent).returncode == 0
    assert (artifacts / "runs/long/model.safetensors").read_bytes() == undisturbed


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_141_is_a_closed_pipe_and_silent(artifacts: Path, unbuffered: str) -> None:
    """Unbuffered, the pipe takes a part of the block and tells of no fault; nothing else is written after it."""
    command = f"{sys.executable} -m mfcli recommend --all-users -n 80 --include-seen --format csv"
    done = subprocess.run(
        ["bash", "-c", f"{command} | head -2 | head -1; exit ${{PIPESTATUS[0]}}"],
        cwd=artifacts.parent,
        env=clean_environment(PYTHONUNBUFFERED=unbuffered),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (
        141,
        "user,rank,item,title,genres,prediction,score,ranked_by\n",
        "",
    )


def test_the_lock_is_free_after_every_one_of_them(artifacts: Path, process: Runner) -> None:
    process("train", "--lr", "1e30", "--epochs", 3)
    with Artifacts(artifacts).run("default").lock(0):
        pass


def test_a_stop_that_a_library_swallows_is_told_in_place_of_what_breaks_after_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from mfcli.cli.process import exit_code

    def command() -> None:
        with contextlib.suppress(BaseException):
            signal.raise_signal(signal.SIGTERM)
        raise AttributeError("partially initialized module")

    assert exit_code(command) == 143
    assert capsys.readouterr().err.startswith("mfcli: error: stopped")
    with SafePoints() as signals:
        signals.check()  # what comes after the command is not stopped
