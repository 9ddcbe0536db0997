"""Training as a stage: what it writes, how it stops and goes on, and what it says. (Solvers: test_solver_contract.)"""

import json
import math
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open

from mfcli.artifacts import Artifacts
from mfcli.checkpoint import Checkpoint
from mfcli.config.solvers import PRESETS
from mfcli.config.train import TrainConfig
from mfcli.data.prepared import Prepared
from mfcli.data.training import TrainingData
from mfcli.errors import ArtifactError, DivergedError, Stopped, UsageError
from mfcli.models import model_file
from mfcli.models.exposure import Exposure, learn
from mfcli.models.metrics import rmse
from mfcli.progress import EpochLine, Progress, TrainingProgress
from mfcli.solvers.adam import Adam
from mfcli.solvers.base import Epoch, Tick
from mfcli.solvers.compiled import kernels
from mfcli.solvers.compute import pick_device
from mfcli.solvers.create import create
from mfcli.train import train
from mfcli.training import SAVE_COST
from tests.conftest import Runner
from tests.planted import CPU, quietly

SOLVERS = ("adam", "als", "gibbs")


def options(solver: str, epochs: int) -> dict[str, Any]:
    """Options of a small run of that solver over so many epochs."""
    lengths = {
        "adam": {"epochs": epochs, "batch": 500},
        "als": {"epochs": epochs, "tolerance": 0.0},
        "gibbs": {"burn_in": 1, "samples": epochs - 1},
    }
    return {"solver": solver, "factors": 4} | lengths[solver]


class Interrupting(Progress, TrainingProgress):
    """Counts batches, and stops the run after some of them as SIGINT does."""

    def __init__(self, after: float = math.inf) -> None:
        self.after, self.batches = after, 0
        self.lines: list[EpochLine] = []
        self.notes: list[str] = []

    @contextmanager
    def training(self, epoch_name: str, batch_name: str, epochs: int, done: int) -> Iterator[TrainingProgress]:
        yield self

    def batch(self, done: int, total: int, measures: Any) -> None:
        self.batches += 1
        if self.batches == self.after:
            raise Stopped(2)

    def epoch(self, line: EpochLine) -> None:
        self.lines.append(line)

    def note(self, text: str) -> None:
        self.notes.append(text)


def history(folder: Path, run: str = "default") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "runs" / run / "history.jsonl").read_text().splitlines()]


def files(folder: Path, run: str = "default") -> dict[str, bytes]:
    whole = folder / "runs" / run
    return {str(p.relative_to(whole)): p.read_bytes() for p in whole.rglob("*") if p.is_file()}


