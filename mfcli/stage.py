"""One directory of the artifact directory: written as a whole by one writer at a time, and read while others write."""

import contextlib
import os
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from mfcli.atomic import AMISS, atomic_file, naming, open_regular, remove
from mfcli.config.common import Config
from mfcli.errors import ArtifactError
from mfcli.outputs import Output
from mfcli.record import Record
from mfcli.signals import Held
from mfcli.slot import Slot
from mfcli.stage_file import STAGE_FILE, sealed, unsealed

T = TypeVar("T")

ANYTHING = ""  # no fingerprint
TRIES = 100  # to read what is replaced again and again, or lies where no file is known by its number


@dataclass
class Draft:
    """A stage being written: put its files in ``path`` and what it says of itself in ``results``.

    Attributes:
        path, results: see above.
        versions: of what shaped it beside the libraries that its writer names.
    """

    path: Path
    results: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Displaced:
    """What a promotion took the place of.

    Attributes:
        former: whether a stage was there, which is the previous one now.
        removed: whether there was a previous one already, which is gone.
    """

    former: bool
    removed: bool


@dataclass(frozen=True)
class Stage:
    """One directory of the artifact directory.

    Attributes:
        path: where it lies.
        config: the least that makes it there: no option but those that say where.
    """

    path: Path
    config: Config

    @property
    def command(self) -> str:
        """The least command that makes it."""
        return self.config.shell_line()

    @property
    def _slot(self) -> Slot:
        return Slot(self.path)

    @contextlib.contextmanager
    def lock(self, timeout: float) -> Iterator[None]:
        """Be the only writer. Waits ``timeout`` seconds, then raises ArtifactError."""
        from filelock import FileLock, Timeout  # which readers do without

        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self._slot.lock, timeout=timeout):
                self._recover(timeout)
                yield
        except Timeout:
            raise ArtifactError(
                f"{self.path} is being written by another mfcli (waited {timeout:g} s): "
                "wait for it, or raise --lock-timeout"
            ) from None

    def _recover(self, timeout: float) -> None:
        """Finish or undo the replacement or the promotion that a killed process left half-way. The lock is held."""
        self._slot.recover()
        if self._slot.promoted.exists():
            with self.previous.lock(timeout):
                self._slot.step_down()

    @property
    def previous(self) -> "Stage":
        """Where the stage stays in whose place another one was promoted."""
        return Stage(self._slot.previous.path, self.config)

    @property
    def is_previous(self) -> bool:
        """Whether it is the previous one of another, which no command of its own makes."""
        return self._slot.is_previous

    @property
    def fingerprint(self) -> str | None:
        """That of what is there, as :class:`Record` has it; None if nothing is. Raises ArtifactError."""
        return self.record().fingerprint if self.exists() else None

    def promote(self, other: "Stage", fingerprint: str, timeout: float, over: str | None = ANYTHING) -> Displaced:
        """Let another stage take this one's place; this one becomes the previous one.

        Args:
            other: the one to promote.
            fingerprint: what it has to be, as :class:`Record` has it.
            timeout: seconds to wait for each of the three locks.
            over: what has to be there until then: its fingerprint, or None for nothing.

        Raises:
            ArtifactError: one of the two was replaced meanwhile, or another process writes to one of the three.
        """
        with contextlib.ExitStack() as locks:
            for stage in {one.path: one for one in (self, self.previous, other)}.values():
                locks.enter_context(stage.lock(timeout))
            if other.fingerprint != fingerprint:
                raise other.made_again()
            if over != ANYTHING and self.fingerprint != over:
                raise self.made_again()
            former = self.exists()
            removed = former and other.path != self.previous.path and self.previous.exists()
            with Held():
                self._slot.promote(other._slot)
            return Displaced(former, removed)

    @contextlib.contextmanager
    def replace(
        self, config: Config, inputs: dict[str, str], *, device: str | None = None, libraries: tuple[str, ...] = ()
    ) -> Iterator[Draft]:
        """Write the stage anew. The lock must be held. When the block ends well, the draft takes the stage's place.

        Args:
            config: what made it.
            inputs: name -> SHA-256 of what it was made from.
            device: where it was computed.
            libraries: distributions whose versions shaped the result.
        """
        new = self._slot.new
        with Held() as signals:
            remove(new)
            new.mkdir(parents=True)
            try:
                draft = Draft(new)
                with naming(self.path):
                    with signals.released():
                        yield draft
                    _write_stage_file(draft, config, inputs, device, libraries)
            except BaseException:
                remove(new)
                raise
            self._slot.fill()

    def made_again(self) -> ArtifactError:
        """The error of one who needs it to be as it was."""
        return self._slot.made_again()

    def exists(self) -> bool:
        """Whether a finished result is there (it may still turn out to be damaged), or is on its way there."""
        return self._slot.exists()

    def record(self, lock_timeout: float = 10.0) -> Record:
        """The stage.json, read and checked. Raises ArtifactError if it is absent, cut off or altered."""
        file, slot = self.path / STAGE_FILE, self._slot
        if slot.promoted.exists():
            with self.lock(lock_timeout):  # the next one is to be promoted by now
                pass
        try:
            try:
                content, status = _read(file)
            except FileNotFoundError:
                changing = slot.old.exists() or slot.lock.exists()
                if file.is_symlink() or not changing:  # a link to nothing is no sign of a writer
                    raise
                with self.lock(lock_timeout):  # a writer is, or was killed, between its two renames
                    content, status = _read(file)
            return Record(self.path, self.config, unsealed(content), status)
        except FileNotFoundError:
            how = "a promotion leaves the former model there" if self.is_previous else f"run `{self.command}`"
            raise ArtifactError(f"{self.path} is not there yet: {how}") from None
        except OSError as error:
            if error.errno not in AMISS:
                raise
            raise slot.damaged(f"{file}: {error.strerror}", self.command) from None
        except ValueError as error:
            raise slot.damaged(f"{file} {error}", self.command) from None

    def consistent(self, read: Callable[[Record], T]) -> T:
        """``read(record)``, once more whenever another process replaced the stage meanwhile.

        The record is held: what is read of it later is of the same making. Raises ArtifactError.
        """
        tries = 0
        while True:
            record = self.record()
            try:
                record.hold()
                return read(record)
            except ArtifactError:
                tries += 1
                if record.is_current or tries == TRIES:
                    raise


def _read(file: Path) -> tuple[bytes, os.stat_result]:
    """The content and the status of a regular file. Raises OSError."""
    with open_regular(file) as opened:
        return opened.read(), os.fstat(opened.fileno())


def _write_stage_file(
    draft: Draft, config: Config, inputs: dict[str, str], device: str | None, libraries: tuple[str, ...]
) -> None:
    """Write the stage.json of a draft, once all its files are on the disk."""
    from importlib import metadata

    files = sorted(p for p in draft.path.rglob("*") if p.is_file())
    for path in files:
        with path.open("rb") as file:
            os.fsync(file.fileno())
    body = {
        "command": config.shell_line(placed=False),
        "config": config.recorded(),
        "device": device,
        "versions": {"python": platform.python_version()}
        | {name: metadata.version(name) for name in ("mfcli", "numpy", "pyarrow", *libraries)}
        | draft.versions,
        "inputs": inputs,
        "outputs": {p.relative_to(draft.path).as_posix(): Output.of(p).recorded() for p in files},
        "results": draft.results,
    }
    with atomic_file(draft.path / STAGE_FILE) as file:
        file.write(sealed(body))
