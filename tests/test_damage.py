"""Damage of every kind to every file of an artifact directory: later commands refuse it or do without it.

They exit 3 in one line that names the file and write no result, or they do as if nothing had happened. There is never a
traceback, a hang or another number.
"""

import functools
import json
import random
import shutil
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.damage import Damage, damages, replacements
from tests.victims import Ended, run_victim, signal_at

READ: dict[str, tuple[object, ...]] = {
    "evaluate": ("evaluate", "--top", 5, "--json"),
    "plot": ("plot", "--output", "figures", "--json"),
    "user": ("recommend", "--user", 1, "--user", 7, "--format", "csv"),
    "all": ("recommend", "--all-users", "--why", "--rank-by", "rating", "--format", "csv"),
    "new": ("recommend", "--ratings", "mine.csv", "--user", 2, "--format", "csv"),
    "pairs": ("recommend", "--pairs", "pairs.csv"),
    "similar": ("recommend", "--similar-to", 1, "--format", "csv"),
    "list": ("recommend", "--list", "items", "--format", "csv"),
    "resume": ("train", "--resume", "--json", "-q"),
}
GIBBS: dict[str, tuple[object, ...]] = {
    "unsure": ("recommend", "--user", 1, "--with-std", "--rank-by", "lower-bound", "--format", "csv"),
    "told": ("recommend", "--user-attributes", "gender=F", "--format", "csv"),
}
RAW: dict[str, tuple[object, ...]] = {
    "prepare": ("prepare", "--json", "-q"),
    "download": ("download", "synthetic", "--users", 120, "--items", 80, "--ratings", 3000, "--rank", 2, "--json"),
}
PLOTS: tuple[object, ...] = ("plot", "--json")
AGAIN: tuple[object, ...] = ("train", "--epochs", 2, "--factors", 3, "--json", "-q")
UNTIMED = ("seconds", "exposure_seconds", "ratings_per_second", "resumed_at", "already_there")


class Case(NamedTuple):
    """A file is damaged, then a command runs."""

    file: str
    damage: Damage
    command: tuple[object, ...]


@pytest.fixture(scope="module")
def attacked(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an artifact directory that has all there can be: runs of two solvers, unfinished ones, figures."""
    folder = tmp_path_factory.mktemp("attacked")
    shutil.copytree(finished, folder / "artifacts")
    (folder / "mine.csv").write_text("item,rating\n1,5\n2,3\n4,1\n")
    (folder / "pairs.csv").write_text("user,item\n1,1\n2,4\n7,9\n")
    gibbs = ("train", "--solver", "gibbs", "--factors", 3, "--burn-in", 2)
    for arguments in (("evaluate",), ("plot",), (*gibbs, "--samples", 3, "--run", "g")):
        done = run_victim(folder, arguments)
        assert done.code == 0, done.err
    for run, arguments in {"u": ("train", "--factors", 3, "--epochs", 30), "ug": (*gibbs, "--samples", 30)}.items():
        checkpoint = folder / "artifacts/runs" / run / "checkpoint.safetensors"
        moment = 8
        while not checkpoint.exists():
            moment += 1
            killed = run_victim(
                folder, (*arguments, "--run", run), functools.partial(signal_at, moment, signal.SIGKILL)
            )
            assert killed.code == -signal.SIGKILL
    return folder


def commands(file: str) -> list[tuple[object, ...]]:
    """Those that read a file, or lock what it is for."""
    where, *rest = Path(file).parts
    if where == "raw":
        return list(RAW.values())
    if where in ("data", ".data.lock"):
        return [READ["user"], AGAIN, (*READ["resume"], "--run", "u")]
    if "plots" in file:
        return [PLOTS]
    run = rest[0].removeprefix(".").removesuffix(".lock")
    offered = [READ["resume"], AGAIN]
    if run in ("default", "g"):
        offered += READ.values()
    if run == "g":
        offered += GIBBS.values()
    return [(*command, "--run", run) for command in offered]


def cases(attacked: Path, choice: random.Random, of_each: int) -> Iterator[Case]:
    """For every file a damage, or some of each kind, each with a command; figures are seldom drawn."""
    root = attacked / "artifacts"
    for path in sorted(path for path in root.rglob("*") if path.is_file() and path.suffix != ".png"):
        file = path.relative_to(root).as_posix()
        if ".new/" in file:
            continue
        possible = list(replacements()) if path.suffix == ".lock" else list(damages(path))
        offered = commands(file)
        weights = [0.1 if "plot" in command else 1 for command in offered]
        for sealed in (False, True) if of_each > 1 else (choice.random() < 0.5,):
            some = [damage for damage in possible if damage[0].startswith("sealed") == sealed]
            for damage in choice.sample(some, min(of_each, len(some))):
                yield Case(file, damage, choice.choices(offered, weights)[0])


def result(ended: Ended) -> object:
    """What a command wrote, without times."""
    try:
        document = json.loads(ended.out)
    except ValueError:
        return ended.out
    return {key: value for key, value in document.items() if key not in UNTIMED}


def verdict(case: Case, ended: Ended, undisturbed: Ended) -> str:
    """``refused``, ``as ever`` or ``made again``; else what is wrong."""
    said = [line for line in ended.err.splitlines() if line.startswith("mfcli: error: ")]
    if ended.hung:
        return "hangs"
    if "Traceback" in ended.err or "Exception ignored" in ended.err:
        return "traceback"
    if case.file.startswith("raw") and case.damage[0].startswith("sealed") and ended.code in (0, 4):
        return "refused" if ended.code else "as ever"  # as a file that was published so
    if ended.code == 0:
        if result(ended) == result(undisturbed):
            return "as ever"
        if case.damage[0] == "gone" and case.file.endswith("checkpoint.safetensors"):
            return "made again"  # from the beginning
        return (
            "made again"
            if case.command[0] in ("download", "train") and "--resume" not in case.command
            else "other result"
        )
    if ended.code != 3 or len(said) != 1:
        return f"exit {ended.code}"
    if ended.out:
        return "refused after output"
    return "refused" if str(Path(case.file).parent) in said[0] or Path(case.file).name in said[0] else "names no file"


@pytest.mark.parametrize("of_each", [1, pytest.param(60, marks=pytest.mark.soak)])
def test_damage_is_refused_or_makes_no_difference(attacked: Path, tmp_path: Path, of_each: int) -> None:
    undisturbed: dict[tuple[object, ...], Ended] = {}
    counts: Counter[str] = Counter()
    wrong = []
    for case in cases(attacked, random.Random(of_each), of_each):
        folder = tmp_path / "work"
        for harm in (False, True):
            if not harm and case.command in undisturbed:
                continue
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(attacked, folder)
            if not harm:
                undisturbed[case.command] = run_victim(folder, case.command)
                assert undisturbed[case.command].code == 0, undisturbed[case.command].err
        case.damage[1](folder / "artifacts" / case.file)
        ended = run_victim(folder, case.command)
        found = verdict(case, ended, undisturbed[case.command])
        counts[found] += 1
        if found not in ("refused", "as ever", "made again"):
            wrong.append((found, case.file, case.damage[0], case.command, ended.err[-500:]))
    assert not wrong, f"{len(wrong)} of {counts.total()}: {wrong[:5]}"
    assert min(counts["refused"], counts["as ever"]) > 10
