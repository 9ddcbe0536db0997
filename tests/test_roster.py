"""``evaluate --all``: every run in a line."""

import gc
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mfcli import evaluate as module
from mfcli.config.evaluate import EvaluateConfig
from mfcli.config.prepare import PrepareConfig
from mfcli.config.train import TrainConfig
from mfcli.errors import UsageError
from mfcli.evaluate import evaluate, evaluate_all
from mfcli.judging.roster import in_short
from mfcli.prepare import prepare
from mfcli.train import train
from tests.conftest import Listening, Runner


def test_every_run_has_a_line_and_is_evaluated_if_it_was_not(artifacts: Path, mfcli: Runner) -> None:
    train(TrainConfig(dir=artifacts, run="als", solver="als", factors=3, tolerance=0.5, epochs=2))
    evaluate(EvaluateConfig(dir=artifacts, run=("als",), top=(3,)))
    written = artifacts / "runs/als/evaluation.json"
    before = written.read_bytes()
    told = json.loads(mfcli("evaluate", "--all", "--json").stdout)["runs"]
    assert [(one["run"], one["solver"], one["settings"]) for one in told] == [
        ("default", "adam", "factors 4, epochs 4"),
        ("als", "als", "factors 3, epochs 2, tolerance 0.5"),
    ]
    assert written.read_bytes() == before
    assert [one["rmse"] for one in told] == [
        json.loads((artifacts / f"runs/{run}/evaluation.json").read_text())["rmse"] for run in ("default", "als")
    ]
    assert all(one["rmse_interval"][0] < one["rmse"] < one["rmse_interval"][1] for one in told)
    assert [list(one["ndcg"]) for one in told] == [[], ["3"]]
    assert all(0 < one["seconds"] < 60 and one["age"] >= 0 for one in told)
    text = mfcli("evaluate", "--all", "--top", "3").stdout
    assert text.splitlines()[1].split() == ["run", "solver", "settings", "RMSE", "95", "%", "NDCG@3", "seconds", "age"]
    assert mfcli("evaluate", "--all", "-d", "nowhere").returncode == 3


def test_runs_of_other_ratings_are_marked_and_one_without_any_has_no_measure(artifacts: Path, mfcli: Runner) -> None:
    prepare(PrepareConfig(dir=artifacts, split="latest"))
    train(TrainConfig(dir=artifacts, run="latest", solver="als", epochs=1))
    prepare(PrepareConfig(dir=artifacts, split="none"))
    train(TrainConfig(dir=artifacts, run="all", solver="als", epochs=1))
    done = mfcli("evaluate", "--all")
    assert "run 'all' learnt from all ratings: nothing is held out" in done.stderr
    lines = [line.split() for line in done.stdout.splitlines()[3:]]
    named = [["default", "adam"], ["latest", "*"], ["all", "†"]]
    assert [line[:2] for line in lines] == [*named, ["*", "judged"], ["†", "not"]]
    runs = evaluate_all(EvaluateConfig(dir=artifacts)).runs
    assert [(one.ratings is None, one.others) for one in runs] == [(False, False), (False, True), (True, False)]


def test_seconds_add_up_over_the_processes_of_a_run(
    artifacts: Path, mfcli: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mfcli import training as module

    class Stop(Exception):
        pass

    saved = module.TrainingRun._save

    def stop(self: module.TrainingRun) -> None:
        self.earlier += 1000
        saved(self)
        raise Stop

    monkeypatch.setattr(module, "SAVE_EVERY", 0.0)
    monkeypatch.setattr(module.TrainingRun, "_save", stop)
    with pytest.raises(Stop):
        train(TrainConfig(dir=artifacts, run="cut", epochs=2, factors=2))
    monkeypatch.setattr(module.TrainingRun, "_save", saved)
    train(TrainConfig(dir=artifacts, run="cut", resume=True))
    assert 1000 < json.loads((artifacts / "runs/cut/timing.json").read_text())["seconds"] < 1060


def test_settings_in_short() -> None:
    assert in_short(TrainConfig(solver="gibbs", side=("users", "items"), biases=False).recorded()) == (
        "side users+items, biases false"
    )
    assert in_short(TrainConfig(solver="ials").recorded()) == "defaults"
    assert in_short(TrainConfig(run="served", refit="default", factors=8).recorded()) == "factors 8, refit default"
    assert in_short({"epochs": 3, "gone": True}) == "?"
    with pytest.raises(UsageError, match="--all and --max-rmse exclude each other"):
        EvaluateConfig(all=True, max_rmse=1.0)


def test_lists_that_are_made_in_another_way_do_not_count(artifacts: Path) -> None:
    asked = EvaluateConfig(dir=artifacts, top=(3,))
    ranking = evaluate(asked).ranking
    assert ranking is not None
    usual = {3: ranking.lists[0].run["NDCG"]}
    for way in ({"relevant": 4.5}, {"rank_by": "rating"}):
        evaluate(replace(asked, **way))
        assert evaluate_all(EvaluateConfig(dir=artifacts)).runs[0].ndcg == {}
        assert evaluate_all(replace(asked, run=("default",), all=True, **way)).runs[0].ndcg != usual
        assert evaluate_all(replace(asked, run=("default",), all=True)).runs[0].ndcg == usual


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the system does not tell which files are open")
def test_many_runs_do_not_keep_their_files_open(artifacts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def count() -> int:
        gc.collect()
        return len(os.listdir("/proc/self/fd"))

    def line(*arguments: Any) -> Any:
        lines.append(made(*arguments))
        if len(lines) == 1:  # all runs have been judged by now
            open_files.append(count())
        return lines[-1]

    made = module.line
    for name in ("first", "second"):
        shutil.copytree(artifacts / "runs/default", artifacts / f"runs/{name}")
    evaluate_all(EvaluateConfig(dir=artifacts))
    open_files: list[int] = [count()]
    lines: list[Any] = []
    monkeypatch.setattr(module, "line", line)
    evaluate_all(EvaluateConfig(dir=artifacts))
    assert (len(lines), open_files[1]) == (3, open_files[0])


def test_it_is_said_if_some_runs_were_judged_without_lists(artifacts: Path) -> None:
    train(TrainConfig(dir=artifacts, run="als", solver="als", factors=3, epochs=2))
    evaluate(EvaluateConfig(dir=artifacts, run=("als",), top=(3, 5)))
    for top, notes in (((), ["not all runs were judged by the same lists: --top 3,5 does that"]), ((3, 5), [])):
        progress = Listening()
        evaluate_all(EvaluateConfig(dir=artifacts, top=top), progress)
        assert progress.notes == notes
