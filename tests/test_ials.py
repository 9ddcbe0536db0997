"""Implicit ALS against plain NumPy, its objective written down, and what it promises."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from mfcli.arrays import Float64s
from mfcli.config.train import TrainConfig
from mfcli.data.ratings import Ratings
from mfcli.data.training import TrainingData
from mfcli.models.clicks import confidences
from mfcli.models.fold_in import fold_in
from mfcli.solvers import gathering
from mfcli.solvers.blocks import longest_short
from mfcli.solvers.compiled import kernels
from mfcli.solvers.ials import Ials, validation_judge
from tests.plain import implicit_als
from tests.planted import CPU, full_matrix, quietly, ratings_of, some_of

SHORT = longest_short(20)  # factors
RATINGS, OTHERS = some_of(full_matrix(60, 40, 2, 0.3), 0.3)


def clicks(ratings: Ratings, weighted: bool) -> Ratings:
    """What is above 3 as clicks, of weights of 1 or of many."""
    liked = ratings.take(ratings.ratings > 3)
    weights = np.random.default_rng(0).integers(1, 20, len(liked)) if weighted else np.ones(len(liked))
    return replace(liked, ratings=weights.astype(np.float32))


def fitted(train: Ratings, validation: Ratings | None = None, rounds: int = 3, **options: float) -> Ials:
    config = TrainConfig(solver="ials", factors=20, **options)  # type: ignore[arg-type]
    solver = Ials(config, TrainingData(train, validation), CPU)
    for _ in range(rounds):
        solver.run_epoch(quietly)
    return solver


def confidence_matrix(train: Ratings) -> Float64s:
    matrix = np.zeros((train.n_users, train.n_items))
    matrix[train.users, train.items] = confidences(train.ratings, float(np.median(train.ratings)))
    return matrix


@pytest.mark.parametrize("weighted", [False, True])
def test_it_is_implicit_als_as_plain_numpy_has_it(weighted: bool) -> None:
    train = clicks(RATINGS, weighted)
    assert (train.user_counts() <= SHORT).any(), "some rows are short"
    assert (train.user_counts() > SHORT).any(), "and some are not"
    begin = Ials(TrainConfig(solver="ials", factors=20), TrainingData(train), CPU).items.double().numpy()
    solver = fitted(train, unclicked=0.2, l2=0.05)
    users, items = implicit_als(confidence_matrix(train), begin, 0.2, 0.05, 3, SHORT)
    np.testing.assert_allclose(solver.users, users, atol=1e-4)
    np.testing.assert_allclose(solver.items, items, atol=1e-4)


def test_rows_longer_than_are_gathered_at_a_time_come_out_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where torch takes the steps: kernels have chunks of their own."""
    monkeypatch.setattr(kernels, "serve", lambda device: False)
    train = clicks(full_matrix(60, 60, 2, 0.3), True)
    assert min(train.user_counts().min(), train.item_counts().min()) > SHORT
    once = fitted(train)
    monkeypatch.setitem(gathering.LONGEST, "cpu", 100)
    np.testing.assert_allclose(fitted(train).users, once.users, atol=1e-5)


