"""How sure a run is: what `recommend --with-std` and `evaluate` say of it, through the real command."""

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from mfcli.models import model_file
from tests.conftest import Runner


@pytest.fixture
def gibbs(artifacts: Path, mfcli: Runner) -> Path:
    done = mfcli("train", "--solver", "gibbs", "--burn-in", 5, "--samples", 8, "--factors", 4, "--run", "g", "-q")
    assert done.returncode == 0, done.stderr
    return artifacts


def test_recommendations_come_with_their_standard_deviation(gibbs: Path, mfcli: Runner) -> None:
    done = mfcli("recommend", "--run", "g", "--user", 3, "-n", 5, "--with-std", "--format", "csv")
    rows = list(csv.DictReader(done.stdout.splitlines()))
    assert list(rows[0]) == ["user", "rank", "item", "title", "genres", "prediction", "std", "score", "ranked_by"]
    model = model_file.from_bytes((gibbs / "runs/g/model.safetensors").read_bytes())
    items = pq.read_table(gibbs / "data/items.parquet")["id"].to_pylist()
    users = pq.read_table(gibbs / "data/users.parquet")["id"].to_pylist()
    expected = model.deviations(np.array([users.index(3)]), np.array([items.index(int(r["item"])) for r in rows]))
    assert expected is not None
    np.testing.assert_allclose([float(r["std"]) for r in rows], expected, atol=5.1e-5)


def test_somebody_new_is_less_sure_the_fewer_ratings_they_give(gibbs: Path, mfcli: Runner) -> None:
    items = pq.read_table(gibbs / "data/items.parquet")["id"].to_pylist()
    found = []
    for count in (1, 30):
        lines = [f"{item},4" for item in items[:count]]
        (gibbs.parent / "new.csv").write_text("\n".join(["item,rating", *lines]))
        options = ("--run", "g", "--ratings", "new.csv", "--with-std", "--include-seen", "-n", len(items))
        done = mfcli("recommend", *options, "--format", "jsonl")
        found.append({row["item"]: row["std"] for row in map(json.loads, done.stdout.splitlines())})
    few, many = found
    assert len(few) == len(many) == len(items)
    assert all(many[item] <= few[item] + 1e-4 for item in items)
    assert np.mean(list(many.values())) < np.mean(list(few.values()))


def test_evaluate_says_how_well_calibrated_it_is(gibbs: Path, mfcli: Runner) -> None:
    told = json.loads(mfcli("evaluate", "--run", "g", "--json").stdout)["calibration"]
    model = model_file.from_bytes((gibbs / "runs/g/model.safetensors").read_bytes())
    test = pq.read_table(gibbs / "data/test.parquet").to_pydict()
    told_of = tuple(np.array(test[name]) for name in ("user", "item", "timestamp"))
    deviations = model.deviations(*told_of)
    assert deviations is not None
    scaled = np.abs(np.array(test["rating"]) - model.predict(*told_of)) / deviations
    assert told["within_1"] == pytest.approx((scaled <= 1).mean())
    assert told["within_2"] == pytest.approx((scaled <= 2).mean())
    density = -0.5 * scaled**2 - np.log(deviations) - 0.5 * np.log(2 * np.pi)
    assert told["log_density"] == pytest.approx(density.mean(), rel=1e-5)


def test_the_lower_bound_ranks_by_the_rating_less_two_standard_deviations_of_the_prediction(
    gibbs: Path, mfcli: Runner
) -> None:
    items = pq.read_table(gibbs / "data/items.parquet")["id"].to_pylist()
    users = pq.read_table(gibbs / "data/users.parquet")["id"].to_pylist()
    model = model_file.from_bytes((gibbs / "runs/g/model.safetensors").read_bytes())
    assert model.variances is not None
    user = users.index(3)
    bounds = model.scores(np.array([user]))[0] - 2 * np.sqrt(model.variances.users[user] * model.variances.items)
    options = ("--run", "g", "--rank-by", "lower-bound", "-n", len(items), "--include-seen", "--format", "jsonl")
    rows = [json.loads(line) for line in mfcli("recommend", *options, "--user", 3).stdout.splitlines()]
    assert [row["item"] for row in rows] == [items[row] for row in np.argsort(-bounds)]
    np.testing.assert_allclose([row["score"] for row in rows], np.sort(bounds)[::-1], rtol=1e-5)
    (gibbs.parent / "new.csv").write_text(f"item,rating\n{items[3]},4\n{items[5]},1")
    folded = [json.loads(r) for r in mfcli("recommend", *options, "--ratings", "new.csv").stdout.splitlines()]
    assert len(folded) == len(items)
    assert all(row["score"] < row["prediction"] for row in folded[:5])


def test_a_solver_that_cannot_tell_has_no_lower_bound(artifacts: Path, mfcli: Runner) -> None:
    for command in (("recommend", "--user", 3), ("evaluate", "--top", 5)):
        done = mfcli(*command, "--rank-by", "lower-bound")
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert "--solver gibbs" in done.stderr


def test_a_solver_that_cannot_tell_is_a_usage_error(artifacts: Path, mfcli: Runner) -> None:
    done = mfcli("recommend", "--user", 3, "--with-std")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--solver gibbs" in done.stderr
    assert json.loads(mfcli("evaluate", "--json").stdout)["calibration"] is None
