"""Metrics against scikit-learn and against numbers worked out by hand."""

import json
import math
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import (
    average_precision_score,
    mean_absolute_error,
    ndcg_score,
    precision_score,
    recall_score,
    root_mean_squared_error,
)

from mfcli.models.metrics import (
    OF_LISTS,
    average_precision_at,
    catalogue_coverage,
    coverage,
    gini,
    hit_rate_at,
    log_density,
    mae,
    mean_popularity,
    ndcg_at,
    precision_at,
    recall_at,
    reciprocal_rank_at,
    rmse,
)
from tests.conftest import clean_environment

Metric = Callable[[np.ndarray, np.ndarray], float]
OfLists = Callable[[np.ndarray, int, np.ndarray], np.ndarray]
RATINGS = st.lists(st.tuples(st.floats(-100, 100, width=32), st.floats(-100, 100, width=32)), min_size=1)


@given(RATINGS)
def test_rmse_and_mae_are_scikit_learns(pairs: list[tuple[float, float]]) -> None:
    actual, predicted = np.array(pairs, np.float32).T
    wide = actual.astype(np.float64), predicted.astype(np.float64)
    assert rmse(actual, predicted) == pytest.approx(root_mean_squared_error(*wide), rel=1e-12)
    assert mae(actual, predicted) == pytest.approx(mean_absolute_error(*wide), rel=1e-12)


def test_rmse_and_mae_by_hand() -> None:
    actual, predicted = np.array([1.0, 2.0, 5.0]), np.array([1.0, 4.0, 4.0])
    assert rmse(actual, predicted) == pytest.approx(math.sqrt((0 + 4 + 1) / 3))
    assert mae(actual, predicted) == 1.0
    assert rmse(actual, actual) == mae(actual, actual) == 0.0


def test_a_million_float32_errors_are_summed_without_loss() -> None:
    actual = np.full(1_000_000, 1000.1, np.float32)
    error = float(np.float32(1000.1)) - 1000.0
    assert rmse(actual, np.full_like(actual, 1000)) == pytest.approx(error, rel=1e-9)
    assert mae(actual, np.full_like(actual, 1000)) == pytest.approx(error, rel=1e-9)


@pytest.mark.parametrize("metric", [rmse, mae])
@pytest.mark.parametrize(("shape", "other"), [((0,), (0,)), ((3,), (1,)), ((3,), (3, 1)), ((2, 2), (2, 2))])
def test_what_cannot_be_compared_is_refused(metric: Metric, shape: tuple[int, ...], other: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"shapes|no ratings"):
        metric(np.zeros(shape), np.zeros(other))


def one(metric: OfLists, hits: list[bool], n: int, relevant: int) -> float:
    """A metric of a single list."""
    (value,) = metric(np.array([hits], bool), n, np.array([relevant]))
    return float(value)


def test_precision_and_recall_by_hand() -> None:
    hits = [True, False, True, True, False]
    assert one(precision_at, hits, 3, relevant=4) == pytest.approx(2 / 3)
    assert one(recall_at, hits, 3, relevant=4) == 0.5
    assert one(precision_at, hits, 10, relevant=3) == pytest.approx(3 / 10), "ranks that were not filled are misses"
    assert one(recall_at, hits, 10, relevant=3) == 1.0


def test_ndcg_by_hand() -> None:
    hits = [False, True, True]
    gain, ideal = 1 / math.log2(3) + 1 / math.log2(4), 1 / math.log2(2) + 1 / math.log2(3)
    assert one(ndcg_at, hits, 3, relevant=2) == pytest.approx(gain / ideal)
    assert one(ndcg_at, hits, 1, relevant=2) == 0.0
    assert one(ndcg_at, [True, True], 2, relevant=9) == pytest.approx(1.0), "no list of two can be better"


def test_average_precision_reciprocal_rank_and_hit_rate_by_hand() -> None:
    hits = [False, True, False, True]
    assert one(average_precision_at, hits, 4, relevant=3) == pytest.approx((1 / 2 + 2 / 4) / 3)
    assert one(average_precision_at, hits, 3, relevant=3) == pytest.approx(1 / 2 / 3)
    assert (one(reciprocal_rank_at, hits, 4, 3), one(reciprocal_rank_at, hits, 1, 3)) == (0.5, 0.0)
    assert (one(hit_rate_at, hits, 4, 3), one(hit_rate_at, hits, 1, 3)) == (1.0, 0.0)


@given(st.lists(st.booleans(), min_size=2, max_size=12).filter(any), st.integers(1, 15))
def test_ndcg_is_scikit_learns(hits: list[bool], n: int) -> None:
    ranked = -np.arange(len(hits))  # the first has the highest score
    expected = ndcg_score([np.array(hits, float)], [ranked], k=n)
    assert one(ndcg_at, hits, n, relevant=sum(hits)) == pytest.approx(expected)


