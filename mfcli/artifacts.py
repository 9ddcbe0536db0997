"""The artifact directory: what lies where, how it is replaced as a whole, and how it is checked.

    raw/<dataset>/   data/   runs/<run>/     each a stage, each with a stage.json

A run keeps in ``data/`` of its own a copy of the data that it was trained on, so that it lives on whatever is prepared.

A stage is written to a hidden sibling and then takes its place by rename, so that whoever looks sees the previous
result or the new one. ``stage.json`` names every file with its SHA-256; readers check the bytes they read.
"""

import contextlib
import hashlib
import os
import platform
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import IO, Any, TypeVar, cast

from filelock import FileLock, Timeout

from mfcli.atomic import AMISS, PART, atomic_file, link, naming, open_regular, remove, sha256
from mfcli.config.common import Config
from mfcli.config.download import DownloadConfig
from mfcli.config.plot import PlotConfig
from mfcli.config.prepare import PrepareConfig
from mfcli.config.train import TrainConfig
from mfcli.errors import ArtifactError, UsageError
from mfcli.signals import Held
from mfcli.stage_file import STAGE_FILE, seal, sealed, unsealed
from mfcli.typed import typed

T = TypeVar("T")

DATA = "data"  # the prepared ratings; in a run, its copy of those that it was trained on


def _content(file: Path | int) -> bytes:
    """The bytes of a regular file, or of one that is open. Raises OSError."""
    with open_regular(file) if isinstance(file, Path) else open(file, "rb", closefd=False) as opened:
        opened.seek(0)
        return opened.read()


@dataclass(frozen=True, eq=False)
class Record:
    """A stage's stage.json, read and checked.

    Attributes:
        stage: where it lies.
        body: what it says.
        keeper: the record of the stage that keeps this one as a copy in a folder of its own; None of the stage itself.
    """

    stage: "Stage"
    body: dict[str, Any]
    keeper: "Record | None" = None
    _held: dict[str, int] = field(default_factory=dict, init=False)

    @property
    def config(self) -> dict[str, Any]:
        """The options that made it."""
        return dict(self.body["config"])

    @property
    def results(self) -> dict[str, Any]:
        """What its maker says of it."""
        return dict(self.body["results"])

    @property
    def inputs(self) -> dict[str, str]:
        """What it was made from: name -> SHA-256."""
        return dict(self.body["inputs"])

    @property
    def files(self) -> dict[str, str]:
        """Its files: name -> SHA-256."""
        return {name: entry["sha256"] for name, entry in self.body["outputs"].items()}

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the names and checksums of the stage's files: the same files, the same fingerprint."""
        return seal(self.files)

    @property
    def made_by(self) -> str:
        """The command that made it, with all options, in the artifact directory where it lies now."""
        try:
            return self.stage.config.again(self.config).shell_line()
        except UsageError:  # made by a version of mfcli that has other options
            return self.stage.command

    @property
    def command(self) -> str:
        """The command that puts it there again: of a copy that which makes its keeper."""
        return self.made_by if self.keeper is None else self.keeper.command

    def damaged(self, what: str) -> ArtifactError:
        """The error of which ``what`` says what is wrong."""
        return ArtifactError(f"{what}: run `{self.command}` again")

    def told(self, kind: type[T], **more: Any) -> T:
        """What its maker says of it, and more, as a dataclass of that kind. Raises ArtifactError."""
        try:
            return cast(T, typed(kind, self.results | more, "results"))
        except ValueError as error:
            raise self.damaged(f"{self.stage.path / STAGE_FILE} is damaged: {error}") from None

    @contextlib.contextmanager
    def reading(self, name: str) -> Iterator[Path]:
        """The path of one of its files. A ValueError of its content becomes an ArtifactError that names it."""
        path = self.stage.path / name
        try:
            yield path
        except OSError as error:
            if error.errno not in AMISS:
                raise
            raise self.damaged(f"{path}: {error.strerror}") from None
        except ValueError as error:
            raise self.damaged(f"{path} is damaged: {' '.join(str(error).split())}") from None

    def hold(self) -> None:
        """Open the files now, so that all that is read of them is of one making, whatever takes the stage's place.

        What cannot be opened is complained of when it is read. Raises ArtifactError if it was replaced meanwhile.
        """
        for name in self.files:
            with contextlib.suppress(OSError), open_regular(self.stage.path / name) as file:
                self._held[name] = os.dup(file.fileno())
                weakref.finalize(self, os.close, self._held[name])
        if self.stage.record().body != self.body:
            raise ArtifactError(f"{self.stage.path} was made again meanwhile: run this command again")

    def read(self, name: str) -> bytes:
        """A file's bytes, after comparing them with their checksum. Raises ArtifactError."""
        if self.keeper is not None:
            return self.keeper.read(self._kept_as(name))
        with self.reading(name) as path:
            content = _content(self._held.get(name, path))
        if hashlib.sha256(content).hexdigest() != self.files.get(name):
            raise self.damaged(f"{path} is not what {STAGE_FILE} says")
        return content

    def read_as(self, name: str, make: Callable[[bytes], T]) -> T:
        """What is made of a file's bytes. Raises ArtifactError, also if ``make`` raises ValueError."""
        content = self.read(name)
        with self.reading(name):
            return make(content)

    def opened(self, name: str) -> IO[bytes]:
        """A file open for reading, after comparing it with its checksum a piece at a time. Raises ArtifactError."""
        if self.keeper is not None:
            return self.keeper.opened(self._kept_as(name))
        with self.reading(name) as path:
            file = os.fdopen(os.dup(self._held[name]), "rb") if name in self._held else open_regular(path)
        file.seek(0)
        if hashlib.file_digest(file, "sha256").hexdigest() != self.files.get(name):
            file.close()
            raise self.damaged(f"{path} is not what {STAGE_FILE} says")
        return file

    def _kept_as(self, name: str) -> str:
        """What the keeper calls a file of this copy."""
        assert self.keeper is not None
        return (self.stage.path / name).relative_to(self.keeper.stage.path).as_posix()

    def check(self) -> None:
        """Compare every file with its checksum, without holding it in memory. Raises ArtifactError."""
        for name, checksum in self.files.items():
            with self.reading(name) as path:
                same = sha256(path) == checksum
            if not same:
                raise self.damaged(f"{path} is not what {STAGE_FILE} says")

    def copy_to(self, folder: Path) -> None:
        """Keep the stage as it is, whatever becomes of it: all of it in a new folder, which costs no disk if it can.

        Raises ArtifactError if it is damaged, or was replaced meanwhile.
        """
        for name, checksum in self.files.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with self.reading(name) as source:
                link(source, target)
            if sha256(target) != checksum:
                raise self.damaged(f"{source} is not what {STAGE_FILE} says")
        (folder / STAGE_FILE).write_bytes(sealed(self.body))

    def kept(self, folder: str, config: Config) -> "Record":
        """The record of a stage of that config, whose copy lies in this folder of ours. Raises ArtifactError."""
        body = self.read_as(f"{folder}/{STAGE_FILE}", unsealed)
        return Record(Stage(self.stage.path / folder, config), body, keeper=self)


