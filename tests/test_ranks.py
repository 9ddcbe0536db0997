"""Several processes on one run: they end in the bytes of one, stop together, and say what went wrong once.

The processes are forked from one that has imported torch, and have what torchrun would tell them in the environment.
"""

import json
import math
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch.distributed import TCPStore

from mfcli.artifacts import Artifacts
from mfcli.checkpoint import Checkpoint
from mfcli.config.train import TrainConfig
from mfcli.data import shared
from mfcli.data.prepared import Prepared
from mfcli.data.ratings import Sides
from mfcli.data.training import TrainingData
from mfcli.errors import DataError, Stopped
from mfcli.models import model_file, ranking
from mfcli.models.metrics import rmse
from mfcli.models.model import FactorModel
from mfcli.solvers import blocks
from mfcli.solvers.base import Epoch, Solver, State
from mfcli.solvers.create import own
from mfcli.solvers.group import joined
from mfcli.solvers.halves import Tally
from tests.conftest import Result, Runner, clean_environment
from tests.planted import CPU, ratings_of
from tests.test_solver_contract import DATA, OPTIONS, VALIDATION, built, run, until_stopped

WORLDS = (3, 2)
FEW = TrainingData(ratings_of([(2, 3, 4.0), (2, 1, 3.0)], 6, 7))
"""Most processes have no rating of these, and no block on either side."""
SMALL_BLOCKS = 64 * blocks.NARROW  # numbers gathered: several blocks for each process
TRAIN = ("train", "--solver", "als", "--epochs", "4", "--tolerance", "0", "--factors", "4")


@pytest.fixture(scope="module")
def context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mfcli.cli.app", "mfcli.train", "mfcli.solvers.adam", __name__])
    return context


def a_store() -> TCPStore:
    """Where processes find each other: torchrun's own process keeps it."""
    return TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)


def as_rank(rank: int, world: int, port: int) -> None:
    """From now on this process is one of several."""
    known = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in known.items()}, TORCHELASTIC_USE_AGENT_STORE="True")


def together(context: ForkServerContext, world: int, target: Callable[..., None], *arguments: Any) -> list[int | None]:
    """The exit codes of so many processes that do ``target(rank, *arguments)``."""
    processes = [context.Process(target=target, args=(rank, *arguments)) for rank in range(world)]
    for one in processes:
        one.start()
    for one in processes:
        one.join(120)
        if one.is_alive():
            one.kill()
    return [one.exitcode for one in processes]


# ── the same bytes ───────────────────────────────────────────────────────────────────────────────────────────────────


def told(epochs: list[Epoch]) -> str:
    return json.dumps([asdict(epoch) | {"batch_rmse": epoch.batch_rmse.tolist()} for epoch in epochs])


def fit_all(rank: int, folder: Path, ports: list[int]) -> None:
    """Every solver's run, whole and begun by three processes and ended by two; rank 0 keeps what comes of it."""
    blocks.GATHERED["cpu"] = SMALL_BLOCKS
    for world, port in zip(WORLDS, ports, strict=True):
        if rank >= world:
            return
        as_rank(rank, world, port)
        with joined() as compute:
            for name in OPTIONS:
                keep(compute.first, folder / f"{name}.whole.{world}", built(name, compute=compute))
                keep(compute.first, folder / f"{name}.few.{world}", built(name, FEW, compute=compute))
                solver, path = built(name, compute=compute), folder / f"{name}.checkpoint"
                if world == WORLDS[0]:
                    epochs = until_stopped(solver, StopsOneRank(rank))
                    state = solver.state()
                    if compute.first:
                        Checkpoint(state.arrays, state.values | {"epochs": len(epochs)}).save(path)
                else:
                    begun = Checkpoint.load(path)
                    solver.load_state(State(begun.arrays, begun.values))
                    solver.epochs -= begun.values["epochs"]
                    keep(compute.first, folder / f"{name}.resumed", solver)
            with pytest.raises(DataError, match="of rank 1"), compute.together():
                fail(rank == 1)


def fail(really: bool) -> None:
    if really:
        raise DataError("of rank 1")


class StopsOneRank:
    """A tick that raises in one of the processes, some batches after the first epoch."""

    def __init__(self, rank: int) -> None:
        self.rank, self.epochs, self.last = rank, 0, 0

    def __call__(self, done: int, total: int, rmse: object) -> None:
        self.epochs += done <= self.last
        self.last = done
        if self.rank == 1 and self.epochs == 1 and done > total // 2:
            raise Stopped(15)


def keep(wanted: bool, path: Path, solver: Solver) -> None:
    epochs = run(solver)
    if wanted:
        path.with_suffix(path.suffix + ".model").write_bytes(model_file.to_bytes(solver.model()))
        path.with_suffix(path.suffix + ".epochs").write_text(told(epochs))


