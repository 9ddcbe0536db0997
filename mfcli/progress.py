"""What a stage says while it works. The classes here say nothing; those of ``cli.progress`` speak."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class EpochLine:
    """One finished epoch, as progress tells it.

    Attributes:
        epoch, epochs: its number, from 1, and how many there may be.
        measures: what the epoch is judged by, by the name that is shown, in the order in which they are shown.
        best: whether its model is the best so far.
        ratings_per_second: its speed.
        seconds_left: until the last epoch, at this speed.
    """

    epoch: int
    epochs: int
    measures: dict[str, float]
    best: bool
    ratings_per_second: float
    seconds_left: float


class Progress:
    """What a stage says while it works. This one says nothing."""

    def note(self, text: str) -> None:
        """Something worth knowing."""

    def warn(self, text: str) -> None:
        """Something that may not be what the user wants."""

    @contextlib.contextmanager
    def bar(self, text: str, total: float | None, *, bytes: bool = False) -> Iterator[Callable[[float], None]]:
        """A bar that the block advances by calling what it is given with the work done since the last call."""
        yield lambda _: None

    @contextlib.contextmanager
    def training(self, epoch_name: str, epochs: int, done: int) -> Iterator["TrainingProgress"]:
        """Bars for a training run of ``epochs``, which are called so, and of which ``done`` lie behind it."""
        yield TrainingProgress()


class TrainingProgress:
    """What a training run says. This one says nothing."""

    def batch(self, done: int, total: int, rmse: Callable[[], tuple[float, float]]) -> None:
        """A batch is done. ``rmse()``, called only when something is drawn, gives the batch's and the running RMSE."""

    def epoch(self, line: EpochLine) -> None:
        """An epoch is done."""
