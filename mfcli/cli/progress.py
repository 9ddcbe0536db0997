"""Messages, warnings and progress on standard error."""

import contextlib
import os
import sys
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from mfcli.models.measures import Measures
from mfcli.progress import EpochLine, Progress, TrainingProgress
from mfcli.terminal import is_terminal, visible

if TYPE_CHECKING:
    from rich.console import RenderableType

REDRAW = 0.1  # seconds between redraws of a bar
LINES = 10  # epochs that stay on a terminal

Part = tuple[str, int]
"""A piece of a line, and its rank: where not all fits, the piece of the highest rank is left out first."""


class Terminal(Progress):
    """Messages, warnings and progress on standard error; ``quiet`` leaves only errors."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self.live = is_terminal(sys.stderr) and not quiet

    def say(self, text: str) -> None:
        """A line on standard error, with nothing in it that a terminal would obey."""
        try:
            sys.stderr.write(visible(text) + "\n")
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
        work = _Work(text, total, bytes)
        with _drawn(work):
            yield work.advance

    @contextlib.contextmanager
    def training(self, epoch_name: str, batch_name: str, epochs: int, done: int) -> Iterator[TrainingProgress]:
        if self.quiet:
            yield TrainingProgress()
        elif not self.live:
            yield _PlainTraining(self, epoch_name)
        else:
            live = _LiveTraining(epoch_name, batch_name, epochs, done)
            with _drawn(live):
                yield live


def clock(seconds: float) -> str:
    """Minutes and seconds, with hours where there are any."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def fitting(parts: Sequence[Part], width: int) -> str:
    """The pieces in one line of at most that width, without those that do not fit beside more important ones."""
    kept = [part for part in parts if part[0]]
    while kept and sum(len(text) + 2 for text, _ in kept) - 2 > width:
        kept.remove(max(kept, key=lambda part: part[1]))
    return "  ".join(text for text, _ in kept)


def epoch_text(line: EpochLine, epoch_name: str = "epoch", width: int = sys.maxsize) -> str:
    """An epoch, or whatever its solver calls it, in one line."""
    number = f"{epoch_name} {line.epoch:>{len(str(line.epochs))}}/{line.epochs}"
    ranks = {"val": 1, "train": 3}
    measures = [(f"{name} {value:.4f}", ranks.get(name.split()[0], 5)) for name, value in line.measures.items()]
    speed = (f"{line.ratings_per_second:,.0f} ratings/s", 6)
    return fitting([(number, 0), *measures, speed, (clock(line.seconds), 4), (line.mark, 2)], width)


class _PlainTraining(TrainingProgress):
    def __init__(self, terminal: Terminal, epoch_name: str) -> None:
        self.terminal, self.epoch_name = terminal, epoch_name

    def epoch(self, line: EpochLine) -> None:
        self.terminal.say(epoch_text(line, self.epoch_name))


class _Row(NamedTuple):
    """A bar, and what stands beside it.

    Attributes:
        name: what is counted.
        done, total: how much; None for a total that is not known.
        amount: the same in words.
        parts: what else is told, to be cut to what fits.
    """

    name: str
    done: float
    total: float | None
    amount: str
    parts: Sequence[Part]


def _bars(rows: Sequence[_Row], width: int) -> "RenderableType":
    """Bars one below the other, no wider than that many columns."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    bar = 24 if width >= 80 else 14 if width >= 60 else 8
    amounts = max(len(row.amount) for row in rows)
    names = min(max(len(row.name) for row in rows), max(7, width - bar - amounts - 20))
    table = Table.grid(padding=(0, 1))
    for row in rows:
        told = fitting(row.parts, width - names - bar - amounts - 3)
        name = Text(row.name, no_wrap=True, overflow="ellipsis")
        name.truncate(names, overflow="ellipsis", pad=True)
        total = row.total if row.total is None or row.total > 0 else 1  # rich divides by it
        table.add_row(
            name,
            ProgressBar(total=total, completed=row.done, width=bar, pulse=row.total is None),
            Text(row.amount.rjust(amounts), "progress.percentage"),
            Text(told, "progress.remaining", no_wrap=True, overflow="ellipsis"),
        )
    return table


class _Drawing(ABC):
    """Something on the terminal that is drawn again as it changes, at most every REDRAW seconds."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self.console = Console(stderr=True)
        self.live = Live(self, console=self.console, auto_refresh=False)
        self.begun, self.next = time.monotonic(), 0.0

    @abstractmethod
    def __rich__(self) -> "RenderableType":
        """What it looks like now."""

    @abstractmethod
    def finish(self) -> None:
        """All is done: from now on it looks full."""

    def draw(self) -> None:
        """Draw it if that is due."""
        now = time.monotonic()
        if now >= self.next:
            self.next = now + REDRAW
            self.live.refresh()