@pytest.mark.parametrize("weighted", [False, True])
def test_it_ends_where_every_row_is_solved_for(weighted: bool) -> None:
    train = clicks(RATINGS, weighted)
    solver = fitted(train, rounds=300, unclicked=0.5, l2=0.05)
    p, q, w = solver.users.double().numpy(), solver.items.double().numpy(), confidence_matrix(train)
    for rows, others, weights in ((p, q, w), (q, p, w.T)):
        for z, mine in zip(rows, weights, strict=True):
            penalty = 0.05 * ((mine > 0).sum() + 0.5 * len(others))
            a = (others.T * mine) @ others + 0.5 * others.T @ others + penalty * np.eye(20)
            np.testing.assert_allclose(z, np.linalg.solve(a, others.T @ mine), atol=2e-3)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_objective_is_the_one_written_down_and_never_rises(weighted: bool) -> None:
    train = clicks(RATINGS, weighted)
    solver, objectives = fitted(train, rounds=0, unclicked=0.2, l2=0.05), [np.inf]
    for _ in range(6):
        epoch = solver.run_epoch(quietly)
        objectives += [epoch.others["objective_users"], epoch.others["objective"]]
        assert epoch.train == epoch.others["objective"] / len(train)
    assert all(later <= earlier * (1 + 1e-6) for earlier, later in itertools.pairwise(objectives))
    p, q, w = solver.users.double().numpy(), solver.items.double().numpy(), confidence_matrix(train)
    scores = p @ q.T
    expected = (w * (1 - scores) ** 2).sum() + 0.2 * (scores**2).sum()
    for rows, counts, others in ((p, train.user_counts(), 40), (q, train.item_counts(), 60)):
        expected += (0.05 * (counts + 0.2 * others) * (rows**2).sum(1)).sum()
    assert objectives[-1] == pytest.approx(expected, rel=1e-5)


def test_it_stops_where_a_round_changes_nothing() -> None:
    solver = fitted(clicks(RATINGS, False), rounds=0, tolerance=0.01)
    converged = [solver.run_epoch(quietly).converged for _ in range(15)]
    assert not converged[0]
    assert converged[-1]


@pytest.mark.parametrize("weighted", [False, True])
def test_somebody_new_with_the_clicks_of_a_user_is_that_user(weighted: bool) -> None:
    train = clicks(RATINGS, weighted)
    model = fitted(train, rounds=300, unclicked=0.5, l2=0.05).model()
    for user in range(train.n_users):
        mine = train.take(train.users == user)
        folded = fold_in(model, mine.items, mine.ratings)
        np.testing.assert_allclose(folded.model.factors.users[0], model.factors.users[user], atol=2e-3)


def test_a_score_is_no_rating_and_is_clipped_to_nothing() -> None:
    train = clicks(RATINGS, True)
    model = fitted(train).model()
    assert model.of_clicks
    assert (model.typical_click, model.mean, model.biases) == (float(np.median(train.ratings)), 0.0, None)
    pairs = np.arange(40), np.arange(40)
    np.testing.assert_array_equal(model.predict(*pairs), model.predict(*pairs, clip=False))


def test_who_has_no_clicks_has_a_score_of_0_for_everything() -> None:
    train = ratings_of([(0, 0, 1.0), (0, 1, 1.0), (1, 1, 1.0)], n_users=3, n_items=4)
    scores = fitted(train).model().scores(np.arange(3))
    assert not scores[2].any()
    assert not scores[:, 2:].any()
    assert scores[0, 0] > 0.1


def test_confidence_is_1_at_the_typical_weight_in_any_unit() -> None:
    weights = np.array([1, 2, 3, 40, 1000], np.float32)
    found = confidences(weights, 3.0)
    assert found[2] == 1
    assert (np.diff(found) > 0).all()
    assert found[-1] < 9
    np.testing.assert_allclose(confidences(weights * 3600, 3 * 3600.0), found, rtol=1e-6)


def test_validation_is_the_ndcg_of_lists_without_the_training_clicks() -> None:
    train, validation = clicks(RATINGS, False), clicks(OTHERS, False)
    solver = fitted(train, validation)
    model, found = solver.model(), []
    for user in np.unique(validation.users):
        scores = model.scores(np.array([user]))[0]
        scores[train.items[train.users == user]] = -np.inf
        best, wanted = np.argsort(-scores)[:10], validation.items[validation.users == user]
        gains = np.isin(best, wanted) / np.log2(np.arange(10) + 2)
        found.append(gains.sum() / (1 / np.log2(np.arange(min(10, len(wanted))) + 2)).sum())
    judge = validation_judge(TrainingData(train, validation), 1, CPU)
    assert judge is not None
    ndcg = judge.measures(model, [10])[10]["NDCG"]
    assert ndcg == pytest.approx(np.mean(found))
    assert ndcg > 0.3
    assert validation_judge(TrainingData(train), 1, CPU) is None
