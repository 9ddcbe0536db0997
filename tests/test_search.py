"""train --search: the best on the validation part, the same whenever, and never by the test part."""

import csv
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from mfcli.artifacts import Artifacts
from mfcli.config import space
from mfcli.config.solvers import SOLVERS
from mfcli.config.space import Choices, Span, space_of
from mfcli.config.train import TrainConfig
from mfcli.data.prepared import Prepared
from mfcli.errors import ArtifactError, DivergedError, Stopped, UsageError
from mfcli.figures.search import Tried, read_trials, search
from mfcli.models.measures import NDCG, RMSE
from mfcli.option import Interval
from mfcli.progress import Progress
from mfcli.solvers.search import Trial
from mfcli.solvers.trials import Journal, table
from mfcli.train import train
from mfcli.training import Trained
from tests.conftest import Runner

SMALL: dict[str, Any] = {"side": ("none",), "epochs": 4, "threads": 1}


class StopsAfter(Progress):
    """Stops the search, as a signal does, after so many trials."""

    def __init__(self, trials: int) -> None:
        self.left = trials

    def note(self, text: str) -> None:
        self.left -= text.startswith("trial")
        if not self.left:
            raise Stopped(2)


def a_space(
    folder: Path, text: str = "factors = {low = 1, high = 12}\nl2 = {low = 0.1, high = 10, log = true}"
) -> Path:
    file = folder / "space.toml"
    file.write_text(text)
    return file


def searched(artifacts: Path, trials: int, run: str = "found", **more: Any) -> Trained:
    return train(TrainConfig(dir=artifacts, run=run, search=trials, space=a_space(artifacts), **SMALL | more))


def rows(artifacts: Path, run: str = "found") -> list[dict[str, str]]:
    return [*csv.DictReader((artifacts / "runs" / run / "search.csv").read_text().splitlines())]


@pytest.fixture
def found(artifacts: Path) -> Path:
    searched(artifacts, 7)
    return artifacts


def test_the_best_on_the_validation_part_becomes_the_run(found: Path) -> None:
    tried = rows(found)
    assert [row["trial"] for row in tried] == [str(n) for n in range(1, 8)]
    assert {row["state"] for row in tried} <= {"done", "pruned"}
    best = min((row for row in tried if row["state"] == "done"), key=lambda row: float(row["validation_rmse"]))
    record = Artifacts(found).run("found").record()
    assert record.config["factors"] == int(best["factors"])
    assert record.config["l2"] == float(best["l2"])
    assert record.results["validation_rmse"] == pytest.approx(float(best["validation_rmse"]), abs=1e-6)
    assert "--search" not in record.made_by
    assert "search.csv" in record.files
    assert not (found / "runs/found/search.safetensors").exists()


def test_the_same_seed_tries_the_same_and_another_does_not(found: Path) -> None:
    searched(found, 7, run="again")
    searched(found, 7, run="other", seed=5)
    assert rows(found) == rows(found, "again") != rows(found, "other")


def test_the_search_is_what_training_with_its_settings_is(found: Path) -> None:
    """One command, printed by the run, trains the same bytes without a search."""
    config = TrainConfig.from_mapping(Artifacts(found).run("found").record().config | {"run": "plain", "dir": found})
    train(config)
    models = [(found / "runs" / run / "model.safetensors").read_bytes() for run in ("found", "plain")]
    assert models[0] == models[1]