@contextlib.contextmanager
def _drawn(drawing: _Drawing) -> Iterator[None]:
    """Show something while the block runs, and leave it there: full if the block ends well, else as it was."""
    with drawing.live:
        yield
        drawing.finish()


class _Work(_Drawing):
    """A bar of work that is counted, in bytes or in pieces."""

    def __init__(self, text: str, total: float | None, bytes: bool) -> None:
        super().__init__()
        self.text, self.total, self.bytes = text, total, bytes
        self.done, self.full = 0.0, False

    def advance(self, amount: float) -> None:
        self.done += amount
        self.draw()

    def finish(self) -> None:
        self.full = True

    def __rich__(self) -> "RenderableType":
        seconds = time.monotonic() - self.begun
        speed = self.done / seconds if seconds > 0 else 0.0
        count = self._amount(self.done) + ("" if self.total is None else f"/{self._amount(self.total)}")
        parts = [(f"{self._amount(speed)}/s", 3), (clock(seconds), 2)]
        if self.total is not None and speed and not self.full:
            parts.append((f"{clock((self.total - self.done) / speed)} left", 1))
        done, total = (1, 1) if self.full else (self.done, self.total)
        return _bars([_Row(self.text, done, total, count, parts)], self.console.width)

    def _amount(self, amount: float) -> str:
        from rich.filesize import decimal

        return decimal(round(amount)) if self.bytes else f"{amount:,.0f}"


class _LiveTraining(_Drawing, TrainingProgress):
    """The last epochs, a line each, above a bar of the epochs and one of the batches of the present one."""

    def __init__(self, epoch_name: str, batch_name: str, epochs: int, done: int) -> None:
        super().__init__()
        self.epoch_name, self.batch_name = epoch_name, batch_name
        self.epochs, self.done = epochs, done
        self.batches, self.batches_done = 0, 0
        self.measures: Measures = {}
        self.lines: deque[EpochLine] = deque(maxlen=min(LINES, max(1, self.console.height - 3)))

    def __rich__(self) -> "RenderableType":
        from rich.console import Group
        from rich.text import Text

        width, last = self.console.width, self.lines[-1] if self.lines else None
        parts = [(clock(time.monotonic() - self.begun), 2)]
        if last is not None:
            phase = "" if last.mark == "best" else last.mark
            left = f"{clock(last.seconds_left)} left" if self.done < self.epochs else ""
            parts = [(f"{last.ratings_per_second:,.0f} ratings/s", 4), (phase, 3), *parts, (left, 1)]
        measures = [(f"{name} {value:.4f}", -place) for place, (name, value) in enumerate(self.measures.items())]
        rows = [
            _Row(self.epoch_name, self.done, self.epochs, f"{self.done}/{self.epochs}", parts),
            _Row(self.batch_name, self.batches_done, self.batches, f"{self.batches_done}/{self.batches}", measures),
        ]
        lines = (
            Text(
                epoch_text(line, self.epoch_name, width),
                "bold" if line.mark == "best" else "",
                no_wrap=True,
                overflow="ellipsis",
            )
            for line in self.lines
        )
        return Group(*lines, _bars(rows, width))

    def batch(self, done: int, total: int, measures: Callable[[], Measures]) -> None:
        self.batches_done, self.batches = done, total
        if time.monotonic() >= self.next:
            self.measures = measures()
            self.draw()

    def epoch(self, line: EpochLine) -> None:
        self.lines.append(line)
        self.done = line.epoch
        self.draw()

    def finish(self) -> None:
        self.epochs = self.done
