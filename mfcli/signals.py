"""SIGTERM and Ctrl-C: at once where nothing is at stake, at the next safe point where something is."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any, Self

from mfcli.errors import Stopped, StoppedAtOnce
from mfcli.ranks import place

STOPPING = (signal.SIGINT, signal.SIGTERM)
_raised: list[int] = []
"""Signals that have raised Stopped. The exception can be lost, as in C code that clears errors; SafePoints, which begin
later, then find the signal here."""
_marked: list[int] = []
"""Signals that have left a mark at SafePoints."""


def _repeated() -> bool:
    """Whether a signal is the first one again: torchrun sends its processes what the terminal has sent them already."""
    return place().world > 1 and bool(_raised or _marked)


def _raise(signum: int, frame: FrameType | None) -> None:
    if not _repeated():
        _raised.append(signum)
        raise Stopped(signum)


def _heeded() -> list[signal.Signals]:
    """The signals to act on: in the main thread those that are not ignored, as by nohup."""
    if threading.current_thread() is not threading.main_thread():
        return []
    return [one for one in STOPPING if signal.getsignal(one) not in (signal.SIG_IGN, None)]


def die_on_stop() -> None:
    """From now on SIGINT and SIGTERM end the process without a word."""
    for signum in _heeded():
        signal.signal(signum, signal.SIG_DFL)


@contextlib.contextmanager
def raise_on_stop() -> Iterator[None]:
    """Within this block SIGINT and SIGTERM raise Stopped in the main thread, so that clean-up code runs."""
    _raised.clear()
    _marked.clear()
    before = {signum: signal.signal(signum, _raise) for signum in _heeded()}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
        _raised.clear()  # what has been told once is not to stop what this process does next


def lost_stop() -> Stopped | None:
    """The stop that a library swallowed on its way up, if one did: what it raises later is of no account."""
    return Stopped(_raised[-1]) if _raised else None


class Held:
    """Within this block SIGINT and SIGTERM wait until it ends. For what takes a moment and must not be cut short."""

    def __init__(self) -> None:
        self.came: list[int] = []
        self.before: dict[int, Any] = {}

    def _note(self, signum: int, frame: FrameType | None) -> None:
        self.came.append(signum)

    def __enter__(self) -> Self:
        for signum in _heeded():
            self.before[signum] = signal.signal(signum, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        while self.before:
            signal.signal(*self.before.popitem())
        while self.came:
            signal.raise_signal(self.came.pop())

    @contextlib.contextmanager
    def released(self) -> Iterator[None]:
        """Within this block, which takes longer, they do not wait."""
        self.__exit__()
        try:
            yield
        finally:
            self.__enter__()


class SafePoints:
    """Within this block the first signal only leaves a mark, and :meth:`check` raises; a second one raises at once
    (of several processes it counts for nothing: torchrun ends by itself those that do not stop in time).

    A signal whose Stopped was lost before the block counts as the first. Outside the main thread, where Python handles
    no signals, nothing happens.
    """

    def __init__(self) -> None:
        self.signum: int | None = _raised[-1] if _raised else None
        self.before: dict[int, Any] = {}

    def _mark(self, signum: int, frame: FrameType | None) -> None:
        if _repeated():
            return
        if self.signum is not None:
            raise StoppedAtOnce(signum)
        self.signum = signum
        _marked.append(signum)

    def check(self) -> None:
        """Raise Stopped if a signal has come."""
        if self.signum is not None:
            raise Stopped(self.signum)

    def __enter__(self) -> Self:
        for signum in _heeded():
            self.before[signum] = signal.signal(signum, self._mark)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for signum, handler in self.before.items():
            signal.signal(signum, handler)
