"""Which of several processes this is, as torchrun or another launcher says in the environment; and which one speaks."""

import contextlib
import json
import os
import time
from collections.abc import Callable
from typing import NamedTuple


class Place(NamedTuple):
    """The place of a process among those that work together.

    Attributes:
        rank: its number; the first one, 0, has the terminal, the locks and the files.
        world: how many there are.
        local: its number among those of this machine.
    """

    rank: int = 0
    world: int = 1
    local: int = 0


ALONE = Place()


def place() -> Place:
    """That of this process: of a single one where the variables of a launcher are not there."""
    found = [os.environ.get(name, "") for name in ("RANK", "WORLD_SIZE")]
    if not all(text.isdigit() for text in found) or "MASTER_ADDR" not in os.environ:
        return ALONE
    rank, world = map(int, found)
    local = os.environ.get("LOCAL_RANK", "")
    return Place(rank, world, int(local) if local.isdigit() else rank)


_claim: list[Callable[[], bool]] = []


def claim_by(claim: Callable[[], bool]) -> None:
    """From now on the first process whose ``claim`` is true tells an error."""
    _claim[:] = [claim]


def speaks() -> bool:
    """Whether this process is to tell an error: of several the first to ask, so that it is told once.

    Before they know of each other all meet the same errors, and rank 0 tells them.
    """
    return _claim[0]() if _claim else place().rank == 0


def report(text: str) -> None:
    """Tell torchrun, which reports how its processes ended, why this one did: in the file that it names for that."""
    file = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if file and place().world > 1:
        told = {"message": text, "extraInfo": {"timestamp": str(int(time.time()))}}
        with contextlib.suppress(OSError), open(file, "w", encoding="utf-8") as opened:
            json.dump({"message": told}, opened)
