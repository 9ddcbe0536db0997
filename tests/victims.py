"""Commands in processes forked from one that has imported what they need: a victim costs milliseconds.

What happens to it, happens to it alone: it may be killed, starved of memory or descriptors, or lose its rights.
"""

import contextlib
import functools
import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext
from pathlib import Path

CHANGES = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link", "os.symlink", "shutil.rmtree"}
SECONDS = 60  # after which a victim counts as hanging
PRELOADED = (
    *("mfcli.cli.app", "mfcli.api", "mfcli.download", "mfcli.prepare", "mfcli.train", "mfcli.evaluate", "mfcli.plot"),
    *("mfcli.recommend", "mfcli.data.synthetic", "mfcli.solvers.adam", "mfcli.solvers.gibbs", "mfcli.solvers.als"),
    *("pandas", "sklearn.model_selection", "safetensors.numpy", "safetensors.torch", "pyarrow.parquet", "pyarrow.csv"),
    *("scipy.sparse.linalg", "matplotlib.backends.backend_agg", "rich.progress", "pydantic"),
    *("tests.victims", "tests.test_crash"),
)

Fate = Callable[[], object]
"""Called in a victim before its command."""


@functools.cache
def fork_server() -> ForkServerContext:
    """Where victims come from: a process that has imported the commands, and computed nothing."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    return context


@dataclass(frozen=True)
class Ended:
    """How a victim ended.

    Attributes:
        code: its exit code; below 0 the signal that killed it.
        out, err: what it wrote.
    """

    code: int
    out: bytes
    err: str

    @property
    def hung(self) -> bool:
        return self.code == -signal.SIGALRM


class Victim:
    """``mfcli`` with these arguments in a folder, running, after its fate has been called there."""

    def __init__(
        self, folder: Path, arguments: tuple[object, ...], fate: Fate | None = None, seconds: int = SECONDS
    ) -> None:
        self._said = tempfile.TemporaryDirectory()
        words = tuple(map(str, arguments))
        given = (folder, words, fate, seconds, Path(self._said.name))
        self._process = fork_server().Process(target=_victim, args=given)
        self._process.start()

    @property
    def running(self) -> bool:
        return self._process.is_alive()

    def signal(self, signum: int) -> None:
        """Send it a signal, if it still runs."""
        assert self._process.pid is not None
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signum)

    def wait(self) -> Ended:
        """Wait until it has ended."""
        self._process.join()
        out, err = (Path(self._said.name, name) for name in ("out", "err"))
        said = [file.read_bytes() if file.exists() else b"" for file in (out, err)]
        self._said.cleanup()
        assert self._process.exitcode is not None
        return Ended(self._process.exitcode, said[0], said[1].decode("utf-8", "surrogateescape"))


def run_victim(folder: Path, arguments: tuple[object, ...], fate: Fate | None = None, seconds: int = SECONDS) -> Ended:
    """How a :class:`Victim` ends that nobody disturbs from outside."""
    return Victim(folder, arguments, fate, seconds).wait()


def _victim(folder: Path, arguments: tuple[str, ...], fate: Fate | None, seconds: int, said: Path) -> None:
    import mfcli.training
    from mfcli.cli.app import run
    from mfcli.signals import die_on_stop

    die_on_stop()
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(said / name, os.O_WRONLY | os.O_CREAT), number)
    for name in [name for name in os.environ if name.startswith("MFCLI_")]:
        del os.environ[name]
    mfcli.training.SAVE_EVERY = 0.0
    os.chdir(folder)
    signal.alarm(seconds)
    if fate is not None:
        fate()
    sys.exit(run(list(arguments)))


def on_change(act: Callable[[int], object]) -> None:
    """A fate: ``act`` is called just before it changes a file, with how many times it has done so, counting this.

    To open a file that is open already, by its number, changes nothing.
    """
    passed = 0

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal passed
        flags = arguments[2] if event == "open" and not isinstance(arguments[0], int) else 0
        if event in CHANGES or (isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR)):
            passed += 1
            act(passed)

    sys.addaudithook(hook)


def signal_at(moment: int, signum: int) -> None:
    """A fate: just before it changes a file for the n-th time, it gets this signal."""
    on_change(lambda passed: os.kill(os.getpid(), signum) if passed == moment else None)


def tally(file: Path) -> None:
    """A fate: it makes the file as many bytes long as it changes files."""
    handle = os.open(file, os.O_WRONLY | os.O_CREAT)
    on_change(lambda _: os.write(handle, b"."))