def test_nothing_is_chosen_by_the_test_part(found: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test part cannot be read at all, and the same is found."""
    whole = Prepared.part

    def part(self: Prepared, name: str) -> Any:
        assert name != "test"
        return whole(self, name)

    monkeypatch.setattr(Prepared, "part", part)
    searched(found, 7, run="blind")
    assert rows(found, "blind") == rows(found)


@pytest.mark.parametrize("after", [1, 6])
def test_an_interrupted_search_goes_on_as_if_it_had_not_been(found: Path, after: int) -> None:
    config = TrainConfig(dir=found, run="cut", search=7, space=a_space(found), **SMALL)
    with pytest.raises(
        Stopped, match=r"stopped while searching; `mfcli train --run cut .*--resume` goes on from there"
    ):
        train(config, StopsAfter(after))
    journal = Journal.of(found / "runs/cut")
    assert len(journal.read()[1]) == after
    train(TrainConfig(dir=found, run="cut", resume=True))
    assert rows(found, "cut") == rows(found)
    assert not journal.begun


def test_a_search_can_go_on_for_longer(found: Path) -> None:
    with pytest.raises(Stopped):
        train(TrainConfig(dir=found, run="cut", search=3, space=a_space(found), **SMALL), StopsAfter(2))
    train(TrainConfig(dir=found, run="cut", search=7, resume=True))
    assert rows(found, "cut") == rows(found)
    done = train(TrainConfig(dir=found, run="cut", search=7, resume=True))
    assert done.resumed_at == done.epochs, "it is finished"


def test_to_go_on_with_a_search_that_was_not_begun_is_to_begin_it(found: Path, mfcli: Runner) -> None:
    options = ("--dir", found, "--run", "new", "--epochs", 1, "--factors", 2, "--batch", 500)
    done = mfcli("train", *options, "--search", 2, "--resume", "--json")
    assert done.returncode == 0, done.stderr
    assert len(rows(found, "new")) == 2


def test_what_a_search_was_begun_with_cannot_change(found: Path) -> None:
    with pytest.raises(Stopped):
        train(TrainConfig(dir=found, run="cut", search=7, space=a_space(found), **SMALL), StopsAfter(2))
    with pytest.raises(UsageError, match="--seed: the search was begun with another value"):
        train(TrainConfig(dir=found, run="cut", resume=True, seed=9))
    other = a_space(found, "factors = {low = 1, high = 3}")
    with pytest.raises(UsageError, match="--space: the search was begun with another"):
        train(TrainConfig(dir=found, run="cut", resume=True, search=7, space=other))
    journal = Journal.of(found / "runs/cut")
    begun, (first, second) = journal.read()
    journal.save(replace(begun, inputs={"data": "x"}), [first])
    with pytest.raises(ArtifactError, match="belongs to other data"):
        train(TrainConfig(dir=found, run="cut", resume=True))
    journal.save(begun, [first, replace(second, settings={**second.settings, "factors": 77})])
    with pytest.raises(ArtifactError, match="another version of Optuna"):
        train(TrainConfig(dir=found, run="cut", resume=True))
    for damaged in (replace(begun, space={"nonsense": 1}), replace(begun, config={"nonsense": 1})):
        journal.save(damaged, [])
        with pytest.raises(ArtifactError, match="is damaged: train again without --resume"):
            train(TrainConfig(dir=found, run="cut", resume=True))
    journal.path.write_bytes(b"nonsense")
    with pytest.raises(ArtifactError, match="is damaged: train again without --resume"):
        train(TrainConfig(dir=found, run="cut", resume=True))
    train(TrainConfig(dir=found, run="cut", **SMALL))
    assert not journal.begun, "trained without a search, it is not to go on"


def test_settings_as_they_are_come_first_and_bad_ones_are_broken_off(artifacts: Path, mfcli: Runner) -> None:
    a_space(artifacts, "l2 = {choices = [1.0, 300.0, 1000.0]}")
    options = "--side none --factors 4 --epochs 6 --search 12 --seed 1 --threads 1".split()
    done = mfcli("train", *options, "--space", "artifacts/space.toml")
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("trial")]
    assert lines[0].startswith("trial  1/12  val RMSE ")
    assert lines[0].endswith("  l2 1  best")
    assert any(line.endswith("pruned") for line in lines)
    assert "training with the settings of trial 1: l2 1\n" in done.stderr
    assert mfcli("plot", "--dpi", 30).returncode == 0
    assert (artifacts / "runs/default/plots/search.png").exists()


def test_trials_that_diverge_are_told_and_never_chosen(artifacts: Path) -> None:
    a_space(artifacts, "lr = {choices = [0.02, 1e18]}")
    config = TrainConfig(dir=artifacts, factors=2, epochs=2, side=("none",), search=6, lr=0.02, threads=1)
    train(
        TrainConfig(**{name: getattr(config, name) for name in config.explicit} | {"space": artifacts / "space.toml"})
    )
    states = {row["lr"]: row["state"] for row in rows(artifacts, "default")}
    assert states["1e+18"] == "diverged"
    assert Artifacts(artifacts).run("default").record().config["lr"] == 0.02
    a_space(artifacts, "lr = {choices = [1e18, 1e19]}")
    with pytest.raises(DivergedError, match="all 2 trials diverged"):
        train(TrainConfig(dir=artifacts, side=("none",), search=2, space=artifacts / "space.toml", threads=1))


def test_without_optuna_one_line_says_how_to_get_it(
    artifacts: Path, mfcli: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    done = mfcli("train", "--search", 3)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "mfcli: error: --search needs Optuna: pip install 'mfcli[search]'\n"


def test_a_search_needs_a_validation_part(artifacts: Path, mfcli: Runner) -> None:
    assert mfcli("prepare", "--validation-fraction", 0).returncode == 0
    done = mfcli("train", "--search", 3)
    assert done.returncode == 3
    assert "the data have no part 'val'" in done.stderr


# ── the space ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("solver", SOLVERS)
def test_every_solver_has_a_space_about_its_defaults(solver: Any) -> None:
    config = TrainConfig(solver=solver)
    for name, among in space_of(config).items():
        interval = Interval(config.option(name).opt.range or "")
        assert isinstance(among, Span)
        assert among.low in interval
        assert among.high in interval
        assert getattr(config, name) in among


def test_what_is_given_is_not_searched_for() -> None:
    assert set(space_of(TrainConfig(factors=8, search=1))) == {"l2", "bias_l2"}
    with pytest.raises(UsageError, match="all options that it would choose are given"):
        space_of(TrainConfig(solver="gibbs", factors=8))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("facters = {low = 1, high = 2}", r"'facters' is no option that a search can choose \(is factors meant\?\)"),
        ("seed = {low = 1, high = 2}", "'seed' is no option"),
        ("solver = {choices = ['als']}", "'solver' is no option"),
        ("samples = {low = 1, high = 2}", "'samples' is no option"),
        ("factors = {low = 0, high = 2}", r"--factors: 0 is not in \[1, 4096\]"),
        ("factors = {low = 1, high = 2.5}", "--factors: 2.5 is not a whole number"),
        ("factors = {low = 2, high = 1}", "factors: low is to be less than high"),
        ("l2 = {low = 0, high = 1, log = true}", "l2: low is to be less than high, and with log = true above 0"),
        ("l2 = {low = 0}", "l2 is {low = ..., high = ..., log = true} or {choices"),
        ("l2 = 3", "l2 is {low"),
        ("loss = {low = 1, high = 2}", r"loss is {choices = \[...\]}"),
        ("loss = {choices = ['mse', 'x']}", "--loss: 'x' is not one of mse, rmse"),
        ("", "it names no option"),
        ("l2 = {", "space.toml: "),
    ],
)
def test_a_space_that_cannot_be_is_a_usage_error(tmp_path: Path, text: str, message: str) -> None:
    config = TrainConfig(search=1, space=a_space(tmp_path, text))
    with pytest.raises(UsageError, match=message) as error:
        space_of(config)
    assert str(error.value).startswith(f"--space {tmp_path / 'space.toml'}: ")


def test_a_space_is_the_same_through_a_journal(tmp_path: Path) -> None:
    config = TrainConfig(
        search=1, space=a_space(tmp_path, "l2 = {low = 1, high = 2}\nbiases = {choices = [true, false]}")
    )
    found = space_of(config)
    assert found == {"l2": Span(1, 2), "biases": Choices((True, False))}
    assert space.check(json.loads(json.dumps(space.plain(found))), config, "") == found


# ── table and figure ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_figure_reads_the_table_and_marks_the_best() -> None:
    trials = [
        Trial(1, "done", {"l2": 1.0, "loss": "mse"}, [0.95, 0.9], 0.9),
        Trial(2, "pruned", {"l2": 5.0, "loss": "mse"}, [1.5], 1.5),
        Trial(3, "diverged", {"l2": 0.0, "loss": "mse"}, [], None),
        Trial(4, "done", {"l2": 0.25, "loss": "rmse"}, [0.9, 0.8], 0.8),
    ]
    read = read_trials(table(trials, RMSE), RMSE)
    assert read[2] == Tried(3, "diverged", None, {"l2": "0.0", "loss": "mse"})
    assert read[3] == Tried(4, "done", 0.8, {"l2": "0.25", "loss": "rmse"})
    ax = Figure(layout="constrained").subplots()
    search(ax, read, RMSE)
    pruned, done, best, star = ax.get_lines()
    assert (*pruned.get_xdata(), *done.get_xdata()) == (2, 1, 4)
    assert [*best.get_ydata()] == [0.9, 0.8, 0.8]
    assert (star.get_xdata(), star.get_ydata()) == ([4], [0.8])
    assert star.get_label() == "l2 0.25, loss rmse"
    assert ax.get_ylim()[1] < 1


def test_of_ndcg_more_is_better() -> None:
    ax = Figure(layout="constrained").subplots()
    search(ax, [Tried(1, "done", 0.3, {"l2": "1"}), Tried(2, "done", 0.2, {"l2": "2"})], NDCG)
    done, best, star = ax.get_lines()
    assert done.get_label() == "run to the end", "none was broken off, and none is in the legend"
    assert [*best.get_ydata()] == [0.3, 0.3, 0.3]
    assert star.get_xdata() == [1]
