"""The life of a model: it lives on when new data come, a better one takes its place, and a worse one never does."""

import json
import os
import re
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest

from mfcli import evaluate as module
from mfcli.api import load
from mfcli.artifacts import Artifacts
from mfcli.models.run import open_run
from tests.conftest import Runner

NOTE = (
    "run 'default' is of earlier data than artifacts/data holds now: "
    "`mfcli train --factors 4 --epochs 4` trains on them\n"
)


# ── a run is whole by itself ─────────────────────────────────────────────────────────────────────────────────────────


def renew(artifacts: Path, mfcli: Runner) -> None:
    """Prepare ratings of other users."""
    _, *lines = (artifacts / "raw/synthetic/ratings.csv").read_text().splitlines()
    (artifacts.parent / "new.csv").write_text("\n".join(["user,item,rating,time", *(f"x{line}" for line in lines)]))
    assert mfcli("prepare", "--ratings", "new.csv", "-q").returncode == 0


def test_a_run_answers_as_before_when_new_data_were_prepared_and_says_once_that_they_wait(
    artifacts: Path, mfcli: Runner
) -> None:
    commands = (("evaluate",), ("recommend", "--user", 1, "--why", "--json"), ("plot",))
    before, data = [mfcli(*command) for command in commands], Artifacts(artifacts).data.record().fingerprint
    frame = load(artifacts).recommend(1)
    renew(artifacts, mfcli)
    after = [mfcli(*command) for command in commands]
    assert [(done.returncode, done.stdout, NOTE + done.stderr) for done in before] == [
        (done.returncode, done.stdout, done.stderr) for done in after
    ]
    assert json.loads((artifacts / "runs/default/evaluation.json").read_text())["inputs"]["data"] == data
    with pytest.warns(UserWarning, match="run 'default' is of earlier data than"):
        run = load(artifacts)
    assert run.recommend(1).equals(frame)


@pytest.mark.parametrize("data", ["none", "damaged"])
def test_a_run_copied_elsewhere_needs_nothing_else(finished: Path, tmp_path: Path, mfcli: Runner, data: str) -> None:
    shutil.copytree(finished / "runs" / "default", tmp_path / "artifacts" / "runs" / "other")
    if data == "damaged":
        (tmp_path / "artifacts" / "data").mkdir()
        (tmp_path / "artifacts" / "data" / "stage.json").write_text("{")
    done = mfcli("evaluate", "--run", "other")
    assert (done.returncode, done.stderr) == (0, "")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load(tmp_path / "artifacts", "other").recommend(1).equals(load(finished).recommend(1))


def test_a_run_holds_its_data_without_using_disk(artifacts: Path, mfcli: Runner) -> None:
    assert mfcli("train", "--epochs", 1, "-q").returncode == 0
    for file in (artifacts / "data").glob("*.parquet"):
        assert os.path.samefile(file, artifacts / "runs/default/data" / file.name)


