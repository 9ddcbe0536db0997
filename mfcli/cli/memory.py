"""Too little memory: told in one line, before libraries are loaded that hang or abort without it."""

import errno
import sys
from pathlib import Path

from mfcli.errors import ArtifactError

NEEDED = {"train": 1200, "prepare": 750, "plot": 750}
NEEDED_ELSE = 550
"""Megabytes of addresses that a command takes up with its libraries and small data; train loads torch, the next two
scikit-learn or matplotlib."""

LEAST_LEFT = 64
"""Megabytes that it must still be able to take up, whatever is loaded already. With less the C library ends the process
by itself when a thread asks for its data, and nobody can catch that."""

SIGNS = ("out of memory", "allocate memory", "failed to map segment", "start new thread")
"""What torch, the dynamic linker and Python say in errors that are no MemoryError."""


def require_memory(command: str) -> None:
    """Raise ArtifactError if a limit (`ulimit -v`) leaves too little. OpenBLAS would go round in circles for ever."""
    if sys.platform == "win32":
        return
    import resource

    limit, needed = resource.getrlimit(resource.RLIMIT_AS)[0], NEEDED.get(command, NEEDED_ELSE)
    if limit == resource.RLIM_INFINITY:
        return
    if limit < needed * 1e6:
        raise ArtifactError(
            f"{command} needs {needed} MB of address space, and the limit is {limit / 1e6:.0f}: raise `ulimit -v`"
        )
    left = limit - _taken(resource.getpagesize())
    if left < LEAST_LEFT * 1e6:
        raise ArtifactError(
            f"{left / 1e6:.0f} MB of address space are left, and {command} needs {LEAST_LEFT}: raise `ulimit -v`"
        )


def _taken(page: int) -> int:
    """Bytes of addresses that this process takes up; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * page
    except OSError:
        return 0


def is_lack_of_memory(error: BaseException | None) -> bool:
    """Whether an error means that there is no memory left, on the CPU or on the GPU; or one that it was made of.

    Whoever reads a file takes any failure of a library for the file's, and hides it by ``from None``: that counts, too.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        told = isinstance(error, (RuntimeError, ImportError)) and any(sign in str(error) for sign in SIGNS)
        if told or isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
            return True
        error = error.__cause__ or error.__context__
    return False