@dataclass
class Draft:
    """A stage being written: put its files in ``path`` and what it says of itself in ``results``."""

    path: Path
    results: dict[str, Any] = field(default_factory=dict)


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

    def _sibling(self, ending: str) -> Path:
        return self.path.parent / f".{self.path.name}.{ending}"

    def _damaged(self, what: str) -> ArtifactError:
        return ArtifactError(f"{what}: run `{self.command}` again")

    @contextlib.contextmanager
    def lock(self, timeout: float) -> Iterator[None]:
        """Be the only writer. Waits ``timeout`` seconds, then raises ArtifactError."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self._sibling("lock"), timeout=timeout):
                self._recover(timeout)
                yield
        except Timeout:
            raise ArtifactError(
                f"{self.path} is being written by another mfcli (waited {timeout:g} s): "
                "wait for it, or raise --lock-timeout"
            ) from None

    def _recover(self, timeout: float) -> None:
        """Finish or undo the replacement or the promotion that a killed process left half-way. The lock is held."""
        old, new = self._sibling("old"), self._sibling("new")
        if old.exists() and not os.path.lexists(self.path):
            (new if (new / STAGE_FILE).exists() else old).rename(self.path)
        for left in (old, new, *self.path.glob(f".*{PART}")):
            remove(left)
        if self._sibling("promoted").exists():
            with self.previous.lock(timeout):
                self._step_down()

    @property
    def previous(self) -> "Stage":
        """Where the stage stays in whose place another one was promoted."""
        return Stage(self.path.with_name(f"{self.path.name}.previous"), self.config)

    def promote(self, record: Record, timeout: float) -> None:
        """Let another stage, of that record, take this one's place; this one becomes the previous one.

        The first rename decides: whoever next locks this stage finishes what a killed process left after that.

        Raises:
            ArtifactError: the other one was replaced meanwhile, or another process writes to one of the three.
        """
        other = record.stage
        with contextlib.ExitStack() as locks:
            for stage in {one.path: one for one in (self, self.previous, other)}.values():
                locks.enter_context(stage.lock(timeout))
            if other.record().fingerprint != record.fingerprint:
                raise ArtifactError(f"{other.path} was made again meanwhile: run this command again")
            with Held():
                other.path.rename(self._sibling("promoted"))
                self._step_down()

    def _step_down(self) -> None:
        """Make room for what was promoted. Both locks are held. After a kill anywhere, doing it again does the rest."""
        before = self.previous._sibling("old")
        if os.path.lexists(self.path):
            if os.path.lexists(self.previous.path):
                self.previous.path.rename(before)
            self.path.rename(self.previous.path)
        self._sibling("promoted").rename(self.path)
        remove(before)

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
        new, old = self._sibling("new"), self._sibling("old")
        with Held() as signals:
            remove(new)
            new.mkdir(parents=True)
            try:
                draft = Draft(new)
                with naming(self.path):
                    with signals.released():
                        yield draft
                    self._write_record(draft, config, inputs, device, libraries)
            except BaseException:
                remove(new)
                raise
            if os.path.lexists(self.path):
                # Two renames: a kill between them leaves old and new, and _recover goes on from there.
                self.path.rename(old)
            new.rename(self.path)
            remove(old)

    def _write_record(
        self, draft: Draft, config: Config, inputs: dict[str, str], device: str | None, libraries: tuple[str, ...]
    ) -> None:
        files = sorted(p for p in draft.path.rglob("*") if p.is_file())
        for path in files:
            with path.open("rb") as file:
                os.fsync(file.fileno())
        body = {
            "command": config.shell_line(placed=False),
            "config": config.recorded(),
            "device": device,
            "versions": {"python": platform.python_version()}
            | {name: metadata.version(name) for name in ("mfcli", "numpy", "pyarrow", *libraries)},
            "inputs": inputs,
            "outputs": {
                p.relative_to(draft.path).as_posix(): {"sha256": sha256(p), "bytes": p.stat().st_size} for p in files
            },
            "results": draft.results,
        }
        with atomic_file(draft.path / STAGE_FILE) as file:
            file.write(sealed(body))

    def exists(self) -> bool:
        """Whether a finished result is there (it may still turn out to be damaged), or is on its way there."""
        places = (self.path, self._sibling("old"), self._sibling("promoted"))
        return any(os.path.lexists(place / STAGE_FILE) for place in places)

    def record(self, lock_timeout: float = 10.0) -> Record:
        """The stage.json, read and checked. Raises ArtifactError if it is absent, cut off or altered."""
        file = self.path / STAGE_FILE
        if self._sibling("promoted").exists():
            with self.lock(lock_timeout):  # the next one is to be promoted by now
                pass
        try:
            try:
                content = _content(file)
            except FileNotFoundError:
                changing = self._sibling("old").exists() or self._sibling("lock").exists()
                if os.path.lexists(file) or not changing:  # a link to nothing is no sign of a writer
                    raise
                with self.lock(lock_timeout):  # a writer is, or was killed, between its two renames
                    content = _content(file)
            return Record(self, unsealed(content))
        except FileNotFoundError:
            raise ArtifactError(f"{self.path} is not there yet: run `{self.command}`") from None
        except OSError as error:
            if error.errno not in AMISS:
                raise
            raise self._damaged(f"{file}: {error.strerror}") from None
        except ValueError as error:
            raise self._damaged(f"{file} {error}") from None

    def consistent(self, read: Callable[[Record], T]) -> T:
        """``read(record)``, once more whenever another process replaced the stage meanwhile."""
        while True:
            before = self._generation()
            try:
                return read(self.record())
            except ArtifactError:
                if self._generation() == before:
                    raise

    def _generation(self) -> tuple[int, int] | None:
        """What changes when the stage is replaced, even by the same bytes."""
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_ino, status.st_ctime_ns


@dataclass(frozen=True)
class Artifacts:
    """The artifact directory."""

    root: Path

    def raw(self, dataset: str) -> Stage:
        """The published files of a data set."""
        return Stage(self.root / "raw" / dataset, DownloadConfig(dir=self.root, name=dataset))

    def downloaded(self) -> list[str]:
        """Names of the data sets under raw/, sorted; also those whose replacement was cut short."""
        folders = [path.name for path in (self.root / "raw").glob("*") if os.path.lexists(path / STAGE_FILE)]
        whole = {name for name in folders if not name.startswith(".")}
        cut_short = {name.removeprefix(".").removesuffix(".old") for name in folders if name.endswith(".old")}
        return sorted(whole | cut_short)

    @property
    def data(self) -> Stage:
        """The prepared ratings."""
        return Stage(self.root / DATA, PrepareConfig(dir=self.root))

    def run(self, name: str) -> Stage:
        """A trained model."""
        return Stage(self.root / "runs" / name, TrainConfig(dir=self.root, run=name))

    def plots(self, run: str) -> Stage:
        """The figures of a run."""
        return Stage(self.run(run).path / "plots", PlotConfig(dir=self.root, run=run))