def test_data_prepared_while_a_run_trains_do_not_become_its_own(
    artifacts: Path, mfcli: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mfcli.training as stage
    from mfcli.config.prepare import PrepareConfig
    from mfcli.prepare import prepare

    before, learn = Artifacts(artifacts).data.record().fingerprint, stage.learn

    def prepare_and_learn(*arguments: object) -> object:
        prepare(PrepareConfig(dir=artifacts, seed=5))
        return learn(*arguments)

    monkeypatch.setattr(stage, "learn", prepare_and_learn)
    assert mfcli("train", "--epochs", 1, "-q").returncode == 0
    assert Artifacts(artifacts).data.record().fingerprint != before
    assert Artifacts(artifacts).run("default").record().inputs["data"] == before
    done = mfcli("evaluate")
    assert (done.returncode, "is of earlier data" in done.stderr) == (0, True)


def test_training_over_a_run_says_what_it_replaces(artifacts: Path, mfcli: Runner) -> None:
    done = mfcli("train", "--epochs", 1)
    (line,) = [line for line in done.stderr.splitlines() if "replaces" in line]
    results = Artifacts(artifacts).run("default").record().results
    assert mfcli("train", "--epochs", 1, "--run", "new").stderr.count("replaces") == 0
    again = mfcli("train", "--epochs", 1).stderr
    assert f": adam, validation RMSE {results['validation_rmse']:.4f}\n" in again
    assert line.startswith("this replaces the run of 2")


# ── refitting and warm starts ────────────────────────────────────────────────────────────────────────────────────────


def test_a_refitted_run_learns_from_all_ratings_for_as_many_epochs_as_were_best(artifacts: Path, mfcli: Runner) -> None:
    hasty = ("--batch", 2048, "--lr", 0.5, "--schedule", "constant")
    assert mfcli("train", "--run", "judged", "--factors", 4, "--epochs", 6, *hasty, "-q").returncode == 0
    done = mfcli("train", "--refit", "judged", "--run", "served", "--json")
    assert done.returncode == 0, done.stderr
    best = Artifacts(artifacts).run("judged").record().results["best_epoch"]
    assert best < 6
    record, result = Artifacts(artifacts).run("served").record(), json.loads(done.stdout)
    assert (result["epochs"], result["best_epoch"], result["validation_rmse"]) == (best, best, None)
    assert record.config == Artifacts(artifacts).run("judged").record().config | {"refit": "judged"}
    trained = open_run(Artifacts(artifacts), "served")
    assert trained.model.counts.users.sum() == 3000
    assert len(trained.prepared.part("train")) == 3000
    assert trained.prepared.items["train_ratings"].equals(trained.prepared.items["ratings"])


def test_a_refitted_run_recommends_what_nobody_rated_in_any_part(artifacts: Path, mfcli: Runner) -> None:
    assert mfcli("train", "--refit", "default", "--run", "served", "-q").returncode == 0
    shown = json.loads(mfcli("recommend", "--run", "served", "--user", 1, "-n", 80, "--json").stdout)
    rated = {
        line.split(",")[1]
        for line in (artifacts / "raw/synthetic/ratings.csv").read_text().splitlines()
        if line.startswith("1,")
    }
    assert {str(row["item"]) for row in shown}.isdisjoint(rated)
    assert len(shown) == 80 - len(rated)


@pytest.mark.parametrize("solver", ["adam", "als", "gibbs"])
def test_a_warm_start_begins_with_the_vectors_that_are_known_by_their_ids(
    artifacts: Path, mfcli: Runner, solver: str
) -> None:
    fit = ("train", "--solver", solver, "--factors", 4, "-q")
    assert mfcli(*fit, "--run", "before").returncode == 0
    _, *lines = (artifacts / "raw/synthetic/ratings.csv").read_text().splitlines()
    fresh = [f"new{line}" if line.startswith("1") else line for line in reversed(lines)]
    (artifacts.parent / "more.csv").write_text("\n".join(["user,item,rating,time", *fresh]))
    assert mfcli("prepare", "--ratings", "more.csv", "-q").returncode == 0
    done = mfcli("train", "--warm-start", "before", "--run", "after", "--json")
    assert done.returncode == 0, done.stderr
    assert re.search(r"run 'before' learnt from \d+ of the 600 ratings held out now, which will flatter", done.stderr)
    told = re.search(r"beginning with the vectors of run 'before'; (\d+) users and 0 items are new", done.stderr)
    assert told
    assert int(told[1]) == len({line.split(",")[0] for line in fresh if line.startswith("new")})
    record = Artifacts(artifacts).run("after").record()
    assert (record.config["solver"], record.config["factors"], record.config["warm_start"]) == (solver, 4, "before")
    assert record.results["epochs"] < Artifacts(artifacts).run("before").record().results["epochs"]
    assert set(record.inputs) == {"data", "run before"}
    assert mfcli("train", "--solver", solver, "--factors", 4, "--run", "anew", "-q").returncode == 0
    warm, anew = (Artifacts(artifacts).run(name).record().results["validation_rmse"] for name in ("after", "anew"))
    assert warm < anew + 0.02


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--warm-start", "default", "--factors", 5),
            "--factors: --warm-start goes on from run 'default', where it is 4",
        ),
        (
            ("--warm-start", "default", "--solver", "als"),
            "--solver: --warm-start goes on from run 'default', where it is adam",
        ),
        (("--warm-start", "default", "--samples", 5), "--samples is for --solver gibbs, not for adam"),
        (
            ("--refit", "default", "--run", "x", "--epochs", 9),
            "--epochs: --refit goes on from run 'default', where it is 4",
        ),
        (
            ("--refit", "default", "--run", "x", "--warm-start", "default"),
            "--refit and --warm-start exclude each other",
        ),
        (("--refit", "default"), "--refit default: name the new run by --run"),
    ],
)
def test_options_that_contradict_the_run_that_is_gone_on_from_are_usage_errors(
    artifacts: Path, mfcli: Runner, options: tuple[object, ...], message: str
) -> None:
    done = mfcli("train", *options)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert message in done.stderr


# ── promotion ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def rivals(artifacts: Path, mfcli: Runner) -> Artifacts:
    """The run ``default`` and a much worse one, ``candidate``."""
    worse = ("--factors", 1, "--epochs", 1, "--l2", 1000, "--bias-l2", 1000, "--side", "none")
    assert mfcli("train", "--run", "candidate", *worse, "-q").returncode == 0
    return Artifacts(artifacts)


