"""Commands in processes forked from one that has imported what they need: a victim costs milliseconds.

What happens to it, happens to it alone: it may be killed, starved of memory or descriptors, or lose its rights.
"""

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
    *("scipy.sparse.linalg", "matplotlib.backends.backend_agg", "rich.progress", "tests.victims"),
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


def run_victim(folder: Path, arguments: tuple[object, ...], fate: Fate | None = None, seconds: int = SECONDS) -> Ended:
    """Run ``mfcli`` with these arguments in a folder, after its fate has been called there."""
    with tempfile.TemporaryDirectory() as said:
        words = tuple(map(str, arguments))
        process = fork_server().Process(target=_victim, args=(folder, words, fate, seconds, Path(said)))
        process.start()
        process.join()
        out, err = Path(said, "out"), Path(said, "err")
        return Ended(
            process.exitcode or 0,
            out.read_bytes() if out.exists() else b"",
            err.read_text("utf-8", "surrogateescape") if err.exists() else "",
        )


def _victim(folder: Path, arguments: tuple[str, ...], fate: Fate | None, seconds: int, said: Path) -> None:
    import mfcli.train
    from mfcli.cli.app import run

    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(said / name, os.O_WRONLY | os.O_CREAT), number)
    for name in [name for name in os.environ if name.startswith("MFCLI_")]:
        del os.environ[name]
    mfcli.train.SAVE_EVERY = 0.0
    os.chdir(folder)
    signal.alarm(seconds)
    if fate is not None:
        fate()
    sys.exit(run(list(arguments)))


def at_change(moment: int, signum: int) -> None:
    """A fate: just before it changes a file for the n-th time, it gets this signal. With 0 it lives in peace."""
    passed = 0

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal passed
        flags = arguments[2] if event == "open" else 0
        if event in CHANGES or (isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR)):
            passed += 1
            if passed == moment:
                os.kill(os.getpid(), signum)

    sys.addaudithook(hook)
