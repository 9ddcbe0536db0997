"""Messages, warnings and progress on standard error."""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from mfcli.progress import EpochLine, Progress, TrainingProgress
from mfcli.terminal import is_terminal

if TYPE_CHECKING:
    import rich.progress

REDRAW = 0.1  # seconds between redraws of a progress bar


class Terminal(Progress):
    """Messages, warnings and progress on standard error; ``quiet`` leaves only errors."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self.live = is_terminal(sys.stderr) and not quiet

    def say(self, text: str) -> None:
        """A line on standard error, as it is."""
        try:
            sys.stderr.write(text + "\n")
            sys.stderr.flush()
        except OSError:  # nobody listens; go on, and let Python's own flush at exit succeed
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())

    def note(self, text: str) -> None:
        if not self.quiet:
            self.say(text)

    def warn(self, text: str) -> None:
        self.note(f"warning: {text}")

    def error(self, text: str) -> None:
        """The one line of an error."""
        self.say("mfcli: error: " + " ".join(text.split()))

    @contextlib.contextmanager
    def bar(self, text: str, total: float | None, *, bytes: bool = False) -> Iterator[Callable[[float], None]]:
        if not self.live:
            yield lambda _: None
            return
        from rich import progress as rp

        counts = [rp.DownloadColumn(), rp.TransferSpeedColumn()] if bytes else [rp.MofNCompleteColumn()]
        columns = [rp.TextColumn("{task.description}", markup=False), rp.BarColumn(), *counts, rp.TimeRemainingColumn()]
        with _bars(*columns) as bars:
            task = bars.add_task(text, total=total)
            redraw = _Throttle()

            def advance(amount: float) -> None:
                bars.advance(task, amount)
                if redraw.due():
                    bars.refresh()

            yield advance
            bars.refresh()

    @contextlib.contextmanager
    def training(self, epoch_name: str, epochs: int, done: int) -> Iterator[TrainingProgress]:
        if self.quiet:
            yield TrainingProgress()
        elif not self.live:
            yield _PlainTraining(self, epoch_name)
        else:
            from rich import progress as rp

            with _bars(
                rp.TextColumn("{task.description:<5}"),
                rp.BarColumn(bar_width=24),
                rp.MofNCompleteColumn(),
                rp.TextColumn("{task.fields[numbers]}"),
                rp.TextColumn("{task.fields[left]}", style="progress.remaining"),
            ) as bars:
                live = _LiveTraining(bars, epoch_name, epochs, done)
                try:
                    yield live
                finally:
                    live.draw()


def _bars(*columns: "rich.progress.ProgressColumn") -> "rich.progress.Progress":
    """Bars on standard error that are redrawn only when told to."""
    from rich.console import Console
    from rich.progress import Progress as Bars

    return Bars(*columns, console=Console(stderr=True), auto_refresh=False)


class _Throttle:
    """Says when a redraw is due: REDRAW seconds after the last one."""

    def __init__(self) -> None:
        self.next = 0.0

    def due(self) -> bool:
        now = time.monotonic()
        if now < self.next:
            return False
        self.next = now + REDRAW
        return True


def clock(seconds: float) -> str:
    """Minutes and seconds, with hours where there are any."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def epoch_text(line: EpochLine, epoch_name: str = "epoch") -> str:
    """An epoch, or whatever its solver calls it, in one line."""
    width = len(str(line.epochs))
    measures = [f"{name} {value:.4f}" for name, value in line.measures.items()]
    speed, best = f"{line.ratings_per_second:,.0f} ratings/s", ["best"] if line.best else []
    return "  ".join([f"{epoch_name} {line.epoch:>{width}}/{line.epochs}", *measures, speed, *best])


class _PlainTraining(TrainingProgress):
    def __init__(self, terminal: Terminal, epoch_name: str) -> None:
        self.terminal, self.epoch_name = terminal, epoch_name

    def epoch(self, line: EpochLine) -> None:
        self.terminal.say(epoch_text(line, self.epoch_name))


class _LiveTraining(TrainingProgress):
    def __init__(self, bars: "rich.progress.Progress", epoch_name: str, epochs: int, done: int) -> None:
        self.bars, self.epoch_name, self.redraw = bars, epoch_name, _Throttle()
        self.epochs = bars.add_task(epoch_name, total=epochs, completed=done, numbers="", left="")
        self.batches = bars.add_task("batch", total=None, numbers="", left="")
        self.lines: list[tuple[str, str]] = []  # text and style of the epochs since the last redraw

    def draw(self) -> None:
        """The epochs' lines, above the bars, and the bars."""
        from rich.text import Text

        if self.lines:
            self.bars.print(Text("\n").join(Text(text, style) for text, style in self.lines))
            self.lines.clear()
            self.redraw.next += REDRAW  # printing draws the bars too, as they were
        self.bars.refresh()

    def batch(self, done: int, total: int, rmse: Callable[[], tuple[float, float]]) -> None:
        if not self.redraw.due():
            return
        batch, running = rmse()
        numbers = f"RMSE {batch:.4f}, running {running:.4f}"
        self.bars.update(self.batches, completed=done, total=total, numbers=numbers)
        self.draw()

    def epoch(self, line: EpochLine) -> None:
        self.lines.append((epoch_text(line, self.epoch_name), "bold" if line.best else ""))
        numbers = f"{line.ratings_per_second:,.0f} ratings/s"
        self.bars.update(self.epochs, completed=line.epoch, numbers=numbers, left=f"{clock(line.seconds_left)} left")
        if self.redraw.due():
            self.draw()