@pytest.fixture(scope="module")
def several(context: ForkServerContext, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What :func:`fit_all` kept."""
    folder, stores = tmp_path_factory.mktemp("several"), [a_store() for _ in WORLDS]
    assert together(context, max(WORLDS), fit_all, folder, [one.port for one in stores]) == [0] * max(WORLDS)
    return folder


@pytest.mark.parametrize("name", OPTIONS)
def test_any_number_of_processes_ends_in_the_bytes_of_one(
    several: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(blocks.GATHERED, "cpu", SMALL_BLOCKS)
    for kind, data in (("whole", DATA), ("few", FEW)):
        alone = built(name, data)
        epochs = told(run(alone))
        for ending in {"whole": (".whole.3", ".whole.2", ".resumed"), "few": (".few.3", ".few.2")}[kind]:
            model = (several / f"{name}{ending}.model").read_bytes()
            if name == "adam":  # sums of gradients are in another order
                assert_alike(model_file.from_bytes(model), alone.model())
                continue
            assert model == model_file.to_bytes(alone.model()), ending
            if ending != ".resumed":
                assert (several / f"{name}{ending}.epochs").read_text() == epochs, ending


def assert_alike(one: FactorModel, other: FactorModel) -> None:
    pairs = VALIDATION.users % one.n_users, VALIDATION.items % one.n_items
    predicted = one.predict(*pairs)
    np.testing.assert_allclose(predicted, other.predict(*pairs), atol=2e-3)
    errors = [rmse(VALIDATION.ratings, model.predict(*pairs)) for model in (one, other)]
    assert errors[0] == pytest.approx(errors[1], abs=1e-3)


@pytest.mark.parametrize("name", OPTIONS)
def test_a_process_reads_its_own_ratings_alone(name: str, finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A piece at a time; all processes together read every rating for its user, and but for adam for its item."""
    monkeypatch.setattr(shared, "AT_ONCE", 500)
    monkeypatch.setitem(blocks.GATHERED, "cpu", SMALL_BLOCKS)
    prepared = Prepared(Artifacts(finished).data.record())
    whole, read = prepared.part("train"), Sides(0, 0)
    for rank in range(3):
        chosen = own(TrainConfig(solver=name), prepared.train_counts(), replace(CPU, rank=rank, world=3))  # type: ignore[arg-type]
        with prepared.record.opened("train.parquet") as content:
            file = shared.TrainFile(content, prepared, times=True)
            mine, told = file.read(chosen), file.summarized()
        for found, mask in zip(mine, chosen(whole, 0), strict=True):
            for column in ("users", "items", "ratings", "timestamps"):
                np.testing.assert_array_equal(getattr(found, column), getattr(whole.take(mask), column))
        read = Sides(*(count + len(found) for count, found in zip(read, mine, strict=True)))
        assert max(map(len, mine)) < len(whole) / 2
        assert told == (whole.summary, whole.median())
    assert read == (len(whole), 0 if name == "adam" else len(whole))


# ── a command ────────────────────────────────────────────────────────────────────────────────────────────────────────


def command(rank: int, world: int, port: int, folder: Path, dies: int | None, arguments: tuple[str, ...]) -> None:
    """``mfcli`` as one of several; rank ``dies`` kills itself with SIGKILL in the middle of the third round."""
    import mfcli.training
    from mfcli.cli.app import run as run_command

    as_rank(rank, world, port)
    os.chdir(folder)
    for stream, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(f"{name}.{rank}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    blocks.GATHERED["cpu"] = 2**9 * blocks.NARROW
    # Rank 0 says when there is a checkpoint, whatever the others would say.
    mfcli.training.SAVE_EVERY, mfcli.training.SAVE_LATEST = 0.0 if rank == 0 else math.inf, math.inf
    ranking.SCORES_AT_ONCE = 800  # blocks of ten users
    if rank == dies:
        add, rounds = Tally.add, []

        def add_or_die(self: Tally, squared_error: Any) -> None:
            add(self, squared_error)
            rounds.extend([self] * (self not in rounds))
            if len(rounds) == 3 and self.done == len(self.order) * 3 // 4:
                os.kill(os.getpid(), signal.SIGKILL)

        Tally.add = add_or_die  # type: ignore[method-assign]
    sys.exit(run_command(list(arguments)))


def commands(
    context: ForkServerContext, world: int, folder: Path, *arguments: str, dies: int | None = None
) -> list[int | None]:
    """The exit codes of :func:`command` in so many processes."""
    store = a_store()
    return together(context, world, command, world, store.port, folder, dies, arguments)


def said(folder: Path, stream: str) -> str:
    return "".join(path.read_text() for path in sorted(folder.glob(f"{stream}.*")))


@pytest.fixture(scope="module")
def small_blocks(context: ForkServerContext, finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact directory with the run ``alone``, which one process made of small blocks."""
    folder = tmp_path_factory.mktemp("alone")
    shutil.copytree(finished, folder / "artifacts")
    assert commands(context, 1, folder, *TRAIN, "--run", "alone", "-q") == [0]
    return folder / "artifacts"


@pytest.mark.parametrize("dies", [0, 1])
def test_a_process_killed_in_mid_round_ends_all_in_one_line_and_the_run_goes_on_later(
    context: ForkServerContext, small_blocks: Path, tmp_path: Path, dies: int
) -> None:
    artifacts = Artifacts(Path(shutil.copytree(small_blocks, tmp_path / "artifacts")))
    codes = commands(context, 2, tmp_path, *TRAIN, "-q", dies=dies)
    assert (codes[dies], codes[1 - dies]) == (-signal.SIGKILL, 8)
    errors = said(tmp_path, "stderr")
    assert errors.startswith("mfcli: error: another process of this run has ended")
    assert "`mfcli train --resume` goes on from the last checkpoint" in errors
    assert errors.count("\n") == 1
    artifacts.run("default").record().check()
    previous = (Artifacts(small_blocks).run("default").path / "model.safetensors").read_bytes()
    assert (artifacts.run("default").path / "model.safetensors").read_bytes() == previous

    resumed = commands(context, 3, tmp_path, "train", "--resume", "--json")
    told = [line for line in said(tmp_path, "stderr").splitlines() if "no compiled kernels" not in line]
    assert (resumed, len(told)) == ([0] * 3, 4), "two rounds, exposure, what it replaces"
    assert json.loads(said(tmp_path, "stdout"))["resumed_at"] == 2
    for name in ("model.safetensors", "exposure.safetensors", "history.jsonl"):
        of_one = (artifacts.run("alone").path / name).read_bytes()
        assert (artifacts.run("default").path / name).read_bytes() == of_one


@pytest.mark.parametrize("candidates", [(), ("--min-ratings", "5")], ids=["all items", "some"])
def test_lists_for_all_users_are_shared_and_are_one_file_in_their_order(
    context: ForkServerContext, artifacts: Path, mfcli: Runner, candidates: tuple[str, ...]
) -> None:
    asked = ("recommend", "--all-users", "-n", "3", "--why", *candidates)
    alone = mfcli(*asked, "--format", "csv")
    assert alone.returncode == 0
    assert commands(context, 3, artifacts.parent, *asked, "--output", "lists.csv") == [0] * 3
    assert (artifacts.parent / "lists.csv").read_text() == alone.stdout
    assert said(artifacts.parent, "std*") == ""
    assert commands(context, 2, artifacts.parent, "recommend", "--user", "1") == [2, 2]
    assert said(artifacts.parent, "stderr").count("\n") == 1


def test_sigterm_to_torchrun_stops_all_processes_with_a_checkpoint(artifacts: Path) -> None:
    train = ("train", "--solver", "gibbs", "--samples", "100000", "--factors", "4", "--side", "none", "--run", "long")
    process = subprocess.Popen(
        [sys.executable, "-m", *"torch.distributed.run --standalone --nproc-per-node 2 -m -- mfcli".split(), *train],
        cwd=artifacts.parent,
        env=clean_environment(PYTHONWARNINGS="ignore", OMP_NUM_THREADS="1"),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    with process.stderr as messages:
        next(line for line in messages if line.startswith("sweep"))
        process.terminate()
        rest = messages.read()
    assert process.wait() != 0
    (error,) = [line for line in rest.splitlines() if "mfcli: error" in line]
    assert error.startswith("mfcli: error: stopped in sweep")
    assert error.endswith("`mfcli train --run long --resume` goes on from there")
    assert Checkpoint.load(artifacts / "runs/long/checkpoint.safetensors").values


# ── who speaks ───────────────────────────────────────────────────────────────────────────────────────────────────────


def as_one_of_two(mfcli: Runner, rank: int, *arguments: str, **more: str) -> Result:
    known = {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    return mfcli(*arguments, env=known | more)


@pytest.mark.parametrize(
    "arguments", [("train", "--epochs", "none"), ("prepare",)], ids=["a wrong option", "a command for one process"]
)
def test_what_every_process_finds_wrong_is_said_by_the_first(mfcli: Runner, arguments: tuple[str, ...]) -> None:
    first, second = (as_one_of_two(mfcli, rank, *arguments) for rank in (0, 1))
    assert first.returncode == second.returncode == 2
    assert first.stderr.startswith("mfcli: error: ")
    assert (first.stdout, second.stdout, second.stderr) == ("", "", "")


def test_torchrun_reports_the_error_of_every_process(mfcli: Runner, tmp_path: Path) -> None:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

    for rank in (0, 1):
        file = str(tmp_path / f"error{rank}.json")
        assert as_one_of_two(mfcli, rank, "prepare", TORCHELASTIC_ERROR_FILE=file).returncode == 2
        failure = ProcessFailure(local_rank=rank, pid=1, exitcode=2, error_file=file)
        assert failure.message["message"] == "prepare is for one process: run it without torchrun"


def test_help_and_settings_are_printed_by_the_first(mfcli: Runner) -> None:
    first, second = (as_one_of_two(mfcli, rank, "train", "--print-config") for rank in (0, 1))
    assert "solver" in first.stdout
    assert second.stdout == ""
