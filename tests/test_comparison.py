"""A run beside another: differences by hand, what cannot be compared, gates, and data that grow."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mfcli.artifacts import Artifacts
from mfcli.config.evaluate import EvaluateConfig
from mfcli.config.prepare import PrepareConfig
from mfcli.config.train import TrainConfig
from mfcli.errors import ArtifactError, UsageError
from mfcli.evaluate import evaluate
from mfcli.judging.gates import failure, gates
from mfcli.judging.moved import learnt, moved
from mfcli.judging.sums import Sums
from mfcli.models.days import DayEffects, keys
from mfcli.models.run import TrainedRun, open_run
from mfcli.prepare import prepare
from mfcli.train import train
from tests.conftest import Runner


@pytest.fixture(scope="module")
def two(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished chain with a second, worse run, both evaluated."""
    folder = Path(shutil.copytree(finished, tmp_path_factory.mktemp("two") / "artifacts"))
    train(TrainConfig(dir=folder, run="worse", epochs=1, factors=2))
    for run in ("default", "worse"):
        evaluate(EvaluateConfig(dir=folder, run=(run,), top=(5,)))
    return folder


def test_differences_are_those_of_the_two_and_chance_is_told_from_more(two: Path) -> None:
    found = evaluate(EvaluateConfig(dir=two, against="worse", top=(5,))).comparison
    one, other = (evaluate(EvaluateConfig(dir=two, run=(run,), top=(5,))) for run in ("default", "worse"))
    assert found is not None
    assert found.against == "run 'worse'"
    by_name = {difference.measure: difference for difference in found.differences}
    assert list(by_name)[:3] == ["RMSE", "MAE", "precision@5"]
    assert by_name["RMSE"].difference == pytest.approx(one.rmse - other.rmse)
    assert by_name["MAE"].against == pytest.approx(other.mae)
    assert one.ranking is not None
    assert by_name["NDCG@5"].run == pytest.approx(one.ranking.lists[0].run["NDCG"])
    for difference in found.differences:
        assert difference.interval is not None
        assert difference.p is not None
        low, high = difference.interval
        assert low <= difference.difference <= high
        assert (difference.p < 0.05) == (not low <= 0 <= high)
    assert by_name["RMSE"].p < 0.01


def test_a_file_of_an_evaluation_says_the_same_as_the_run(two: Path, tmp_path: Path, mfcli: Runner) -> None:
    file = shutil.copy(two / "runs/worse/evaluation.json", tmp_path / "base.json")
    of_run, of_file = (evaluate(EvaluateConfig(dir=two, against=one, top=(5,))) for one in ("worse", str(file)))
    assert of_run.comparison is not None
    assert of_file.comparison is not None
    for one, other in zip(of_run.comparison.differences, of_file.comparison.differences, strict=True):
        assert (one.measure, one.difference) == (other.measure, pytest.approx(other.difference, abs=1e-8))
        assert one.p == pytest.approx(other.p, abs=1e-3)
    done = mfcli("evaluate", "--dir", two, "--against", "base.json", env={"COLUMNS": "80"})
    header = ["this", "run", "the", "other", "difference", "95", "%", "p"]
    assert {" ".join(header), "this run run 'default'", "the other base.json"} <= {
        " ".join(line.split()) for line in done.stdout.splitlines()
    }


def test_an_evaluation_of_other_ratings_or_no_evaluation_is_refused_in_one_line(
    two: Path, tmp_path: Path, mfcli: Runner
) -> None:
    shutil.copy(two / "runs/worse/evaluation.json", tmp_path / "base.json")
    done = mfcli("evaluate", "--dir", two, "--part", "val", "--against", "base.json")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1)
    assert "the test parts differ" in done.stderr
    for content in (
        "{",
        "[]",
        json.dumps({"run": "a", "sums": {"counts": {"ratings": [1]}, "totals": {"RMSE": [1, 2]}}}),
    ):
        (tmp_path / "base.json").write_text(content)
        done = mfcli("evaluate", "--dir", two, "--against", "base.json")
        assert (done.returncode, "base.json is no evaluation.json" in done.stderr) == (3, True)
    done = mfcli("evaluate", "--dir", two, "--against", "nobody")
    assert (done.returncode, "runs/nobody is not there yet" in done.stderr) == (3, True)


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ("--run worse --no-worse-than default", 7, "is above that of run 'default' (0."),
        ("--run worse --no-worse-than default --tolerance 0.5", 0, ""),
        ("--no-worse-than worse", 0, ""),
        ("--max-mae 0.1", 7, "is above --max-mae 0.1, by 0."),
        ("--min-ndcg 0.9", 7, "is below --min-ndcg 0.9, by 0."),
        ("--min-ndcg 0.9 --max-rmse 0.1", 7, "; NDCG@10 0."),
        ("--min-ndcg 0.001 --max-mae 3 --max-rmse 3", 0, ""),
        ("--better-than-biases", 0, ""),
        ("--run worse --better-than-biases", 7, "is above that of biases alone (0."),
    ],
)
def test_gates_exit_7_and_say_by_how_much(two: Path, mfcli: Runner, options: str, code: int, message: str) -> None:
    done = mfcli("evaluate", "--dir", two, "--json", *options.split())
    assert done.returncode == code
    assert json.loads(done.stdout)["passed"] is (code == 0)
    errors = [line for line in done.stderr.splitlines() if line.startswith("mfcli: error: ")]
    assert (message in done.stderr, len(errors)) == (True, code == 7)


