"""The life of a model: it lives on when new data come, a better one takes its place, and a worse one never does."""

import json
import os
import shutil
import warnings
from pathlib import Path

import pytest

from mfcli.api import load
from mfcli.artifacts import Artifacts
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
    import mfcli.train as stage
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
