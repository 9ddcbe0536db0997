"""Progress: bars on a terminal of any width, at most ten redraws a second; a plain line an epoch elsewhere."""

import io
import os
import pty
import re
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, suppress
from pathlib import Path
from typing import Any

import pyte
import pytest

from mfcli.cli import progress
from mfcli.cli.console import pairs
from mfcli.cli.progress import Terminal, clock, epoch_text
from mfcli.models.measures import Measures
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
        "mark": "best",
        "ratings_per_second": 1e6,
        "seconds": 12.0,
        "seconds_left": 61.0,
    }
    return EpochLine(epoch, epochs, **values | more)


def redraws(text: str) -> int:
    """How often the bars were drawn: each time the epoch's bar is in it once."""
    return len(re.findall(r"epoch ━|epoch \x1b\[[0-9;]*m[━╸╺]", text))


def test_ten_redraws_a_second_however_fast_batches_and_epochs_are(screen: FakeTerminal, now: list[float]) -> None:
    asked = 0

    def measures() -> Measures:
        nonlocal asked
        asked += 1
        return {"RMSE": 0.9}

    with terminal_on(screen) as terminal, terminal.training("epoch", "batch", 1000, 0) as bars:
        for epoch in range(1, 1001):  # three seconds: an epoch of two batches every three milliseconds
            bars.batch(1, 2, measures)
            bars.batch(2, 2, measures)
            now[0] += 0.003
            bars.epoch(line(epoch, 1000))
    assert 20 <= redraws(screen.getvalue()) <= 30 + 6  # and those of the first and the last moment
    assert asked <= 31


def test_a_bar_is_redrawn_ten_times_a_second(screen: FakeTerminal, now: list[float]) -> None:
    with terminal_on(screen) as terminal, terminal.bar("ranking", 1000) as advance:
        for _ in range(1000):
            now[0] += 0.001
            advance(1)
    assert 9 <= len(re.findall("ranking", screen.getvalue())) <= 13
    assert "1,000/1,000" in CSI.sub("", screen.getvalue())


def test_bars_show_batch_running_rmse_speed_and_time_left(screen: FakeTerminal, now: list[float]) -> None:
    with terminal_on(screen) as terminal, terminal.training("epoch", "batch", 3, 1) as bars:
        bars.epoch(line(2, 3, ratings_per_second=1234567.0, seconds_left=61.0))
        now[0] += 1
        bars.batch(3, 7, lambda: {"RMSE": 0.1234, "running": 0.5678})
    shown = CSI.sub("", screen.getvalue())
    for text in ("2/3", "3/7", "RMSE 0.1234  running 0.5678", "1,234,567 ratings/s", "0:01  1:01 left"):
        assert text in shown


def lines_on(screen: FakeTerminal, width: int, height: int = 30) -> list[str]:
    """What a terminal of that size shows in the end, without empty lines."""
    emulated = pyte.Screen(width, height)
    pyte.Stream(emulated).feed(screen.getvalue().replace("\n", "\r\n"))
    return [text.rstrip() for text in emulated.display if text.strip()]


