"""The artifact directory: what lies where, how it is replaced as a whole, and how it is checked.

    raw/<dataset>/   data/   runs/<run>/     each a stage, each with a stage.json

A stage is written to a hidden sibling and then takes its place by rename, so that whoever looks sees the previous
result or the new one. ``stage.json`` names every file with its SHA-256; readers check the bytes they read.
"""

import contextlib
import hashlib
import json
import os
import platform
import shlex
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import IO, Any, TypeVar

from filelock import FileLock, Timeout

from mfcli.config import Config
from mfcli.errors import ArtifactError

T = TypeVar("T")

STAGE_FILE = "stage.json"
FORMAT = 2


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def to_json(value: Any) -> str:
    """Readable JSON, always the same text for the same value; NaN and infinity are refused (ValueError)."""
    return json.dumps(value, indent=2, allow_nan=False) + "\n"


@contextlib.contextmanager
def atomic_file(path: Path, *, sync: bool = True) -> Iterator[IO[bytes]]:
    """A file open for writing that appears at ``path``, whole, when the block ends without an exception."""
    if path.exists() and not path.is_file():
        with _named(path), path.open("wb") as file:  # a device or a pipe: there is nothing to replace
            yield file
        return
    if path.is_symlink():
        path = path.resolve()  # a link stays, as it does for a shell's >
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        with _named(path), os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            if sync:
                os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)  # mkstemp made it private
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Give an OSError that does not say where it happened (a full disk) the file that was being written."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def _seal(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, eq=False)
class Record:
    """A stage's stage.json, read and checked."""

    stage: "Stage"
    body: dict[str, Any]

    @property
    def config(self) -> dict[str, Any]:
        return dict(self.body["config"])

    @property
    def results(self) -> dict[str, Any]:
        return dict(self.body["results"])

    @property
    def inputs(self) -> dict[str, str]:
        return dict(self.body["inputs"])

    @property
    def files(self) -> dict[str, str]:
        """Name of every file of the stage: its SHA-256."""
        return {name: entry["sha256"] for name, entry in self.body["outputs"].items()}

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the names and checksums of the stage's files: the same files, the same fingerprint."""
        return _seal(self.files)

    @property
    def command(self) -> str:
        """What made it."""
        return str(self.body["command"])

    def damaged(self, what: str) -> ArtifactError:
        return ArtifactError(f"{what}: run `{self.command}` again")

    def read(self, name: str) -> bytes:
        """A file's bytes, after comparing them with their checksum. Raises ArtifactError."""
        path = self.stage.path / name
        try:
            content = path.read_bytes()
        except OSError as error:
            raise self.damaged(f"{path}: {error.strerror}") from None
        if hashlib.sha256(content).hexdigest() != self.files.get(name):
            raise self.damaged(f"{path} is not what {STAGE_FILE} says")
        return content

    def check(self) -> None:
        """Compare every file with its checksum, without holding it in memory. Raises ArtifactError."""
        for name, checksum in self.files.items():
            path = self.stage.path / name
            if not path.is_file() or sha256(path) != checksum:
                raise self.damaged(f"{path} is not what {STAGE_FILE} says")


@dataclass
class Draft:
    """A stage being written: put its files in ``path`` and what it says of itself in ``results``."""

    path: Path
    results: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Stage:
    """One directory of the artifact directory, and the command that makes it."""

    path: Path
    command: str

    def _sibling(self, ending: str) -> Path:
        return self.path.parent / f".{self.path.name}.{ending}"

    def damaged(self, what: str) -> ArtifactError:
        return ArtifactError(f"{what}: run `{self.command}` again")

    @contextlib.contextmanager
    def lock(self, timeout: float) -> Iterator[None]:
        """Be the only writer. Waits ``timeout`` seconds, then raises ArtifactError."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self._sibling("lock"), timeout=timeout):
                self._recover()
                yield
        except Timeout:
            raise ArtifactError(
                f"{self.path} is being written by another mfcli (waited {timeout:g} s): "
                "wait for it, or raise --lock-timeout"
            ) from None

    def _recover(self) -> None:
        """Finish or undo the replacement that a killed process left half-way. The lock is held."""
        old, new = self._sibling("old"), self._sibling("new")
        if old.exists() and not self.path.exists():
            (new if (new / STAGE_FILE).exists() else old).rename(self.path)
        shutil.rmtree(old, ignore_errors=True)
        shutil.rmtree(new, ignore_errors=True)

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
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        try:
            draft = Draft(new)
            with _named(self.path):
                yield draft
                self._write_record(draft, config, inputs, device, libraries)
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise
        if self.path.exists():
            # Two renames: a kill between them leaves old and new, and _recover goes on from there.
            self.path.rename(old)
        new.rename(self.path)
        shutil.rmtree(old, ignore_errors=True)

    def _write_record(
        self, draft: Draft, config: Config, inputs: dict[str, str], device: str | None, libraries: tuple[str, ...]
    ) -> None:
        files = sorted(p for p in draft.path.rglob("*") if p.is_file())
        for path in files:
            with path.open("rb") as file:
                os.fsync(file.fileno())
        body = {
            "format": FORMAT,
            "command": self.command,
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
            file.write(to_json(body | {"seal": _seal(body)}).encode())

    def exists(self) -> bool:
        """Whether a finished result is there (it may still turn out to be damaged)."""
        return (self.path / STAGE_FILE).is_file()

    def record(self, lock_timeout: float = 10.0) -> Record:
        """The stage.json, read and checked. Raises ArtifactError if it is absent, cut off or altered."""
        file = self.path / STAGE_FILE
        try:
            try:
                content = file.read_bytes()
            except FileNotFoundError:
                if not (self._sibling("old").exists() or self._sibling("lock").exists()):
                    raise
                with self.lock(lock_timeout):  # a writer is, or was killed, between its two renames
                    content = file.read_bytes()
            body = json.loads(content)
            seal = body.pop("seal")
        except FileNotFoundError:
            raise ArtifactError(f"{self.path} is not there yet: run `{self.command}`") from None
        except OSError as error:
            raise self.damaged(f"{file}: {error.strerror}") from None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise self.damaged(f"{file} is damaged") from None
        if body.get("format") != FORMAT:
            raise self.damaged(f"{file} is of another version of mfcli")
        if seal != _seal(body):
            raise self.damaged(f"{file} is damaged")
        return Record(self, body)

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

    def _command(self, command: str) -> str:
        root = str(self.root)
        return f"mfcli {command}" if root == "artifacts" else f"mfcli {command} --dir {shlex.quote(root)}"

    def raw(self, dataset: str) -> Stage:
        return Stage(self.root / "raw" / dataset, self._command(f"download {dataset}"))

    def downloaded(self) -> list[str]:
        """Names of the data sets under raw/, sorted; also those whose replacement was cut short."""
        found = {p.parent.name for p in (self.root / "raw").glob(f"*/{STAGE_FILE}")}
        whole = {name for name in found if not name.startswith(".")}
        return sorted(whole | {name[1:-4] for name in found if name.startswith(".") and name.endswith(".old")})

    @property
    def data(self) -> Stage:
        return Stage(self.root / "data", self._command("prepare"))

    def run(self, name: str, solver: str = "adam") -> Stage:
        command = "train" if name == "default" else f"train --run {name}"
        command += "" if solver == "adam" else f" --solver {solver}"
        return Stage(self.root / "runs" / name, self._command(command))

    def plots(self, run: str) -> Stage:
        return Stage(self.run(run).path / "plots", self._command("plot" if run == "default" else f"plot --run {run}"))