@given(st.lists(st.booleans(), min_size=2, max_size=12).filter(any), st.integers(1, 12))
def test_precision_and_recall_are_scikit_learns(hits: list[bool], n: int) -> None:
    n = min(n, len(hits))
    recommended = np.arange(len(hits)) < n
    assert one(precision_at, hits, n, sum(hits)) == pytest.approx(precision_score(hits, recommended))
    assert one(recall_at, hits, n, sum(hits)) == pytest.approx(recall_score(hits, recommended))


@given(st.lists(st.booleans(), min_size=2, max_size=12).filter(any))
def test_average_precision_is_scikit_learns(hits: list[bool]) -> None:
    expected = average_precision_score(hits, -np.arange(len(hits)))
    assert one(average_precision_at, hits, len(hits), sum(hits)) == pytest.approx(expected)


RANX = """
import json, sys
import ranx
told = json.load(sys.stdin)
scored = {user: {item: 1 - rank / 100 for rank, item in enumerate(items)} for user, items in told["lists"].items()}
run = ranx.Run(scored)
qrels = ranx.Qrels({user: {item: 1 for item in items} for user, items in told["relevant"].items()})
names = ["precision", "recall", "ndcg", "map", "mrr", "hit_rate"]
found = ranx.evaluate(qrels, run, [f"{name}@{n}" for name in names for n in told["sizes"]])
print(json.dumps({name: float(value) for name, value in found.items()}))
"""


def test_metrics_of_lists_are_those_of_ranx() -> None:
    """Of 30 users with 1 to 12 relevant items of 40 and lists of 20, in a process where ranx compiles nothing."""
    pytest.importorskip("ranx", reason="ranx is not installed: pip install '.[test]'", exc_type=ImportError)
    rng = np.random.default_rng(0)
    lists = np.stack([rng.permutation(40)[:20] for _ in range(30)])
    relevant = [rng.permutation(40)[: rng.integers(1, 13)] for _ in range(30)]
    told = {
        "lists": {f"u{u}": [f"i{i}" for i in items] for u, items in enumerate(lists)},
        "relevant": {f"u{u}": [f"i{i}" for i in items] for u, items in enumerate(relevant)},
        "sizes": [1, 5, 20],
    }
    done = subprocess.run(
        [sys.executable, "-c", RANX],
        input=json.dumps(told),
        env=clean_environment(NUMBA_DISABLE_JIT="1", PYTHONWARNINGS="ignore"),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    theirs = json.loads(done.stdout)
    hits = np.stack([np.isin(items, wanted) for items, wanted in zip(lists, relevant, strict=True)])
    counts = np.array([len(wanted) for wanted in relevant])
    for name, metric in OF_LISTS.items():
        for n in told["sizes"]:
            assert metric(hits, n, counts).mean() == pytest.approx(theirs[f"{name.lower()}@{n}"]), (name, n)


@pytest.mark.parametrize("name", OF_LISTS)
def test_every_metric_of_lists_is_1_for_the_ideal_list_and_0_without_a_hit(name: str) -> None:
    metric = OF_LISTS[name]
    assert one(metric, [True] * 3, 3, 3) == pytest.approx(1)
    assert one(metric, [False] * 3, 3, 3) == one(metric, [], 3, 3) == 0
    assert one(metric, [True] * 4, 2, 2) == pytest.approx(1), "ranks beyond n do not count"
    assert 0 < one(metric, [False, True, False], 3, 2) <= 1
    assert len(metric(np.zeros((0, 3), bool), 3, np.zeros(0, int))) == 0


def test_a_list_longer_than_there_are_items_costs_no_memory() -> None:
    assert one(ndcg_at, [True, False], 10**12, relevant=1) == 1.0


def test_catalogue_metrics_by_hand() -> None:
    assert catalogue_coverage(np.array([3, 0, 1, 0])) == 0.5
    assert mean_popularity(np.array([3, 0, 1]), np.array([10, 99, 2])) == pytest.approx((3 * 10 + 2) / 4)
    assert gini(np.array([2, 2, 2])) == pytest.approx(0)
    assert gini(np.array([0, 0, 0, 8])) == pytest.approx(3 / 4), "1 - 1/n, if one item takes every place"


@given(st.lists(st.integers(0, 20), min_size=1, max_size=15).filter(any))
def test_gini_is_half_the_mean_difference_of_two_items_over_their_mean(counts: list[int]) -> None:
    x = np.array(counts)
    assert gini(x) == pytest.approx(np.abs(x[:, None] - x).mean() / (2 * x.mean()), abs=1e-12)


def test_coverage_is_the_share_within_so_many_deviations() -> None:
    actual, predicted = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.5, 2.0, 5.0, 4.6])
    deviations = np.array([1.0, 0.1, 1.5, 0.5])
    assert coverage(actual, predicted, deviations, 1) == 0.5
    assert coverage(actual, predicted, deviations, 2) == 1.0


def test_log_density_is_scipys() -> None:
    actual, predicted, deviations = np.array([1.0, 2.0]), np.array([1.5, 4.0]), np.array([0.5, 2.0])
    assert log_density(actual, predicted, deviations) == pytest.approx(
        norm.logpdf(actual, predicted, deviations).mean()
    )