def test_a_run_that_biases_alone_are_better_than_is_a_warning(two: Path, mfcli: Runner) -> None:
    done = mfcli("evaluate", "--dir", two, "--run", "worse")
    assert (done.returncode, done.stderr.count("\n"), "is worse" in done.stdout) == (0, 1, False)
    assert done.stderr.startswith("warning: run 'worse' is worse than biases alone (RMSE 0.")
    assert mfcli("evaluate", "--dir", two).stderr == ""


@pytest.mark.parametrize(
    ("biases", "mean", "bound"), [(1.5, 1.25, "the training mean (1.2500)"), (1.25, 1.5, "biases alone (1.2500)")]
)
def test_a_run_has_to_be_better_than_the_best_of_what_is_simpler(biases: float, mean: float, bound: str) -> None:
    config, baselines = EvaluateConfig(better_than_biases=True), {"biases alone": biases, "the training mean": mean}
    for value, passed in ((1.375, False), (1.25, False), (1.125, True)):
        sums = Sums({"ratings": np.ones(1)}, {"RMSE": np.full(1, value**2), "MAE": np.ones(1)})
        (gate,) = gates(config, sums, baselines, None)
        assert gate.passed is passed
        assert passed or f"RMSE {value:.4f} on test is above that of {bound}" in failure(gate, "test")


def test_measures_are_compared_only_where_they_mean_the_same() -> None:
    two_lists, three_lists = (
        Sums({"ratings": np.ones(2), "lists": np.array([1.0, lists])}, {"RMSE": np.ones(2), "NDCG@5": np.ones(2)})
        for lists in (1.0, 2.0)
    )
    assert two_lists.in_common(two_lists) == ["RMSE", "NDCG@5"]
    assert two_lists.in_common(three_lists) == ["RMSE"]
    assert Sums.from_plain(json.loads(json.dumps(three_lists.plain()))).totals["NDCG@5"].tolist() == [1, 1]


# ── data that grow ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def nights(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, TrainedRun]:
    """Runs of two nights; at the second one there are more users, items and ratings."""
    folder = tmp_path_factory.mktemp("nights")
    ratings = pd.read_csv(finished / "raw/synthetic/ratings.csv")
    user, item = ratings.columns[:2]
    # Ids that come first in their order are new, so that all rows are others.
    ratings[user], ratings[item] = 1000 - ratings[user], 1000 - ratings[item]
    known = ratings[(ratings[user] > ratings[user].quantile(0.2)) & (ratings[item] > ratings[item].quantile(0.1))]
    artifacts = Artifacts(folder / "artifacts")
    for name, some in (("first", known), ("second", ratings)):
        some.to_csv(folder / "ratings.csv", index=False)
        prepare(PrepareConfig(dir=artifacts.root, ratings=(folder / "ratings.csv",), test_users_share=0.2))
        train(TrainConfig(dir=artifacts.root, run=name, epochs=2, factors=3, side=("none",)))
    return {name: open_run(artifacts, name, "likely") for name in ("first", "second")}


def test_a_run_predicts_and_ranks_by_the_rows_of_newer_data_as_by_its_own(nights: dict[str, TrainedRun]) -> None:
    first, second = nights["first"], nights["second"]
    at_home, abroad = first.prepared, moved(first, second.prepared)
    users, items = (np.isin(getattr(second.prepared, s)["id"], getattr(at_home, s)["id"]) for s in ("users", "items"))
    assert 0 < users.sum() < len(users)
    assert 0 < items.sum() < len(items)
    everybody = np.arange(len(users))
    for here, there in ((first.model, abroad.model), (first.scorer("likely"), abroad.scorer("likely"))):
        expected = here.scores(np.arange(at_home.n_users))
        assert np.allclose(there.scores(everybody)[users][:, items], expected, rtol=1e-5, atol=1e-5)
    new = abroad.model.predict(np.flatnonzero(~users)[:1].repeat(items.sum()), np.flatnonzero(items))
    assert new == pytest.approx(first.model.clip(first.model.mean + first.model.biases.items), abs=1e-5)  # type: ignore[union-attr]


def test_hashed_pairs_of_tonight_are_new_to_yesterdays_run_and_others_are_refused(
    nights: dict[str, TrainedRun],
) -> None:
    first, second = nights["first"], nights["second"]
    for part, known in (("test", 0), ("train", len(first.prepared.part("train")))):
        assert learnt(second.prepared.part(part), second.prepared, first) == known
    tonight = EvaluateConfig(dir=second.stage.path.parents[1], run=("second",), against="first", top=(5,))
    found = evaluate(tonight).comparison
    assert found is not None
    assert found.differences[0].difference < 0 < found.differences[0].against < 1.5
    with pytest.raises(ArtifactError, match=r"the test parts differ: run 'first' has learnt from .* --split latest"):
        evaluate(replace(tonight, part="train"))


def test_effects_of_days_follow_their_users() -> None:
    users, times = np.array([0, 0, 2]), np.array([0, 90_000, -5])
    days = DayEffects(keys(users, times), np.array([1, 2, 3], np.float32), np.ones(3, np.float32), 0.5)
    there = days.of_users(np.array([2, -1, 0]))
    assert there.of(np.array([2, 2, 0, 1]), np.array([0, 90_000, -5, 0])).tolist() == [1, 2, 3, 0]
    assert (np.diff(there.keys) > 0).all()


@pytest.mark.parametrize(
    "options",
    [
        {"run": ("a", "b")},
        {"against": "a", "no_worse_than": "b"},
        {"tolerance": 0.1},
        {"no_worse_than": "default"},
        {"min_ndcg": 0.1, "top": (0,)},
    ],
)
def test_options_that_contradict_each_other(options: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        EvaluateConfig(**options)  # type: ignore[arg-type]
