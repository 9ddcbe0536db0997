"""Many commands in a row in one process: neither memory nor descriptors grow with them."""

import gc
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Runner
from tests.test_numbers import grid, stars

PAGE = os.sysconf("SC_PAGE_SIZE")
GROWTH = 30e6  # bytes that allocators may keep for themselves


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def resident() -> int:
    """Bytes of memory in use."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def assert_level(warm_up: Callable[[], None], step: Callable[[int], None], steps: int) -> None:
    """No more descriptors and hardly more memory after all steps than before the first of them."""
    warm_up()
    before = descriptors(), resident()
    for number in range(steps):
        step(number)
    assert descriptors() <= before[0]
    assert resident() - before[1] < GROWTH


@pytest.fixture
def ratings(tmp_path: Path) -> Path:
    file = tmp_path / "ratings.csv"
    file.write_text("user,item,rating\n" + "".join(f"{u},{i},{r}\n" for u, i, r in grid(stars, 20, 15)))
    return file


COMMANDS: dict[str, tuple[tuple[object, ...], ...]] = {
    "prepare": (("--ratings", "ratings.csv"), ("--ratings", "nowhere.csv"), ("--ratings", "ratings.csv", "--seed", 5)),
    "train": (("--factors", 2, "--epochs", 1), ("--solver", "als", "--epochs", 1), ("--solver", "als", "--epochs", 0)),
    "evaluate": ((), ("--top", 3), ("--max-rmse", 0.001)),
    "plot": ((), ("--output", "figures", "--format", "svg")),
    "recommend": (("--user", 1), ("--all-users", "--save"), ("--similar-to", 2), ("--user", "nobody")),
    "download": (("synthetic", "--ratings", 100, "--users", 9, "--items", 20), ("--from", "nowhere.zip"), ("--list",)),
}
FAILURES = (2, 4, 5, 7)  # of what is wrong on purpose


QUICK = tuple(command for command in COMMANDS if command != "plot")


@pytest.mark.parametrize(
    ("commands", "chains"), [(QUICK, 10), pytest.param((*QUICK * 8, "plot"), 200, marks=pytest.mark.soak)]
)
@pytest.mark.usefixtures("ratings")
def test_chains_of_commands_leave_memory_and_descriptors_level(
    mfcli: Runner, commands: tuple[str, ...], chains: int
) -> None:
    codes = set()

    def call(command: str, arguments: tuple[object, ...]) -> None:
        done = mfcli(command, *arguments, "-q")
        assert done.returncode in (0, *FAILURES), done.stderr
        codes.add(done.returncode)

    def each_once() -> None:
        for command in dict.fromkeys(commands):
            for arguments in COMMANDS[command]:
                call(command, arguments)

    def chain(number: int) -> None:
        dice = random.Random(number)
        for command in dice.choices(commands, k=3):
            call(command, dice.choice(COMMANDS[command]))

    assert_level(each_once, chain, chains)
    assert codes == {0, *FAILURES}


@pytest.mark.parametrize("trainings", [6, pytest.param(100, marks=pytest.mark.soak)])
@pytest.mark.usefixtures("ratings")
def test_trainings_leave_memory_and_descriptors_level(mfcli: Runner, trainings: int) -> None:
    assert mfcli("prepare", "--ratings", "ratings.csv").returncode == 0

    def train(number: int) -> None:
        solver = ("adam", "als", "gibbs")[number % 3]
        passes = ("--burn-in", 1, "--samples", 1) if solver == "gibbs" else ("--epochs", 2)
        done = mfcli("train", "--solver", solver, *passes, "--factors", 8, "--run", f"run{number % 3}", "-q")
        assert done.returncode == 0, done.stderr

    def each_once() -> None:
        for number in range(3):
            train(number)

    assert_level(each_once, train, trainings)
