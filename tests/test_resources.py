"""A full disk, a folder that may not be written, few descriptors, little memory: one line, and nothing is lost."""

import errno
import os
import re
import resource
from pathlib import Path

from tests.victims import Ended, on_change

FILES_AT_LEAST = 12  # descriptors with which the victim itself can start


def no_space_at(moment: int) -> None:
    """A fate: from the n-th change of a file on, the disk is full."""

    def act(passed: int) -> None:
        if passed >= moment:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    on_change(act)


def small_files(size: int) -> None:
    """A fate: no file grows beyond so many bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def few_files(count: int) -> None:
    """A fate: it can have no more than so many files open."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))


def little_memory(more: int) -> None:
    """A fate: it may have so many bytes of memory more than it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def nobody(*_: object) -> None:
    """A fate: it has no more rights than anybody."""
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)


def check_refused(ended: Ended, *words: str) -> None:
    """It exited 3, said why in one line, and printed no result."""
    said = [line for line in ended.err.splitlines() if line.startswith("mfcli: error: ")]
    assert (ended.code, ended.out, len(said)) == (3, b"", 1), ended.err
    assert "Traceback" not in ended.err
    assert "Exception ignored" not in ended.err
    for word in words:
        assert re.search(word, said[0])
