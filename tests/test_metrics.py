"""Metrics against scikit-learn and against numbers worked out by hand."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import mean_absolute_error, ndcg_score, precision_score, recall_score, root_mean_squared_error

from mfcli.models.metrics import RANKING, coverage, log_density, mae, ndcg_at, precision_at, recall_at, rmse

Metric = Callable[[np.ndarray, np.ndarray], float]
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


def test_precision_and_recall_by_hand() -> None:
    hits = np.array([True, False, True, True, False])
    assert precision_at(hits, 3, relevant=4) == pytest.approx(2 / 3)
    assert recall_at(hits, 3, relevant=4) == 0.5
    assert precision_at(hits, 10, relevant=3) == pytest.approx(3 / 10), "ranks that were not filled are misses"
    assert recall_at(hits, 10, relevant=3) == 1.0


def test_ndcg_by_hand() -> None:
    hits = np.array([False, True, True])
    gain, ideal = 1 / math.log2(3) + 1 / math.log2(4), 1 / math.log2(2) + 1 / math.log2(3)
    assert ndcg_at(hits, 3, relevant=2) == pytest.approx(gain / ideal)
    assert ndcg_at(hits, 1, relevant=2) == 0.0
    assert ndcg_at(np.array([True, True]), 2, relevant=9) == pytest.approx(1.0), "no list of two can be better"


@given(st.lists(st.booleans(), min_size=2, max_size=12).filter(any), st.integers(1, 15))
def test_ndcg_is_scikit_learns(hits: list[bool], n: int) -> None:
    ranked = -np.arange(len(hits))  # the first has the highest score
    expected = ndcg_score([np.array(hits, float)], [ranked], k=n)
    assert ndcg_at(np.array(hits), n, relevant=sum(hits)) == pytest.approx(expected)


@given(st.lists(st.booleans(), min_size=2, max_size=12).filter(any), st.integers(1, 12))
def test_precision_and_recall_are_scikit_learns(hits: list[bool], n: int) -> None:
    n = min(n, len(hits))
    recommended = np.arange(len(hits)) < n
    assert precision_at(np.array(hits), n, sum(hits)) == pytest.approx(precision_score(hits, recommended))
    assert recall_at(np.array(hits), n, sum(hits)) == pytest.approx(recall_score(hits, recommended))


@pytest.mark.parametrize("name", RANKING)
def test_every_ranking_metric_is_1_for_the_ideal_list_and_0_without_a_hit(name: str) -> None:
    metric = RANKING[name]
    assert metric(np.ones(3, bool), 3, 3) == pytest.approx(1)
    assert metric(np.zeros(3, bool), 3, 3) == metric(np.zeros(0, bool), 3, 3) == 0
    assert metric(np.ones(4, bool), 2, 2) == pytest.approx(1), "ranks beyond n do not count"
    assert 0 < metric(np.array([False, True, False]), 3, 2) < 1


def test_a_list_longer_than_there_are_items_costs_no_memory() -> None:
    assert ndcg_at(np.array([True, False]), 10**12, relevant=1) == 1.0


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