@pytest.mark.parametrize("name", SOLVERS)
def test_a_run_stopped_in_mid_epoch_and_resumed_is_the_run_undisturbed(name: str, artifacts: Path) -> None:
    whole, part = (TrainConfig(dir=artifacts, run=run, **options(name, 4)) for run in ("whole", "part"))
    counting = Interrupting()
    train(whole, counting)
    with pytest.raises(Stopped, match=r"stopped in (epoch|round|sweep) \d; `mfcli train .*--resume` goes on"):
        train(part, Interrupting(after=counting.batches * 5 // 8))
    assert list(files(artifacts, "part")) == ["checkpoint.safetensors"]
    done = train(replace(part, resume=True))
    assert 0 < done.resumed_at < 4
    kept = {"exposure.safetensors", "model.safetensors", "history.jsonl", "timing.json", "stage.json"}
    resumed, undisturbed = files(artifacts, "part"), files(artifacts, "whole")
    assert sorted(resumed) == sorted(undisturbed)
    assert {name for name in resumed if not name.startswith("data/")} == kept
    assert [json.loads(line) for line in resumed["history.jsonl"].splitlines()] == history(artifacts, "whole")
    for name in ("exposure.safetensors", "model.safetensors"):
        assert resumed[name] == undisturbed[name]


def test_training_says_that_it_has_no_kernels(artifacts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "kind", lambda: None)
    for solver in ("als", "adam"):
        progress = Interrupting()
        train(TrainConfig(dir=artifacts, **options(solver, 2)), progress)
        without = any("no compiled kernels, and training takes" in note for note in progress.notes)
        assert without == (solver == "als")
        assert "kernels" not in Artifacts(artifacts).run("default").record().body["versions"]


def test_a_run_gone_on_with_on_other_kernels_says_so(artifacts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no error: the last bits differ, and stage.json has the kernels of the end."""
    config = TrainConfig(dir=artifacts, **options("als", 4))
    monkeypatch.setattr(kernels, "serve", lambda device: False)
    monkeypatch.setattr(kernels, "kind", lambda: None)
    counting = Interrupting()
    train(replace(config, run="whole"), counting)
    with pytest.raises(Stopped):
        train(config, Interrupting(after=counting.batches // 2))
    monkeypatch.setattr(kernels, "kind", lambda: "avx2")
    progress = Interrupting()
    train(replace(config, resume=True), progress)
    assert any("other compiled kernels (none and 'avx2')" in note for note in progress.notes)
    assert Artifacts(artifacts).run("default").record().body["versions"]["kernels"] == "avx2"


@pytest.fixture
def stopped(artifacts: Path) -> TrainConfig:
    """The options of a run that was stopped in its second epoch."""
    config = TrainConfig(dir=artifacts, run="cut", factors=4, epochs=4, batch=500)
    with pytest.raises(Stopped):
        train(config, Interrupting(after=7))
    return config


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_hint_after_a_stop_is_all_that_going_on_needs(artifacts: Path, mfcli: Runner, solver: str) -> None:
    config = TrainConfig(dir=artifacts, run="cut", seed=5, biases=False, **options(solver, 4))
    whole = replace(config, run="whole")
    counting = Interrupting()
    train(whole, counting)
    with pytest.raises(Stopped) as stop:
        train(config, Interrupting(after=counting.batches // 2))
    hint = re.search(r"`mfcli (.*)`", str(stop.value))
    assert hint is not None
    done = mfcli(*shlex.split(hint[1]), "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    assert files(artifacts, "cut")["model.safetensors"] == files(artifacts, "whole")["model.safetensors"]
    recorded = [Artifacts(artifacts).run(run).record().config for run in ("cut", "whole")]
    assert recorded[0] == recorded[1]


@pytest.mark.parametrize(
    ("other", "flag"),
    [
        ({"epochs": 5}, "--epochs"),
        ({"seed": 2}, "--seed"),
        ({"l2": 0.5}, "--l2"),
        ({"solver": "als"}, "--solver"),
        ({"samples": 3}, "--samples"),
        ({"biases": False}, "--biases"),
    ],
)
def test_resuming_with_another_value_is_an_error_that_names_the_flag(
    stopped: TrainConfig, other: dict[str, Any], flag: str
) -> None:
    with pytest.raises(UsageError, match=f"^{flag}: run 'cut' was begun with another value: leave {flag} out"):
        train(TrainConfig(dir=stopped.dir, run="cut", resume=True, **other))


def test_resuming_with_the_same_values_given_again_goes_on(stopped: TrainConfig) -> None:
    assert train(replace(stopped, resume=True)).resumed_at == 1


def test_resuming_takes_the_options_from_the_checkpoint_not_from_the_defaults(stopped: TrainConfig) -> None:
    done = train(TrainConfig(dir=stopped.dir, run="cut", resume=True, lock_timeout=3.0))
    assert (done.resumed_at, done.epochs, done.factors) == (1, 4, 4)


def test_resuming_on_other_data_is_refused(stopped: TrainConfig, mfcli: Runner) -> None:
    assert mfcli("prepare", "--seed", 99, "-q").returncode == 0
    with pytest.raises(ArtifactError, match="belongs to other data: train without --resume"):
        train(TrainConfig(dir=stopped.dir, run="cut", resume=True))


def test_a_solvers_own_option_without_a_checkpoint_to_resume_is_refused_as_ever(artifacts: Path) -> None:
    with pytest.raises(UsageError, match="--samples is for --solver gibbs, not for adam"):
        train(TrainConfig(dir=artifacts, run="new", samples=3, resume=True))


@pytest.mark.parametrize("where", ["cut short", "in the header", "in the arrays", "in the values", "empty"])
def test_a_damaged_checkpoint_is_refused(stopped: TrainConfig, where: str) -> None:
    path = stopped.dir / "runs" / "cut" / "checkpoint.safetensors"
    content = path.read_bytes()
    middle = content.index(b"train_rmse")
    damaged = {
        "cut short": content[:-1],
        "in the header": content[:20] + b"x" + content[21:],
        "in the arrays": content[:-40] + bytes([content[-40] ^ 1]) + content[-39:],
        "in the values": content[:middle] + b"TRAIN" + content[middle + 5 :],
        "empty": b"",
    }
    path.write_bytes(damaged[where])
    with pytest.raises(ArtifactError, match="damaged: train again without --resume"):
        train(replace(stopped, resume=True))
    path.write_bytes(content)
    assert train(replace(stopped, resume=True)).epochs == 4
    assert not path.exists()


def test_a_checkpoint_is_a_safetensors_file(stopped: TrainConfig) -> None:
    with safe_open(stopped.dir / "runs" / "cut" / "checkpoint.safetensors", "numpy") as file:
        assert "fit.solver.module.users.weight" in file.keys()  # noqa: SIM118 - it is no mapping
        assert file.metadata()["format"] == "2"


def test_a_run_without_resume_starts_anew_and_says_so(artifacts: Path) -> None:
    config = TrainConfig(dir=artifacts, factors=4, epochs=4)
    before = files(artifacts)["model.safetensors"]
    with pytest.raises(Stopped):
        train(config, Interrupting(after=6))
    progress = Interrupting()
    assert train(config, progress).resumed_at == 0
    assert "starting anew" in progress.notes[0]
    assert files(artifacts)["model.safetensors"] == before


def test_resuming_a_finished_run_does_nothing_and_says_so(artifacts: Path) -> None:
    before, progress = files(artifacts), Interrupting()
    done = train(TrainConfig(dir=artifacts, factors=4, epochs=4, resume=True), progress)
    assert progress.notes == ["nothing to resume: run 'default' is finished"]
    assert (done.epochs, done.ratings_per_second) == (4, None)
    assert files(artifacts) == before


@pytest.mark.parametrize(
    ("every", "cost", "epochs"),
    [(0.0, SAVE_COST, [None, 1, 2]), (1e-3, 1e-9, [None, 1, 1])],
    ids=["always", "too dear"],
)
def test_a_checkpoint_is_there_after_every_epoch_but_the_last_if_it_costs_little(
    artifacts: Path, monkeypatch: pytest.MonkeyPatch, every: float, cost: float, epochs: list[int | None]
) -> None:
    monkeypatch.setattr("mfcli.training.SAVE_EVERY", every)
    monkeypatch.setattr("mfcli.training.SAVE_COST", cost)
    monkeypatch.setattr("mfcli.training.SAVE_LATEST", 1e9)
    seen: list[int | None] = []
    path = artifacts / "runs" / "new" / "checkpoint.safetensors"

    class Looking(Interrupting):
        def batch(self, done: int, total: int, measures: Any) -> None:
            if done == 1:
                seen.append(len(Checkpoint.load(path).values["fit"]["history"]["epochs"]) if path.exists() else None)

    train(TrainConfig(dir=artifacts, run="new", factors=4, epochs=3), Looking())
    assert seen == epochs
    assert not path.exists()


def test_the_history_has_every_epoch_and_every_batch(artifacts: Path) -> None:
    progress = Interrupting()
    done = train(TrainConfig(dir=artifacts, factors=4, epochs=3, batch=500), progress)
    ratings = len(Prepared(Artifacts(artifacts).data.record()).part("train"))
    records = history(artifacts)
    assert [r["epoch"] for r in records] == [line.epoch for line in progress.lines] == [1, 2, 3]
    for record, line in zip(records, progress.lines, strict=True):
        assert len(record["batch_rmse"]) == math.ceil(ratings / 500)
        sizes = [500] * (ratings // 500) + [ratings % 500]
        total = sum(n * r**2 for n, r in zip(sizes, record["batch_rmse"], strict=True))
        assert record["train_rmse"] == pytest.approx(math.sqrt(total / ratings), rel=1e-5)
        assert line.measures == {"train RMSE": record["train_rmse"], "val RMSE": record["validation_rmse"]}
        assert record["learning_rate"] > 0
    assert progress.batches == 3 * math.ceil(ratings / 500)
    assert done.train_rmse == records[done.best_epoch - 1]["train_rmse"]


def test_the_history_of_sweeps_marks_the_burn_in_and_has_no_blocks(artifacts: Path, mfcli: Runner) -> None:
    done = mfcli("train", "--solver", "gibbs", "--burn-in", 6, "--samples", 2, "--factors", 2, "--threads", 1)
    records = history(artifacts)
    assert [record.get("phase") for record in records] == ["als"] * 4 + ["burn-in"] * 2 + [None] * 2
    assert not any("batch_rmse" in record for record in records)
    told = [line for line in done.stderr.splitlines() if line.startswith("sweep")]
    assert [line.split()[-1] for line in told[:6]] == ["als"] * 4 + ["burn-in"] * 2
    assert re.search(r"sweeps +8, 6 of them burn-in\n", done.stdout)


def test_rounds_are_called_so(artifacts: Path, mfcli: Runner) -> None:
    done = mfcli("train", "--solver", "als", "--epochs", 2, "--factors", 2, "--threads", 1)
    assert "round 1/2  train RMSE " in done.stderr
    assert "epoch" not in done.stdout + done.stderr
    assert re.search(r"rounds +2, best [12]\n", done.stdout)
    assert not any("batch_rmse" in record for record in history(artifacts))


def test_early_stopping_keeps_the_weights_of_the_best_epoch(artifacts: Path) -> None:
    """Without a penalty and with too high a learning rate the validation RMSE soon rises."""
    overfitting = {"factors": 16, "l2": 0.0, "bias_l2": 0.0, "schedule": "constant", "lr": 0.05, "batch": 200}
    done = train(TrainConfig(dir=artifacts, epochs=40, patience=3, **overfitting))
    validation = [r["validation_rmse"] for r in history(artifacts)]
    assert done.best_epoch == 1 + int(np.argmin(validation))
    assert done.epochs == len(validation) == done.best_epoch + 3 < 40
    assert done.validation_rmse == min(validation) < validation[-1]
    val = Prepared(Artifacts(artifacts).data.record()).part("val")
    model = model_file.from_bytes(files(artifacts)["model.safetensors"])
    assert rmse(val.ratings, model.predict(val.users, val.items)) == done.validation_rmse


def test_patience_0_never_stops_early_and_still_keeps_the_best(artifacts: Path) -> None:
    overfitting = {"factors": 16, "l2": 0.0, "bias_l2": 0.0, "schedule": "constant", "lr": 0.05, "batch": 200}
    done = train(TrainConfig(dir=artifacts, epochs=12, patience=0, **overfitting))
    assert done.epochs == 12 > done.best_epoch
    assert done.validation_rmse == min(r["validation_rmse"] for r in history(artifacts))


def test_without_a_validation_part_the_last_epoch_is_kept(artifacts: Path, mfcli: Runner) -> None:
    assert mfcli("prepare", "--validation-fraction", 0).returncode == 0
    config = TrainConfig(dir=artifacts, factors=4, epochs=3)
    done = train(config)
    assert (done.best_epoch, done.epochs, done.validation_rmse) == (3, 3, None)
    prepared = Prepared(Artifacts(artifacts).data.record())
    solver = create(config, TrainingData(prepared.part("train"), None, prepared.features), CPU)
    for _ in range(3):
        solver.run_epoch(quietly)
    assert files(artifacts)["model.safetensors"] == model_file.to_bytes(solver.model())


def test_the_article_preset_is_the_article_and_an_option_beside_it_counts(artifacts: Path, mfcli: Runner) -> None:
    done = mfcli("train", "--preset", "article", "--epochs", 2, "--json")
    assert done.returncode == 0, done.stderr
    config = json.loads((artifacts / "runs" / "default" / "stage.json").read_text())["config"]
    expected = {
        "solver": "adam",
        "biases": False,
        "init_std": 1.0,
        "factors": 100,
        "loss": "rmse",
        "batch": 32,
        "lr": 1e-3,
        "schedule": "constant",
        "l2": 0.0,
        "bias_l2": 0.0,
        "patience": 0,
        "side": ["none"],
    }
    assert {name: config[name] for name in expected} == expected
    assert config["epochs"] == 2
    assert PRESETS["article"]["epochs"] == 30
    # Off a terminal progress is a line an epoch, on standard error; the result is one JSON document.
    result = json.loads(done.stdout)
    assert result["validation_rmse"] == Artifacts(artifacts).run("default").record().results["validation_rmse"]
    lines = done.stderr.splitlines()
    assert [line[:10] for line in lines] == ["epoch 1/2 ", "epoch 2/2 ", "learning e", "this repla"]
    assert f"val RMSE {result['validation_rmse']:.4f}" in lines[result["best_epoch"] - 1]


def test_divergence_is_exit_6_in_one_line_and_leaves_the_previous_model(artifacts: Path, mfcli: Runner) -> None:
    before = files(artifacts)
    done = mfcli("train", "--lr", "1e30", "--epochs", 3)
    assert (done.returncode, done.stdout) == (6, "")
    assert done.stderr.startswith("mfcli: error: training diverged in epoch 1")
    assert done.stderr.count("\n") == 1
    assert files(artifacts) == before


class DivergesInEpoch2(Adam):
    def run_epoch(self, tick: Tick) -> Epoch:
        epoch = super().run_epoch(tick)
        return replace(epoch, train=math.nan) if self.batches.epoch == 2 else epoch


def test_divergence_in_a_later_epoch_removes_the_checkpoint(artifacts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the checkpoint of epoch 1 the run would only diverge again."""
    before = files(artifacts)
    monkeypatch.setattr("mfcli.training.SAVE_EVERY", 0.0)
    monkeypatch.setattr("mfcli.solvers.fit.create", DivergesInEpoch2)
    with pytest.raises(DivergedError, match=r"epoch 2 .*the previous model is untouched"):
        train(TrainConfig(dir=artifacts, factors=4, epochs=4))
    assert files(artifacts) == before


def test_exposure_is_learnt_from_the_training_part_alone_whatever_the_solver(artifacts: Path) -> None:
    before = files(artifacts)["exposure.safetensors"]
    assert learn(Prepared(Artifacts(artifacts).data.record()).part("train")).to_bytes() == before
    done = train(TrainConfig(dir=artifacts, run="other", solver="als", factors=2, epochs=1))
    assert files(artifacts, "other")["exposure.safetensors"] == before
    assert done.exposure_rank == Exposure.from_bytes(before).rank > 10
    assert done.exposure_seconds > 0


def test_runs_lie_side_by_side(artifacts: Path) -> None:
    before = files(artifacts)
    done = train(TrainConfig(dir=artifacts, run="small", factors=2, epochs=1))
    assert done.path == artifacts / "runs" / "small" / "model.safetensors"
    assert files(artifacts) == before
    assert model_file.from_bytes(done.path.read_bytes()).n_factors == 2


def test_the_record_says_what_made_the_model(finished: Path) -> None:
    record = Artifacts(finished).run("default").record()
    assert record.config["factors"] == 4
    assert record.config["seed"] == 1234
    assert record.body["device"] in ("cpu", "cuda")
    assert {"mfcli", "torch", "numpy"} <= set(record.body["versions"])
    assert record.inputs == {"data": Artifacts(finished).data.record().fingerprint}
    assert sorted(record.files) == sorted(
        ["exposure.safetensors", "history.jsonl", "model.safetensors"]
        + [f"data/{name}" for name in ("stage.json", *Artifacts(finished).data.record().files)]
    )
    assert record.results["epochs"] == len(history(finished)) == 4


def test_threads_are_torchs_threads_while_it_trains(artifacts: Path) -> None:
    seen: set[int] = set()

    class Looking(Interrupting):
        def epoch(self, line: EpochLine) -> None:
            seen.add(torch.get_num_threads())

    before = torch.get_num_threads()
    train(TrainConfig(dir=artifacts, factors=4, epochs=1, threads=before + 1), Looking())
    assert seen == {before + 1}
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("wanted", ["cuda:9", "cuda:999999999999999999999"])
def test_a_device_that_is_not_there_is_a_usage_error(wanted: str) -> None:
    with pytest.raises(UsageError, match=f"--device {wanted}: there is no such CUDA device here"):
        pick_device(wanted)


def test_a_device_that_is_not_there_is_exit_2_in_one_line(artifacts: Path, mfcli: Runner) -> None:
    done = mfcli("train", "--device", "cuda:9")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "--device cuda:9" in done.stderr


def test_auto_takes_what_there_is() -> None:
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert pick_device("cpu") == CPU.device