@pytest.fixture(params=[40, 60, 100])
def width(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setenv("COLUMNS", str(request.param))
    return int(request.param)


def test_a_long_run_keeps_its_last_ten_lines_and_none_wraps(screen: FakeTerminal, now: list[float], width: int) -> None:
    measures = {"train RMSE": 0.9, "val RMSE": 0.95, "sample RMSE": 0.97}
    with terminal_on(screen) as terminal, terminal.training("sweep", "block", 100, 0) as bars:
        for epoch in range(1, 101):
            now[0] += 1
            bars.batch(123456, 234567, lambda: {"RMSE": 0.5})
            now[0] += 1
            mark = "als" if epoch < 95 else "burn-in"
            bars.epoch(line(epoch, 100, measures=measures, mark=mark, seconds=3600.0 * epoch, seconds_left=36000.0))
        shown = lines_on(screen, width)
        assert re.fullmatch(r"sweep .* 100/100 .*3:20", shown[-2]), "nothing is left"
    shown = lines_on(screen, width)
    assert [text.split()[1] for text in shown[:-2]] == [f"{n}/100" for n in range(91, 101)]
    assert all(f"val RMSE 0.9500{'' if width < 60 else '  '}" in text for text in shown[:-2])
    assert [text.split()[-1] for text in shown[:-2]] == ["als"] * 4 + ["burn-in"] * 6
    assert ("sample RMSE 0.9700" in shown[0]) == (width == 100)
    assert shown[-1].split()[0] == "block"
    assert "123456/234567" in shown[-1]


def test_bars_end_full_if_all_went_well(screen: FakeTerminal, now: list[float], width: int) -> None:
    with terminal_on(screen) as terminal:
        with terminal.training("round", "block", 15, 0) as bars:  # which stops early
            bars.batch(7, 7, lambda: {"RMSE": 0.5})
            bars.epoch(line(1, 15))
        with terminal.bar("a-file-with-quite-a-long-name-that-must-not-wrap.zip", None, bytes=True) as advance:
            advance(123_456_789)
        with terminal.bar("nothing", 0):
            pass
    rounds, blocks, file, nothing = lines_on(screen, width)[1:]
    for text, amount in ((rounds, "1/1"), (blocks, "7/7"), (file, "123.5 MB"), (nothing, "0/0")):
        assert re.search(rf" (━+) +{amount}( |$)", text), text
        assert len(text) <= width


def test_bars_stay_as_they_were_if_all_did_not_go_well(screen: FakeTerminal, now: list[float]) -> None:
    with terminal_on(screen) as terminal, suppress(KeyboardInterrupt), terminal.training("round", "b", 15, 0) as bars:
        bars.epoch(line(1, 15))
        raise KeyboardInterrupt
    assert "1/15" in lines_on(screen, 80)[-2]


def test_a_low_terminal_keeps_its_bars(screen: FakeTerminal, now: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINES", "6")
    with terminal_on(screen) as terminal, terminal.training("round", "block", 15, 0) as bars:
        for epoch in range(1, 16):
            now[0] += 1
            bars.epoch(line(epoch, 15))
    assert [text.split()[0] for text in lines_on(screen, 80, height=6)] == ["round"] * 4 + ["block"]


@pytest.mark.parametrize(("variable", "value"), [("TERM", "dumb"), ("NO_COLOR", "1")])
def test_plain_terminals_get_no_colour(
    screen: FakeTerminal, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with terminal_on(screen) as terminal, terminal.training("epoch", "batch", 1, 0) as bars:
        bars.batch(1, 1, lambda: {"RMSE": 0.9})
        bars.epoch(line(1, 1))
    colours = re.findall(r"\x1b\[[0-9;]*m", screen.getvalue())
    assert not [c for c in colours if re.search(r"\b(3[0-7]|9[0-7]|38)\b", c)]
    if variable == "TERM":
        assert screen.getvalue() == epoch_text(line(1, 1)) + "\n"


def test_quiet_says_nothing_but_errors(screen: FakeTerminal) -> None:
    with terminal_on(screen, quiet=True) as terminal:
        terminal.note("note")
        terminal.warn("warning")
        with terminal.bar("bar", 1) as advance, terminal.training("epoch", "batch", 1, 0) as bars:
            advance(1)
            bars.epoch(line(1, 1))
        terminal.error("what\nis  wrong")
    assert screen.getvalue() == "mfcli: error: what is wrong\n"


def test_an_epoch_in_one_line() -> None:
    whole = "epoch  3/15  train RMSE 0.9000  val RMSE 0.9500  1,000,000 ratings/s  0:12  best"
    assert epoch_text(line(3, 15)) == whole
    plain = line(3, 15, measures={"train RMSE": 0.9}, mark="", ratings_per_second=20.4)
    assert epoch_text(plain, "round") == "round  3/15  train RMSE 0.9000  20 ratings/s  0:12"


def test_what_does_not_fit_is_left_out_the_least_important_first() -> None:
    texts = {width: epoch_text(line(3, 15), width=width) for width in range(10, 90)}
    assert all(len(text) <= width for width, text in texts.items() if text)
    assert texts[60] == "epoch  3/15  train RMSE 0.9000  val RMSE 0.9500  0:12  best"
    assert texts[50] == "epoch  3/15  val RMSE 0.9500  best"
    assert texts[40] == "epoch  3/15  val RMSE 0.9500  best"
    assert texts[29] == "epoch  3/15  val RMSE 0.9500"


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (3599, "59:59"), (3600, "1:00:00")])
def test_the_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_a_table_reads_no_markup_and_cuts_no_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [("[red]x[/red] :smile: [/]", 123456789.25), ("y" * 300, 2)]
    monkeypatch.delenv("COLUMNS", raising=False)
    assert "[red]x[/red] :smile: [/]" in table_text("[t]", ("a", "b"), rows, numeric=(1,), elsewhere="", terminal=False)
    assert "y" * 300 in table_text("", ("a", "b"), rows, numeric=(1,), elsewhere="", terminal=False)
    monkeypatch.setenv("COLUMNS", "40")
    narrow = table_text("", ("a", "b"), rows, numeric=(1,), elsewhere="", terminal=False)
    assert max(map(len, narrow.splitlines())) <= 40
    assert "123456789.25" in narrow
    assert narrow.count("y") == 300, "words are wrapped, and nothing is cut"


def test_each_element_of_a_list_has_a_line_of_its_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    rows = [(1, ["one", "  a\x1b", "  b"], 2.5), (2, ["two"], 3.5)]
    text = table_text("", ("", ["head", "  below"], "n"), rows, numeric=(0, 2), elsewhere="", terminal=False)
    assert [line.split() for line in text.splitlines()] == [
        *(["head"], ["below", "n"], ["─" * 19]),
        *(["1", "one", "2.5"], ["a\\x1b"], ["b"], ["2", "two", "3.5"]),
    ]


@pytest.mark.parametrize(
    ("width", "shown"), [("80", "name number word spare"), ("38", "name number word"), ("20", "name number")]
)
def test_a_table_leaves_out_what_is_spare_where_not_all_fits(
    monkeypatch: pytest.MonkeyPatch, width: str, shown: str
) -> None:
    monkeypatch.setenv("COLUMNS", width)
    row = ("a name", "0.1234", "some words", "1234")
    header = ("name", "number", "word", "spare")
    text = table_text("", header, [row], numeric=(1, 3), spare=(3, 2), elsewhere="--json", terminal=False)
    assert text.splitlines()[0].split() == shown.split()
    missing = ", ".join(name for name in ("word", "spare") if name not in shown)
    told = f"Too wide to show: {missing}. A wider terminal or --json shows all." if missing else ""
    assert " ".join(" ".join(text.splitlines()[3:]).split()) == told
    assert "0.1234" in text
    assert "…" not in text


def test_a_table_leaves_out_columns_in_which_nothing_is() -> None:
    rows = [("a", "", "1"), ("", "", "2")]
    text = table_text("", ("name", "genres", "n"), rows, numeric=(2,), elsewhere="--json", terminal=False)
    assert text.splitlines()[0].split() == ["name", "n"]
    assert table_text("", ("name", "n"), [], elsewhere="--json", terminal=False).split()[:2] == ["name", "n"]


def test_pairs_are_aligned() -> None:
    assert pairs("title", {"a": 1, "long": "[x]"}) == "title\n  a     1\n  long  [x]\n"
    assert pairs("", {"a": 1}) == "  a  1\n"


def test_a_long_value_is_wrapped_beside_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"long": "eighteen letters   and more-of-them", "bar": f"{12:>8}  ██"}
    monkeypatch.delenv("COLUMNS", raising=False)
    assert pairs("", values) == "  long  eighteen letters   and more-of-them\n  bar         12  ██\n"
    monkeypatch.setenv("COLUMNS", "29")
    assert pairs("", values) == "  long  eighteen letters\n        and more-of-them\n  bar         12  ██\n"


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
    assert list(dict.fromkeys(re.findall(r"epoch (\d)/3  train", shown))) == ["1", "2", "3"]
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1  # the cursor comes back
    assert max(map(len, re.split(r"[\r\n]+", shown))) <= 100