def test_a_run_that_does_not_meet_a_gate_changes_nothing(rivals: Artifacts, mfcli: Runner) -> None:
    before = {name: rivals.run(name).record().fingerprint for name in ("default", "candidate")}
    for gate in (("--no-worse-than", "default"), ("--max-rmse", 0.1)):
        done = mfcli("evaluate", "--run", "candidate", *gate, "--promote", "default", "--json")
        assert (done.returncode, json.loads(done.stdout)["promoted"]) == (7, None)
    assert {name: rivals.run(name).record().fingerprint for name in before} == before
    assert not rivals.run("default.previous").exists()


@pytest.mark.parametrize("gate", [(), ("--max-rmse", 5), ("--no-worse-than", "default", "--tolerance", 5)])
def test_a_run_that_meets_every_gate_takes_the_place_and_the_former_one_stays(
    rivals: Artifacts, mfcli: Runner, gate: tuple[object, ...]
) -> None:
    old, new = (rivals.run(name).record().fingerprint for name in ("default", "candidate"))
    done = mfcli("evaluate", "--run", "candidate", *gate, "--promote", "default", "--json")
    assert done.returncode == 0, done.stderr
    assert done.stderr.endswith("run 'candidate' is run 'default' now; the former one is 'default.previous' now\n")
    assert (rivals.run("default").record().fingerprint, rivals.run("default.previous").record().fingerprint) == (
        new,
        old,
    )
    assert not rivals.run("candidate").exists()
    told = json.loads((rivals.run("default").path / "evaluation.json").read_text())
    assert (told["run"], told["promoted"], told["inputs"]["model"]) == ("candidate", "default", new)
    record = rivals.run("default").record()
    assert "candidate" not in record.body["command"]
    assert "--run" not in record.made_by
    assert mfcli("evaluate", "--run", "default.previous", "--promote", "default", "-q").returncode == 0
    assert (rivals.run("default").record().fingerprint, rivals.run("default.previous").record().fingerprint) == (
        old,
        new,
    )


def test_a_promotion_says_which_model_is_removed_by_it(rivals: Artifacts, mfcli: Runner) -> None:
    shutil.copytree(rivals.run("candidate").path, rivals.run("second").path)
    for run, more in (("candidate", ""), ("second", "; the earlier 'default.previous' is removed")):
        done = mfcli("evaluate", "--run", run, "--promote", "default")
        told = f"run '{run}' is run 'default' now; the former one is 'default.previous' now{more}\n"
        assert done.stderr.endswith(told)


def test_no_command_is_named_that_would_make_a_former_model(rivals: Artifacts, mfcli: Runner) -> None:
    back = ("evaluate", "--run", "default.previous", "--promote", "default")
    done = mfcli(*back)
    there = f"{rivals.run('default.previous').path.relative_to(rivals.root.parent)}"
    message = f"mfcli: error: {there} is not there yet: a promotion leaves the former model there\n"
    assert (done.returncode, done.stderr) == (3, message)
    assert mfcli("evaluate", "-q", "--run", "candidate", "--promote", "default").returncode == 0
    renew(rivals.root, mfcli)
    model = rivals.run("default.previous").path / "model.safetensors"
    model.rename(model.with_name("aside"))
    for file in (model, model.with_name("stage.json")):
        file.write_bytes(b"altered")
        done = mfcli(*back)
        assert (done.returncode, done.stderr.count("\n")) == (3, 1)
        assert done.stderr.endswith(": no command makes a former model again: remove it\n")
    assert mfcli("evaluate", "--run", "default").stderr.startswith("run 'default' is of earlier data than")


def test_going_back_to_a_model_of_earlier_data_advises_no_training_of_it(rivals: Artifacts, mfcli: Runner) -> None:
    assert mfcli("evaluate", "-q", "--run", "candidate", "--promote", "default").returncode == 0
    renew(rivals.root, mfcli)
    done = mfcli("evaluate", "--run", "default.previous", "--promote", "default")
    assert done.stderr.splitlines() == [
        "run 'default.previous' is of earlier data than artifacts/data holds now",
        "run 'default.previous' is run 'default' now; the former one is 'default.previous' now",
    ]


