"""Progress: bars on a terminal, at most ten redraws a second; a plain line an epoch elsewhere."""

import io
import os
import pty
import re
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

import pytest

from mfcli.cli import progress
from mfcli.cli.console import pairs
from mfcli.cli.progress import Terminal, clock, epoch_text
from mfcli.progress import EpochLine
from mfcli.terminal import table_text
from tests.conftest import clean_environment

CSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class FakeTerminal(io.StringIO):
    """A terminal that counts the times something is drawn on it."""

    encoding = "utf-8"
    flushes = 0

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        raise OSError

    def flush(self) -> None:
        self.flushes += 1


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> FakeTerminal:
    screen = FakeTerminal()
    for name in ("NO_COLOR", "COLUMNS", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    return screen


@contextmanager
def terminal_on(screen: FakeTerminal, quiet: bool = False) -> Iterator[Terminal]:
    """A Terminal whose standard error is that screen."""
    with redirect_stderr(screen):
        yield Terminal(quiet)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands still unless the test moves it."""
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def line(epoch: int, epochs: int, **more: Any) -> EpochLine:
    values = {
        "measures": {"train RMSE": 0.9, "val RMSE": 0.95},
        "best": True,
        "ratings_per_second": 1e6,
        "seconds_left": 61.0,
    }
    return EpochLine(epoch, epochs, **values | more)


def redraws(text: str) -> int:
    """How often the bars were drawn: each time the epoch's bar is in it once."""
    return len(re.findall(r"epoch ━|epoch \x1b\[[0-9;]*m[━╸╺]", text))


def test_ten_redraws_a_second_however_fast_batches_and_epochs_are(screen: FakeTerminal, now: list[float]) -> None:
    asked = 0

    def rmse() -> tuple[float, float]:
        nonlocal asked
        asked += 1
        return 0.9, 0.9

    with terminal_on(screen) as terminal, terminal.training("epoch", 1000, 0) as bars:
        for epoch in range(1, 1001):  # three seconds: an epoch of two batches every three milliseconds
            bars.batch(1, 2, rmse)
            bars.batch(2, 2, rmse)
            now[0] += 0.003
            bars.epoch(line(epoch, 1000))
    assert 20 <= redraws(screen.getvalue()) <= 30 + 6  # and those of the first and the last moment
    assert asked <= 31
    shown = CSI.sub("", screen.getvalue())
    assert [int(n) for n in re.findall(r"epoch +(\d+)/1000  train", shown)] == list(range(1, 1001))


def test_a_bar_is_redrawn_ten_times_a_second(screen: FakeTerminal, now: list[float]) -> None:
    with terminal_on(screen) as terminal, terminal.bar("ranking", 1000) as advance:
        for _ in range(1000):
            now[0] += 0.001
            advance(1)
    assert 9 <= len(re.findall("ranking", screen.getvalue())) <= 13
    assert "1000/1000" in CSI.sub("", screen.getvalue())


def test_bars_show_batch_running_rmse_speed_and_time_left(screen: FakeTerminal, now: list[float]) -> None:
    with terminal_on(screen) as terminal, terminal.training("epoch", 3, 1) as bars:
        bars.epoch(line(2, 3, ratings_per_second=1234567.0, seconds_left=61.0))
        now[0] += 1
        bars.batch(3, 7, lambda: (0.1234, 0.5678))
    shown = CSI.sub("", screen.getvalue())
    for text in ("2/3", "3/7", "RMSE 0.1234, running 0.5678", "1,234,567 ratings/s", "1:01 left"):
        assert text in shown


@pytest.mark.parametrize(("variable", "value"), [("TERM", "dumb"), ("NO_COLOR", "1")])
def test_plain_terminals_get_no_colour(
    screen: FakeTerminal, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with terminal_on(screen) as terminal, terminal.training("epoch", 1, 0) as bars:
        bars.batch(1, 1, lambda: (0.9, 0.9))
        bars.epoch(line(1, 1))
    colours = re.findall(r"\x1b\[[0-9;]*m", screen.getvalue())
    assert not [c for c in colours if re.search(r"\b(3[0-7]|9[0-7]|38)\b", c)]
    if variable == "TERM":
        assert screen.getvalue() == epoch_text(line(1, 1)) + "\n"


def test_quiet_says_nothing_but_errors(screen: FakeTerminal) -> None:
    with terminal_on(screen, quiet=True) as terminal:
        terminal.note("note")
        terminal.warn("warning")
        with terminal.bar("bar", 1) as advance, terminal.training("epoch", 1, 0) as bars:
            advance(1)
            bars.epoch(line(1, 1))
        terminal.error("what\nis  wrong")
    assert screen.getvalue() == "mfcli: error: what is wrong\n"


def test_an_epoch_in_one_line() -> None:
    assert epoch_text(line(3, 15)) == "epoch  3/15  train RMSE 0.9000  val RMSE 0.9500  1,000,000 ratings/s  best"
    plain = line(3, 15, measures={"train RMSE": 0.9}, best=False, ratings_per_second=20.4)
    assert epoch_text(plain) == "epoch  3/15  train RMSE 0.9000  20 ratings/s"


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (3599, "59:59"), (3600, "1:00:00")])
def test_the_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_a_table_reads_no_markup_and_cuts_no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [("[red]x[/red] :smile: [/]", 123456789.25), ("y" * 300, 2)]
    monkeypatch.delenv("COLUMNS", raising=False)
    assert "[red]x[/red] :smile: [/]" in table_text("[t]", ("a", "b"), rows, numeric=(1,), terminal=False)
    assert "y" * 300 in table_text("", ("a", "b"), rows, numeric=(1,), terminal=False)
    monkeypatch.setenv("COLUMNS", "40")
    narrow = table_text("", ("a", "b"), rows, numeric=(1,), terminal=False)
    assert max(map(len, narrow.splitlines())) <= 40
    assert "123456789.25" in narrow


def test_pairs_are_aligned() -> None:
    assert pairs("title", {"a": 1, "long": "[x]"}) == "title\n  a     1\n  long  [x]\n"
    assert pairs("", {"a": 1}) == "  a  1\n"


def test_on_a_terminal_bars_go_to_standard_error_only(artifacts: Path) -> None:
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "mfcli", "train", "--run", "pty", "--epochs", "3", "--factors", "2"],
        cwd=artifacts.parent,
        env=clean_environment(TERM="xterm-256color", COLUMNS="100"),
        stdout=subprocess.PIPE,
        stderr=follower,
    )
    os.close(follower)
    seen = b""
    while select.select([leader], [], [], 60)[0]:
        try:
            chunk = os.read(leader, 65536)
        except OSError:  # Linux's way to say that nobody holds the other end any more
            break
        if not chunk:
            break
        seen += chunk
    os.close(leader)
    out = process.communicate()[0].decode()
    assert process.returncode == 0
    assert "\x1b" not in out
    assert out.startswith("run 'pty'\n")
    text = seen.decode()
    assert "━" in text
    shown = CSI.sub("", text)
    assert re.findall(r"epoch (\d)/3  train", shown) == ["1", "2", "3"]
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1  # the cursor comes back
    assert max(map(len, re.split(r"[\r\n]+", shown))) <= 100
