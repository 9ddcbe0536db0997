"""A stage as it is read: what its stage.json says, and its files, each compared with its checksums."""

import contextlib
import functools
import hashlib
import os
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import IO, Any, TypeVar, cast

from mfcli.atomic import AMISS, link, open_regular, sha256
from mfcli.config.common import Config
from mfcli.errors import ArtifactError, UsageError
from mfcli.outputs import SEEKING, CheckedFile, Output
from mfcli.slot import Slot
from mfcli.stage_file import STAGE_FILE, OtherVersion, seal, sealed, unsealed
from mfcli.typed import typed

T = TypeVar("T")

Guard = Callable[[], contextlib.AbstractContextManager[Any]]
"""What makes a block, within which an error of a file's content becomes one that names the file."""


@dataclass(frozen=True, eq=False)
class Record:
    """A stage's stage.json, read and checked.

    Attributes:
        path: the stage's directory.
        least: the config of the least that makes a stage there: no option but those that say where.
        body: what it says.
        status: of the file that says it; of a copy, its keeper's.
        keeper: the record of the stage that keeps this one as a copy in a folder of its own; None of the stage itself.
    """

    path: Path
    least: Config
    body: dict[str, Any]
    status: os.stat_result
    keeper: "Record | None" = None
    _held: dict[str, int] = field(default_factory=dict, init=False)

    @property
    def name(self) -> str:
        """What the stage is called: of a run its name."""
        return self.path.name

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
    def made_with(self) -> Config | None:
        """The config that makes it again where it lies now; None if this mfcli has other options than its maker."""
        try:
            return self.least.again(self.config)
        except UsageError:
            return None

    @property
    def made_by(self) -> str:
        """The command that made it, with all options, in the artifact directory where it lies now."""
        return (self.made_with or self.least).shell_line()

    @property
    def made_at(self) -> float:
        """When it was made, in seconds since 1970."""
        return self.status.st_mtime

    @property
    def _stage(self) -> "Record":
        """That of the stage: of a copy, its keeper's."""
        return self.keeper or self

    @property
    def is_current(self) -> bool:
        """Whether the stage is still the one that was read: the same bytes made again are another."""
        try:
            now = (self._stage.path / STAGE_FILE).stat()
        except OSError:
            return False
        return (now.st_ino, now.st_ctime_ns) == (self.status.st_ino, self.status.st_ctime_ns)

    def require_current(self) -> None:
        """Raise ArtifactError if the stage was made again, or is gone."""
        if not self.is_current:
            raise Slot(self._stage.path).made_again()

    def damaged(self, what: str) -> ArtifactError:
        """The error of which ``what`` says what is wrong; nothing is, if the stage was only made again meanwhile."""
        slot = Slot(self._stage.path)
        return slot.damaged(what, self._stage.made_by) if self.is_current else slot.made_again()

    def _altered(self, path: Path) -> ArtifactError:
        return self.damaged(f"{path} is not what {STAGE_FILE} says")

    def told(self, kind: type[T], **more: Any) -> T:
        """What its maker says of it, and more, as a dataclass of that kind. Raises ArtifactError."""
        try:
            return cast(T, typed(kind, self.results | more, "results"))
        except ValueError as error:
            raise self.damaged(f"{self.path / STAGE_FILE} is damaged: {error}") from None

    @contextlib.contextmanager
    def reading(self, name: str) -> Iterator[Path]:
        """The path of one of its files. A ValueError of its content becomes an ArtifactError that names it."""
        path = self.path / name
        try:
            yield path
        except OSError as error:
            if error.errno not in AMISS:
                raise
            raise self.damaged(f"{path}: {error.strerror}") from None
        except OtherVersion as error:
            raise self.damaged(f"{path} {error}") from None
        except ValueError as error:
            raise self.damaged(f"{path} is damaged: {' '.join(str(error).split())}") from None

    @contextlib.contextmanager
    def unchanged(self) -> Iterator[None]:
        """What is read of the files by their paths within this block is of one making, or ArtifactError is raised."""
        try:
            yield
        except Exception:
            self.require_current()
            raise
        self.require_current()

    def hold(self) -> None:
        """Open the files now, so that all that is read of them is of one making, whatever takes the stage's place.

        What cannot be opened is complained of when it is read. Raises ArtifactError if it was replaced meanwhile.
        """
        for name in self.files:
            with contextlib.suppress(OSError):
                self._descriptor(name)
        self.require_current()

    def _descriptor(self, name: str) -> int:
        """Of a file that stays open as long as the record is there. Raises OSError."""
        with SEEKING:
            if name not in self._held:
                with open_regular(self.path / name) as file:
                    self._held[name] = os.dup(file.fileno())
                weakref.finalize(self, os.close, self._held[name])
            return self._held[name]

    def _open(self, name: str) -> BufferedReader:
        """One of its files, open at its begin. Raises OSError."""
        if name not in self._held:
            return open_regular(self.path / name)
        file = open(os.dup(self._held[name]), "rb")  # noqa: SIM115 - the caller's
        file.seek(0)
        return file

    def read(self, name: str) -> bytes:
        """A file's bytes, after comparing them with their checksum. Raises ArtifactError."""
        if self.keeper is not None:
            return self.keeper.read(self._kept_as(name))
        with self.reading(name) as path, SEEKING, self._open(name) as file:
            content = file.read()
        if hashlib.sha256(content).hexdigest() != self.files.get(name):
            raise self._altered(path)
        return content

    def read_as(self, name: str, make: Callable[[bytes], T]) -> T:
        """What is made of a file's bytes. Raises ArtifactError, also if ``make`` raises ValueError."""
        content = self.read(name)
        with self.reading(name):
            return make(content)

    def opened(self, name: str) -> IO[bytes]:
        """A file open for reading, whose bytes are compared with their checksums when they are read.

        Raises ArtifactError, and so does whoever reads it.
        """
        if self.keeper is not None:
            return self.keeper.opened(self._kept_as(name))
        with self.reading(name) as path:
            descriptor, output = self._descriptor(name), self._output(name)
            return cast(IO[bytes], CheckedFile(descriptor, output, lambda what: self.damaged(f"{path}{what}")))

    def opened_as(self, name: str, make: Callable[[IO[bytes], Guard], T]) -> T:
        """What is made of a file that is open for reading, and of what to read it within. Raises ArtifactError."""
        with self.reading(name):
            return make(self.opened(name), functools.partial(self.reading, name))

    def _output(self, name: str) -> Output:
        """What is recorded of a file. Raises ArtifactError if nothing is."""
        try:
            return cast(Output, typed(Output, self.body["outputs"][name]))
        except KeyError:
            raise self._altered(self.path / name) from None

    def _kept_as(self, name: str) -> str:
        """What the keeper calls a file of this copy."""
        assert self.keeper is not None
        return (self.path / name).relative_to(self.keeper.path).as_posix()

    def check(self) -> None:
        """Compare every file with its checksum, without holding it in memory. Raises ArtifactError."""
        for name, checksum in self.files.items():
            with self.reading(name) as path, SEEKING, self._open(name) as file:
                same = hashlib.file_digest(file, "sha256").hexdigest() == checksum
            if not same:
                raise self._altered(path)

    def copy_to(self, folder: Path) -> None:
        """Keep the stage as it was read, whatever becomes of it: all of it in a new folder, which costs no disk if it
        can. Raises ArtifactError if it is damaged, or, unless it is held, was replaced meanwhile.
        """
        for name, checksum in self.files.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with self.reading(name) as source, SEEKING, self._open(name) as file:
                link(source, file, target)
            if sha256(target) != checksum:
                raise self._altered(source)
        (folder / STAGE_FILE).write_bytes(sealed(self.body))

    def kept(self, folder: str, least: Config) -> "Record":
        """The record of a copy of another stage, in this folder of ours. Raises ArtifactError.

        Args:
            folder: its name.
            least: of the stage, as :class:`Record` has it.
        """
        body = self.read_as(f"{folder}/{STAGE_FILE}", unsealed)
        return Record(self.path / folder, least, body, self.status, keeper=self)