@pytest.mark.parametrize("place", ["default", "live"])
def test_no_run_takes_the_place_of_one_that_it_was_not_compared_with(
    rivals: Artifacts, mfcli: Runner, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    def judge(*arguments: Any) -> Any:
        if not rivals.run(place).exists() or place == "default":
            assert mfcli("train", "--solver", "als", "--epochs", 1, "--run", place, "-q").returncode == 0
        return judged(*arguments)

    judged = module.examine
    monkeypatch.setattr(module, "examine", judge)
    done = mfcli("evaluate", "--run", "candidate", "--no-worse-than", place, "--promote", place, "--tolerance", 9)
    assert done.returncode == 3
    assert f"runs/{place} was made again meanwhile: run this command again" in done.stderr
    assert rivals.run("candidate").exists()


def test_the_first_run_is_promoted_plainly(rivals: Artifacts, mfcli: Runner) -> None:
    done = mfcli("evaluate", "--run", "candidate", "--no-worse-than", "live", "--tolerance", 0, "--promote", "live")
    assert done.returncode == 0
    assert [line for line in done.stderr.splitlines() if not line.startswith("warning: ")] == [
        "there is no run 'live' yet that run 'candidate' could be worse than",
        "run 'candidate' is run 'live' now",
    ]
    assert mfcli("evaluate", "--run", "live", "--promote", "live").returncode == 2


def test_a_promotion_that_was_killed_half_way_is_no_first_night(rivals: Artifacts, mfcli: Runner) -> None:
    """Else the gate would be left out, as there is nothing at the place for a moment."""
    default = rivals.run("default").path
    default.rename(default.with_name(".default.promoted"))
    done = mfcli("evaluate", "--run", "candidate", "--no-worse-than", "default", "--promote", "default")
    assert done.returncode == 7
    assert mfcli("evaluate", "-q").returncode == 0


def test_of_a_refitted_run_nothing_is_held_out(artifacts: Path, mfcli: Runner) -> None:
    assert mfcli("train", "--refit", "default", "--run", "served", "-q").returncode == 0
    done = mfcli("evaluate", "--run", "served", "--json")
    assert (done.returncode, json.loads(done.stdout)["rmse"]) == (0, None)
    assert done.stderr == "run 'served' learnt from all ratings: nothing is held out to judge it by\n"
    assert "0 ratings, test part" in mfcli("evaluate", "--run", "served").stdout
    for arguments, message in (
        (("--run", "served", "--max-rmse", 5), "nothing is held out of a run that was refitted"),
        (("--no-worse-than", "served"), "run 'served' has learnt from 600 of the 600 ratings"),
    ):
        done = mfcli("evaluate", *arguments)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1)
        assert message in done.stderr
    done = mfcli("plot", "--run", "served", "--compare", "default", "--report", "--json")
    whole = {"learning-curves", "item-map", "rating-histogram", "compare", "report"}
    assert (done.returncode, set(json.loads(done.stdout)["files"])) == (0, whole)
    assert done.stderr.startswith("nothing is held out of run 'served': no figures of its predictions are drawn")
    assert "Nothing is held out to judge it by." in (artifacts / "runs/served/report.html").read_text()
    done = mfcli("plot", "--compare", "served", "--json")
    assert "compare-errors" not in json.loads(done.stdout)["files"], "it knows what it would be compared by"
    assert mfcli("evaluate", "--run", "served", "--part", "train", "-q").returncode == 0
    done = mfcli("train", "--run", "new", "--warm-start", "served")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "--warm-start served: that run learnt from all ratings" in done.stderr


def test_the_life_of_a_model(finished: Path, process: Runner, tmp_path: Path) -> None:
    head, *lines = (finished / "raw/synthetic/ratings.csv").read_text().splitlines()
    gate = ("evaluate", "--run", "candidate", "--no-worse-than", "default", "--promote", "default", "-q")
    train = ("train", "-q", "--solver", "als", "--factors", 2, "--run", "candidate")

    def night(ratings: int, *options: object) -> int:
        (tmp_path / "ratings.csv").write_text("\n".join([head, *lines[:ratings]]) + "\n")
        for command in (("prepare", "--ratings", "ratings.csv", "--test-users-share", 0.2, "-q"), (*train, *options)):
            done = process(*command)
            assert done.returncode == 0, done.stderr
        return int(process(*gate).returncode)

    def served() -> str:
        done = process("recommend", "--all-users", "--format", "csv", "-q")
        assert done.returncode == 0, done.stderr
        return str(done.stdout)

    assert night(2400) == 0
    first = served()
    assert night(3000, "--no-biases", "--epochs", 1) == 7
    assert served() == first
    assert night(3000, "--warm-start", "default") == 0
    second = served()
    assert second != first
    assert process("evaluate", "--run", "default.previous", "--promote", "default", "-q").returncode == 0
    assert served() == first
