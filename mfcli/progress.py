"""What a stage says while it works. The classes here say nothing; those of ``cli.progress`` speak."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class EpochLine:
    """One finished epoch, as progress tells it.

    Attributes:
        epoch, epochs: its number, from 1, and how many there may be.
        measures: what the epoch is judged by: values by their names, in the order in which they are shown.
        mark: what is special about it, in a word: ``best`` so far, or of which phase before the first that counts.
        ratings_per_second: its speed.
        seconds: since the first epoch of this process began.
        seconds_left: until the last epoch, at this speed.
    """

    epoch: int
    epochs: int
    measures: dict[str, float]
    mark: str
    ratings_per_second: float
    seconds: float
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
    def training(self, epoch_name: str, batch_name: str, epochs: int, done: int) -> Iterator["TrainingProgress"]:
        """Bars for a training run of ``epochs``, of which ``done`` lie behind it.

        Args:
            epoch_name, batch_name: what its epochs, and the pieces of one, are called.
            epochs: how many there may be; the run may end before.
            done: how many there were before.
        """
        yield TrainingProgress()


class TrainingProgress:
    """What a training run says. This one says nothing."""

    def batch(self, done: int, total: int, measures: Callable[[], dict[str, float]]) -> None:
        """A batch is done. ``measures()``, called only when something is drawn, says how good the model is now."""

    def epoch(self, line: EpochLine) -> None:
        """An epoch is done."""
