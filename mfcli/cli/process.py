"""The process around a command: its standard streams, signals, and the exit code for every way it can end."""

import contextlib
import io
import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import typer

from mfcli.cli.memory import is_lack_of_memory
from mfcli.cli.progress import Terminal
from mfcli.errors import ArtifactError, ClosedPipe, MfcliError, Stopped, StoppedAtOnce, UsageError
from mfcli.ranks import report, speaks
from mfcli.signals import lost_stop, raise_on_stop

CTRL_C = 130
OUT_OF_MEMORY = "out of memory: nothing was changed: give the process more, or fewer ratings or factors"


def exit_code(command: Callable[[], object]) -> int:
    """Call a Typer command, write the line of its error if it fails, and return the exit code of the process.

    Args:
        command: the app, not in standalone mode: it returns a code or nothing, and raises its errors.
    """
    _open_streams()
    try:
        with raise_on_stop():
            return _outcome(command)
    except (Stopped, StoppedAtOnce) as error:  # while the end was told
        return error.exit_code


def _outcome(command: Callable[[], object]) -> int:
    try:
        with _standard_output():
            code = command()
        return code if isinstance(code, int) else 0
    except ClosedPipe as error:
        speaks()  # and has nothing to say
        return error.exit_code
    except (Stopped, StoppedAtOnce) as error:
        return _failed(str(error), error.exit_code)
    except MfcliError as error:
        if is_lack_of_memory(error):
            return _failed(OUT_OF_MEMORY, ArtifactError.exit_code)
        return _failed(str(error), error.exit_code)
    except typer.TyperException as error:
        return _failed(f"{error.format_message()} (mfcli --help, mfcli COMMAND --help)", UsageError.exit_code)
    except typer.Exit as stop:
        return stop.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return _failed("stopped", CTRL_C)
    except OSError as error:
        reason = error.strerror or " ".join(map(str, error.args)) or type(error).__name__
        where = error.filename2 or error.filename
        text = f"{where}: {reason}: nothing was changed" if where else f"standard output: {reason}"
        return _failed(text, ArtifactError.exit_code)
    except Exception as error:
        lost = lost_stop()
        if lost is not None:
            return _failed(str(lost), lost.exit_code)
        if not is_lack_of_memory(error):
            raise
        return _failed(OUT_OF_MEMORY, ArtifactError.exit_code)


def _failed(text: str, code: int) -> int:
    """The exit code, after the one line of the error, unless another process of several has told it."""
    report(text)
    if speaks():
        Terminal().error(text)
    return code


def _open_streams() -> None:
    """Replace the streams that the shell has closed (``>&-``), and write UTF-8 whatever the locale says."""
    if sys.stdin is None:
        sys.stdin = _null(os.O_WRONLY, "r")  # reading fails
    if sys.stdout is None:
        sys.stdout = _null(os.O_RDONLY, "w")  # writing fails
    if sys.stderr is None:
        sys.stderr = _null(os.O_WRONLY, "w")  # writing goes nowhere
    if isinstance(sys.stdout, io.TextIOWrapper) and isinstance(sys.stdout.buffer, io.RawIOBase):
        # With PYTHONUNBUFFERED a pipe may take a part of what is written, and the rest is lost without an error.
        sys.stdout = io.TextIOWrapper(os.fdopen(sys.stdout.fileno(), "wb", closefd=False))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")  # paths come back as they are
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.reconfigure(errors="backslashreplace")


def _null(access: int, mode: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(os.fdopen(os.open(os.devnull, access), mode + "b", closefd=False), encoding="utf-8")


@contextlib.contextmanager
def _standard_output() -> Iterator[None]:
    """Flush standard output at the end. A reader that has gone is no bug: raise ClosedPipe."""
    try:
        try:
            yield
        except SystemExit as stop:
            if not isinstance(stop.__context__, BrokenPipeError):
                raise
            raise stop.__context__ from None  # Typer had made an exit of it
        sys.stdout.flush()
    except OSError as error:
        # Python flushes standard output at exit and would complain a second time.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if isinstance(error, BrokenPipeError):
            raise ClosedPipe("standard output was closed") from None
        raise


@contextlib.contextmanager
def default_matplotlib() -> Iterator[None]:
    """Within this block matplotlib is imported as if nobody had set it up, and it keeps its remarks to itself.

    A notebook's variable names a display that may not be installed, a matplotlibrc in the folder may be broken.
    """
    logging.getLogger("matplotlib").setLevel(logging.CRITICAL)
    os.environ |= {"MPLBACKEND": "agg", "MATPLOTLIBRC": os.devnull}
    elsewhere = contextlib.chdir(Path(__file__).parent) if os.path.lexists("matplotlibrc") else contextlib.nullcontext()
    with elsewhere:
        yield
