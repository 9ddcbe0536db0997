"""Damage of every kind to every file of an artifact directory: later commands refuse it or do without it.

They exit 3 in one line that names the file and write no result, or they do as if nothing had happened. There is never a
traceback, a hang or another number, unless a file is sealed well, formed well and wrong: that is believed.
"""

import functools
import itertools
import json
import random
import shutil
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.damage import Damage, as_well_formed, damages, other_tables, other_tensors, replacements
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
SHARES = 4  # of the soak, so that several processes have something to do
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


def verdict(case: Case, ended: Ended, undisturbed: Ended, well_formed: bool) -> str:
    """``refused``, ``as ever``, ``made again``, ``believed`` or ``diverged``; else what is wrong.

    Args:
        well_formed: whether the file is sealed well and formed well, so that nobody can know that it is wrong.
    """
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
        if case.command[0] in ("download", "train") and "--resume" not in case.command:
            return "made again"
        return "believed" if well_formed else "other result"
    if ended.code == 6 and len(said) == 1 and well_formed and "--resume" in case.command:
        return "diverged"  # from where it was told to begin
    if ended.code != 3 or len(said) != 1:
        return f"exit {ended.code}"
    if ended.out:
        return "refused after output"
    return "refused" if str(Path(case.file).parent) in said[0] or Path(case.file).name in said[0] else "names no file"


def damage(case: Case, attacked: Path, folder: Path) -> bool:
    """Damage the file in a copy of the folder; whether it is sealed well and well formed still."""
    file = folder / "artifacts" / case.file
    case.damage[1](file)
    before = attacked / "artifacts" / case.file
    return case.damage[0].startswith("sealed") and as_well_formed(before.read_bytes(), file.read_bytes(), file.suffix)


@pytest.mark.parametrize(
    ("of_each", "share", "shares"),
    [(1, 0, 1), *(pytest.param(60, share, SHARES, marks=pytest.mark.soak) for share in range(SHARES))],
)
def test_damage_is_refused_or_makes_no_difference(
    attacked: Path, tmp_path: Path, of_each: int, share: int, shares: int
) -> None:
    undisturbed: dict[tuple[object, ...], Ended] = {}
    counts: Counter[str] = Counter()
    wrong = []
    for case in itertools.islice(cases(attacked, random.Random(of_each), of_each), share, None, shares):
        folder = tmp_path / "work"
        for harm in (False, True):
            if not harm and case.command in undisturbed:
                continue
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(attacked, folder)
            if not harm:
                undisturbed[case.command] = run_victim(folder, case.command)
                assert undisturbed[case.command].code == 0, undisturbed[case.command].err
        well_formed = damage(case, attacked, folder)
        ended = run_victim(folder, case.command)
        found = verdict(case, ended, undisturbed[case.command], well_formed)
        counts[found] += 1
        if found not in ("refused", "as ever", "made again", "believed", "diverged"):
            wrong.append(f"{found}: {case.file} {case.damage[0]}; {case.command}; {ended.err[-500:]}")
    assert not wrong, "\n".join([f"{len(wrong)} of {counts.total()}", *wrong])
    assert min(counts["refused"], counts["as ever"]) > 10


@pytest.mark.parametrize(
    ("file", "damage_name", "command", "code", "message"),
    [
        (
            "raw/synthetic/stage.json",
            "gone",
            RAW["prepare"],
            3,
            "artifacts/raw/synthetic is not there yet: run `mfcli download synthetic`",
        ),
        (
            "runs/default/data/stage.json",
            "sealed, results.items = '10**400'",
            (*READ["similar"], "--run", "default"),
            3,
            "artifacts/runs/default/model.safetensors is of 120 users and 80 items, "
            "and artifacts/runs/default/data/stage.json says otherwise: run",
        ),
        (
            "runs/g/data/test.parquet",
            "sealed, rows twice",
            (*READ["evaluate"], "--run", "g"),
            3,
            "artifacts/runs/g/data/test.parquet is damaged: it has 1,200 ratings, and stage.json says 600: run",
        ),
        (
            "runs/default/exposure.safetensors",
            "sealed, leverages: one is -1e+38",
            (*READ["user"], "--run", "default"),
            3,
            "artifacts/runs/default/exposure.safetensors is damaged: its standard deviation, shares or leverages are",
        ),
        (
            "runs/g/data/stage.json",
            "sealed, outputs = {}",
            (*READ["all"], "--run", "g"),
            3,
            "artifacts/runs/g/data/stage.json names no train.parquet: run `mfcli train ",
        ),
        (
            "runs/ug/checkpoint.safetensors",
            "sealed, run.seconds = {}",
            (*READ["resume"], "--run", "ug"),
            3,
            "artifacts/runs/ug/checkpoint.safetensors is damaged: train again without --resume",
        ),
        (
            "runs/u/checkpoint.safetensors",
            "sealed, fit.solver.optimizer.0.step: scalar",
            (*READ["resume"], "--run", "u"),
            3,
            "artifacts/runs/u/checkpoint.safetensors is damaged: train again without --resume",
        ),
        (
            "runs/u/checkpoint.safetensors",
            "sealed, fit.solver.optimizer.0.exp_avg: one is -1e+38",
            (*READ["resume"], "--run", "u"),
            6,
            "training diverged",
        ),
    ],
)
def test_what_is_said_of_it(
    attacked: Path, tmp_path: Path, file: str, damage_name: str, command: tuple[object, ...], code: int, message: str
) -> None:
    folder = Path(shutil.copytree(attacked, tmp_path / "work"))
    named = dict(damages(attacked / "artifacts" / file))
    damage(Case(file, (damage_name, named[damage_name]), command), attacked, folder)
    ended = run_victim(folder, command)
    assert (ended.code, ended.out) == (code, b"")
    assert ended.err.startswith(f"mfcli: error: {message}")
    assert ended.err.count("\n") == 1


def test_only_what_is_formed_well_is_believed(finished: Path) -> None:
    content = (finished / "data/items.parquet").read_bytes()
    believed = {what for what, other in other_tables(content) if as_well_formed(content, other, ".parquet")}
    alike = {"index", "title", "genres", "year", "ratings", "train_ratings"}
    assert believed == {f"{name}: all alike" for name in alike} | {"rows turned round"}
    content = (finished / "runs/default/exposure.safetensors").read_bytes()
    believed = {what for what, other in other_tensors(content) if as_well_formed(content, other, ".safetensors")}
    arrays = {"user_vectors", "item_vectors", "shares", "leverages"}
    assert believed == {f"{name}: one is -1e+38" for name in arrays} | {"item_vectors: turned"}
