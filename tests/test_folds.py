"""Cross-validation: folds by hand, interruptions, and the corrected t-test."""

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from mfcli.artifacts import Artifacts
from mfcli.config.evaluate import EvaluateConfig
from mfcli.config.prepare import PrepareConfig
from mfcli.config.train import TrainConfig
from mfcli.data.prepared import Prepared
from mfcli.data.training import TrainingData
from mfcli.errors import UsageError
from mfcli.evaluate import cross_validate
from mfcli.judging import folds as module
from mfcli.judging.folds import Folds, corrected
from mfcli.models.baselines import bias_model
from mfcli.models.metrics import rmse
from mfcli.prepare import prepare
from mfcli.solvers.compute import Compute, pick_device
from mfcli.solvers.fit import Fit
from mfcli.train import train
from tests.conftest import Runner


@pytest.fixture
def two(artifacts: Path) -> EvaluateConfig:
    """Three folds of the runs ``als`` and ``default``."""
    train(TrainConfig(dir=artifacts, run="als", solver="als", factors=3, epochs=2))
    return EvaluateConfig(dir=artifacts, run=("als", "default"), cross_validate=3)


def test_every_rating_is_tested_once_and_the_measures_are_those_of_fits_by_hand(two: EvaluateConfig) -> None:
    done = cross_validate(two)
    assert [(one.run, one.solver) for one in done.runs] == [("als", "als"), ("default", "adam")]
    folds = Folds(two, Artifacts(two.dir))
    parts = [folds.parts(fold) for fold in (1, 2, 3)]
    tested = sorted((u, i) for one in parts for u, i in zip(one.test.users, one.test.items, strict=True))
    assert len(set(tested)) == len(tested) == done.ratings == 3000
    for run in done.runs:
        config = TrainConfig.from_mapping(Artifacts(two.dir).run(run.run).record().config)
        by_hand = []
        for one in parts:
            data = TrainingData(one.train, one.val, folds.prepared.features)
            fit = Fit.of(config, data, Compute(pick_device("cpu"), 1))
            while not fit.finished:
                fit.run_epoch(lambda *_: None)
            predicted = fit.kept()[0].predict(one.test.users, one.test.items, one.test.timestamps)
            by_hand.append(rmse(one.test.ratings, predicted))
        assert run.measures["RMSE"].folds == pytest.approx(by_hand, rel=1e-6)
        assert run.measures["RMSE"].mean == pytest.approx(np.mean(by_hand))
        assert run.measures["RMSE"].sd == pytest.approx(np.std(by_hand, ddof=1))
    (biases,) = done.baselines
    of_biases = [bias_model(one.train).predict(one.test.users, one.test.items) for one in parts]
    by_hand = [rmse(one.test.ratings, predicted) for one, predicted in zip(parts, of_biases, strict=True)]
    assert (biases.run, biases.measures["RMSE"].folds) == ("biases alone", pytest.approx(by_hand))
    difference = done.differences[0]
    assert difference.measure == "RMSE of 'default'"
    assert difference.difference == pytest.approx(
        done.runs[1].measures["RMSE"].mean - done.runs[0].measures["RMSE"].mean
    )


def test_folds_are_the_same_however_the_data_were_cut(artifacts: Path) -> None:
    config, tested = EvaluateConfig(dir=artifacts, cross_validate=4), []
    for split in ("random", "none"):
        prepare(PrepareConfig(dir=artifacts, split=split))
        test = Folds(config, Artifacts(artifacts)).parts(2).test
        tested.append((test.users.tolist(), test.items.tolist(), test.ratings.tolist()))
    assert tested[0] == tested[1]


def test_stopped_it_goes_on_with_the_folds_that_are_left(
    two: EvaluateConfig, mfcli: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []
    fitted, run_epoch = module._fitted, Fit.run_epoch

    def noted(config: TrainConfig, data: TrainingData, where: str, progress: object) -> object:
        tried.append(where)
        return fitted(config, data, where, progress)  # type: ignore[arg-type]

    def stopped(self: Fit, tick: object) -> object:
        if len(tried) == 4:
            os.kill(os.getpid(), signal.SIGINT)
        return run_epoch(self, tick)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "_fitted", noted)
    monkeypatch.setattr(Fit, "run_epoch", stopped)
    command = ("evaluate", "--cross-validate", 3, "--run", "als", "--run", "default")
    done = mfcli(*command)
    assert (done.returncode, done.stdout) == (130, "")
    assert "stopped in fold 2/3, run 'default'; the same command goes on from there" in done.stderr
    monkeypatch.setattr(Fit, "run_epoch", run_epoch)
    tried.clear()
    whole = json.loads(mfcli(*command, "--json").stdout)
    assert tried == [f"fold {fold}/3, run '{run}'" for fold, run in ((2, "default"), (3, "als"), (3, "default"))]
    tried.clear()
    assert json.loads(mfcli(*command, "--json").stdout) == whole
    train(TrainConfig(dir=two.dir, run="als", solver="als", factors=2, epochs=2))
    text = mfcli(*command).stdout
    assert tried == [f"fold {fold}/3, run 'als'" for fold in (1, 2, 3)]
    assert text.splitlines()[0] == "3 folds of 3,000 ratings: means and standard deviations over folds"
    assert [line.split()[:2] for line in text.splitlines()[5:6]] == [["biases", "alone"]]
    assert "Differences from run 'als', fold by fold" in text
    (two.dir / "runs/als/cross-validation.json").write_text("{")
    tried.clear()
    assert mfcli("evaluate", "--cross-validate", 2, "--run", "als").returncode == 0
    assert len(tried) == 2


def test_clicks_are_judged_by_lists(artifacts: Path) -> None:
    prepare(PrepareConfig(dir=artifacts, as_clicks=True))
    train(TrainConfig(dir=artifacts, solver="ials", factors=3, epochs=2))
    done = cross_validate(EvaluateConfig(dir=artifacts, cross_validate=2))
    (run,), (popular,) = done.runs, done.baselines
    assert "RMSE" not in run.measures
    assert popular.run == "most popular"
    assert 0 < popular.measures["NDCG@10"].mean < 1
    assert 0 < run.measures["NDCG@10"].mean < 1
    assert Prepared(Artifacts(artifacts).data.record()).feedback == "clicks"


def test_the_corrected_test_is_the_paired_t_test_with_more_variance() -> None:
    differences = np.random.default_rng(0).normal(0.01, 0.02, 6)
    interval, p = corrected(differences)
    plain = stats.ttest_1samp(differences, 0)
    factor = np.sqrt((1 / 6 + 1 / 5) / (1 / 6))
    assert p == pytest.approx(2 * stats.t.sf(abs(plain.statistic) / factor, 5))
    low, high = plain.confidence_interval()
    assert np.diff(interval) == pytest.approx((high - low) * factor)
    assert np.mean(interval) == pytest.approx(differences.mean())
    assert corrected(np.zeros(3)) == ((0.0, 0.0), 1.0)


@pytest.mark.parametrize("options", [{"all": True}, {"max_rmse": 1.0}, {"against": "b"}, {"part": "val"}])
def test_it_stands_alone(options: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=r"--cross-validate and --.* exclude each other"):
        EvaluateConfig(cross_validate=3, **options)  # type: ignore[arg-type]
