"""The bootstrap by user: intervals hold the truth as often as they promise, whatever users are like."""

import numpy as np
import pytest
from scipy import stats

from mfcli.models import bootstrap
from mfcli.models.bootstrap import Groups, difference, estimate, mean, root_mean


def simulated(n_users: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Users, true errors of one model and of a slightly better one; active users have errors of their own kind.

    A user's errors have a mean and a spread of the user's own, and one user has up to a hundred times the ratings of
    another, as in MovieLens.
    """
    counts = np.ceil(rng.lognormal(2.5, 1.0, n_users)).astype(int)
    users = np.repeat(np.arange(n_users), counts)
    spread, shift = 0.8 * np.exp(rng.normal(0, 0.3, n_users)), rng.normal(0, 0.3, n_users)
    errors = rng.normal(shift[users], spread[users])
    return users, errors, 0.98 * errors + rng.normal(0, 0.1, len(users))


def columns(users: np.ndarray, *values: np.ndarray) -> np.ndarray:
    groups = Groups.of(users)
    return np.stack([groups.totals(), *map(groups.totals, values)], 1)


@pytest.fixture(scope="module")
def truth() -> tuple[float, float]:
    """RMSE of the first, and how much more it is than the second's, from so many users that luck is out of it."""
    _, one, other = simulated(400_000, np.random.default_rng(99))
    first, second = (float(np.sqrt(np.square(errors).mean())) for errors in (one, other))
    return first, first - second


def test_95_percent_intervals_hold_the_true_rmse_and_the_true_difference_92_to_98_times_of_100(
    truth: tuple[float, float],
) -> None:
    held = []
    for seed in range(400):
        users, one, other = simulated(120, np.random.default_rng(seed))
        found = (
            estimate(columns(users, one**2), root_mean),
            estimate(columns(users, one**2, other**2), difference(root_mean)),
        )
        held.append([f.interval[0] <= true <= f.interval[1] for f, true in zip(found, truth, strict=True)])  # type: ignore[index]
    assert (np.mean(held, 0) >= 0.92).all(), np.mean(held, 0)
    assert (np.mean(held, 0) <= 0.98).all(), np.mean(held, 0)


def test_users_in_groups_tell_as_much(monkeypatch: pytest.MonkeyPatch) -> None:
    users, errors, _ = simulated(3000, np.random.default_rng(0))
    alone = estimate(columns(users, errors**2), root_mean)
    monkeypatch.setattr(bootstrap, "GROUPS", 500)
    assert columns(users).shape == (500, 1)
    grouped = estimate(columns(users, errors**2), root_mean)
    assert grouped.value == pytest.approx(alone.value)
    assert np.diff(grouped.interval) == pytest.approx(np.diff(alone.interval), rel=0.15)  # type: ignore[arg-type]


def test_the_slopes_are_the_derivatives() -> None:
    totals = np.array([50.0, 40.0, 35.0])
    for measure in (mean, root_mean, difference(mean), difference(root_mean)):
        width = 2 if measure in (mean, root_mean) else 3
        _, slope = measure(totals[:width])
        for place in range(width):
            step = np.eye(width)[place] * 1e-5
            up, down = (measure(totals[:width] + way * step)[0] for way in (1, -1))
            assert slope[place] == pytest.approx((up - down) / 2e-5, rel=1e-6)


def test_a_mean_of_as_many_of_each_user_has_the_interval_and_p_of_the_t_test() -> None:
    values = np.random.default_rng(1).normal(0.2, 1.0, 200)
    found = estimate(columns(np.arange(200), values), mean)
    test = stats.ttest_1samp(values, 0)
    interval = test.confidence_interval()
    assert found.interval == pytest.approx((interval.low, interval.high), abs=0.02)
    assert found.p == pytest.approx(test.pvalue, abs=0.01)


def test_no_difference_is_not_far_from_chance_and_a_large_one_is() -> None:
    users, one, _ = simulated(200, np.random.default_rng(3))
    rng = np.random.default_rng(4)
    alike = estimate(columns(users, one**2, rng.permuted(one**2)), difference(root_mean))
    better = estimate(columns(users, one**2, 0.25 * one**2), difference(root_mean))
    assert alike.p is not None
    assert alike.p > 0.05
    assert better.p == pytest.approx(1 / 2001)


def test_where_nothing_varies_or_one_user_is_all_there_is() -> None:
    users = np.repeat(np.arange(5), 3)
    same = estimate(columns(users, np.full(15, 4.0)), root_mean)
    assert (same.value, same.interval) == (2.0, (2.0, 2.0))
    perfect = estimate(columns(users, np.zeros(15)), root_mean)
    assert (perfect.value, perfect.interval) == (0.0, (0.0, 0.0))
    assert estimate(columns(np.zeros(3, int), np.arange(3.0)), root_mean).interval is None


def test_of_some_entries_alone() -> None:
    groups = Groups.of(np.array([7, 3, 7, 5]))
    assert groups.totals(np.array([1.0, 2.0, 4.0, 8.0])).tolist() == [2.0, 8.0, 5.0]
    assert groups.totals(where=np.array([True, True, False, False])).tolist() == [1.0, 0.0, 1.0]
