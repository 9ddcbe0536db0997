"""The trained model: predictions against plain loops, fold-in against the closed form, the best n against sorted()."""

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from mfcli.errors import ArtifactError
from mfcli.models import model as module
from mfcli.models.model import FactorModel, Newcomer, top_n

USERS, ITEMS, FACTORS = 7, 9, 3
NOBODY, NOTHING = 2, 5  # the user and the item without a training rating


def a_model(biased: bool = True) -> FactorModel:
    """A model of wide factors, so that predictions fall on both sides of the range."""
    rng = np.random.default_rng(1)
    p, q = (rng.normal(0, 2, size=(n, FACTORS)).astype(np.float32) for n in (USERS, ITEMS))
    user_counts, item_counts = np.full(USERS, 4, np.int32), np.full(ITEMS, 3, np.int32)
    p[NOBODY], q[NOTHING], user_counts[NOBODY], item_counts[NOTHING] = 0, 0, 0, 0
    biases = {
        "user_biases": rng.normal(size=USERS).astype(np.float32),
        "item_biases": rng.normal(size=ITEMS).astype(np.float32),
    }
    return FactorModel(3.4, 0.5, 5.0, p, q, user_counts, item_counts, **(biases if biased else {}))


def by_hand(model: FactorModel, user: int, item: int) -> float:
    """The prediction before it is clipped, term by term."""
    dot = sum(float(model.user_factors[user, k]) * float(model.item_factors[item, k]) for k in range(FACTORS))
    if model.user_biases is not None and model.item_biases is not None:
        return model.mean + float(model.user_biases[user]) + float(model.item_biases[item]) + dot
    return model.mean if user == NOBODY or item == NOTHING else dot


def all_pairs() -> tuple[np.ndarray, np.ndarray]:
    users, items = np.divmod(np.arange(USERS * ITEMS), ITEMS)
    return users, items


@pytest.fixture(params=[True, False], ids=["biases", "plain"])
def model(request: pytest.FixtureRequest) -> FactorModel:
    return a_model(request.param)


def test_a_prediction_is_the_sum_of_its_terms_within_the_range(model: FactorModel) -> None:
    users, items = all_pairs()
    raw = [by_hand(model, u, i) for u, i in zip(users, items, strict=True)]
    assert min(raw) < model.minimum
    assert max(raw) > model.maximum
    predicted = model.predict(users, items)
    assert predicted.dtype == np.float32
    np.testing.assert_allclose(predicted, np.clip(raw, 0.5, 5.0), rtol=1e-5)


def test_many_pairs_are_predicted_in_parts(model: FactorModel, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = model.predict(*all_pairs())
    monkeypatch.setattr(module, "PAIRS_AT_ONCE", 10)
    assert (model.predict(*all_pairs()) == whole).all()


def test_no_pairs_no_predictions(model: FactorModel) -> None:
    assert model.predict(np.empty(0, int), np.empty(0, int)).shape == (0,)


def test_who_is_unknown_gets_biases_or_the_mean() -> None:
    biased, plain = a_model(), a_model(biased=False)
    expected = float(np.clip(biased.mean + biased.user_biases[NOBODY] + biased.item_biases[0], 0.5, 5))
    assert biased.predict(np.array([NOBODY]), np.array([0])) == pytest.approx([expected])
    assert plain.predict(np.array([NOBODY, 0, NOBODY]), np.array([0, NOTHING, NOTHING])) == pytest.approx([3.4] * 3)
    assert plain.known(np.array([NOBODY, 0, 0]), np.array([0, NOTHING, 0])).tolist() == [False, False, True]


def test_scores_are_the_predictions_before_clipping(model: FactorModel) -> None:
    rows = np.array([3, NOBODY, 3])
    expected = [[by_hand(model, u, i) for i in range(ITEMS)] for u in rows]
    scores = model.scores(rows)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(model.clip(scores)[0], np.clip(scores[0], 0.5, 5.0))


def test_scores_for_a_newcomer_are_the_scores_of_the_user_with_those_factors(model: FactorModel) -> None:
    bias = 0.0 if model.user_biases is None else float(model.user_biases[4])
    same = model.scores_for(Newcomer(model.user_factors[4], bias, None))
    np.testing.assert_allclose(same, model.scores(np.array([4]))[0], rtol=1e-5, atol=1e-6)


def test_fold_in_is_ridge_regression() -> None:
    model, items = a_model(), np.array([0, 3, 4, 8, 1], np.int32)
    ratings = np.array([5, 1, 3.5, 2, 4], np.float32)
    # λ√n on the factors, none on the bias is what scikit-learn's intercept means.
    ridge = Ridge(alpha=0.7 * np.sqrt(5)).fit(
        model.item_factors[items], ratings - model.mean - model.item_biases[items]
    )
    user = model.fold_in(items, ratings, l2=0.7, bias_l2=0.0)
    np.testing.assert_allclose(user.factors, ridge.coef_, rtol=1e-4)
    assert user.bias == pytest.approx(ridge.intercept_, rel=1e-4)
    assert user.covariance is None


@pytest.mark.parametrize("biased", [True, False])
def test_fold_in_is_where_the_penalized_error_has_no_slope(biased: bool) -> None:
    model, items = a_model(biased), np.array([0, 3, 4, 8], np.int32)
    ratings = np.array([5, 1, 3.5, 2], np.float32)
    user = model.fold_in(items, ratings, l2=0.7, bias_l2=0.2)
    errors = model.scores_for(user)[items] - ratings
    np.testing.assert_allclose(model.item_factors[items].T @ errors + 0.7 * 2 * user.factors, 0, atol=1e-4)
    assert errors.sum() + 0.2 * 2 * user.bias == pytest.approx(0, abs=1e-4) if biased else user.bias == 0


def test_fold_in_without_a_penalty_takes_the_smallest_of_many_solutions() -> None:
    model = a_model(biased=False)
    user = model.fold_in(np.array([0], np.int32), np.array([4.0], np.float32), l2=0.0, bias_l2=0.0)
    q = model.item_factors[0]
    np.testing.assert_allclose(user.factors, 4 * q / (q @ q), rtol=1e-4)


def test_where_the_noise_is_known_fold_in_is_bayesian_regression(model: FactorModel) -> None:
    """The prior is the known users' mean and covariance; more ratings leave less doubt."""
    user_noise = np.full(USERS, 1.6, np.float32)
    user_noise[NOBODY] = 99  # of no account
    model = replace(model, user_noise=user_noise, item_noise=np.linspace(0.2, 0.6, ITEMS, dtype=np.float32))
    noise = 1.6 * model.item_noise[:, None]
    items, ratings = np.array([0, 3, 4, 8], np.int32), np.array([5, 1, 3.5, 2], np.float32)
    rows, design, target = model.user_factors, model.item_factors[items], ratings
    if model.user_biases is not None and model.item_biases is not None:
        rows, design = np.column_stack([rows, model.user_biases]), np.column_stack([design, np.ones(4)])
        target = ratings - model.mean - model.item_biases[items]
    rows = np.delete(rows, NOBODY, axis=0)
    precision = np.linalg.inv(np.cov(rows.T, bias=True))
    covariance = np.linalg.inv(precision + design.T @ (design / noise[items]))
    mean = covariance @ (precision @ rows.mean(0) + design.T @ (target / noise[items, 0]))
    user = model.fold_in(items, ratings, l2=9.0, bias_l2=9.0)
    found = [*user.factors, user.bias] if model.biased else user.factors
    np.testing.assert_allclose(found, mean, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(user.covariance, covariance, rtol=1e-3, atol=1e-5)
    deviations = model.deviations_for(user)
    np.testing.assert_allclose(
        deviations[items] ** 2, noise[items, 0] + np.diag(design @ covariance @ design.T), rtol=1e-3
    )
    fewer = model.fold_in(items[:1], ratings[:1], l2=9.0, bias_l2=9.0)
    assert (model.deviations_for(fewer) > deviations - 1e-6).all()


def test_deviations_by_hand_and_none_where_they_are_not_known(model: FactorModel) -> None:
    assert model.deviations(np.array([0]), np.array([0])) is None
    of_users, of_items = np.arange(1, USERS + 1, dtype=np.float32), np.arange(1, ITEMS + 1, dtype=np.float32)
    noises = {"user_noise": of_users / 2, "item_noise": of_items / 3}
    sure = replace(model, user_variances=of_users, item_variances=of_items, **noises)
    expected = [[np.sqrt((1 + 1 / 6) * (u + 1) * (i + 1)) for i in (2, 0)] for u in (1, 3)]
    np.testing.assert_allclose(sure.deviations(np.array([[1], [3]]), np.array([2, 0])), expected, rtol=1e-6)
    again = FactorModel.from_bytes(sure.to_bytes())
    np.testing.assert_array_equal(again.user_noise, of_users / 2)
    np.testing.assert_array_equal(again.item_variances, of_items)


def test_saving_and_loading_loses_nothing(model: FactorModel) -> None:
    content = model.to_bytes()
    again = FactorModel.from_bytes(content)
    assert again.to_bytes() == content
    assert again.scalars() == model.scalars()
    assert (again.biased, again.n_users, again.n_items, again.factors) == (model.biased, USERS, ITEMS, FACTORS)
    for name, array in model.arrays().items():
        assert again.arrays()[name].dtype == array.dtype
        np.testing.assert_array_equal(again.arrays()[name], array)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:100],
        lambda content: content[:-1],
        lambda content: b"\xff" * 8 + content[8:],
        lambda content: content.replace(b"minimum", b"maxamum"),
        lambda content: content.replace(b"item_factors", b"item_fuctors"),
        lambda content: b"not a model at all, whatever its name says",
    ],
    ids=["empty", "cut off", "one byte short", "absurd header", "other scalar", "other array", "text"],
)
def test_a_damaged_model_is_told_from_a_model(damage: Callable[[bytes], bytes]) -> None:
    content = a_model().to_bytes()
    with pytest.raises(ArtifactError, match="run `mfcli train` again"):
        FactorModel.from_bytes(damage(content))


def test_a_model_of_another_version_is_named_as_such() -> None:
    content = a_model().to_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    meta = json.loads(header["__metadata__"]["mfcli"]) | {"format": "99"}
    header["__metadata__"]["mfcli"] = json.dumps(meta)
    text = json.dumps(header).encode()
    with pytest.raises(ArtifactError, match="another version"):
        FactorModel.from_bytes(len(text).to_bytes(8, "little") + text + content[8 + size :])


def test_a_safetensors_file_of_somebody_else_is_no_model() -> None:
    from safetensors.numpy import save

    with pytest.raises(ArtifactError, match="not a model of mfcli"):
        FactorModel.from_bytes(save({"weights": np.zeros(3, np.float32)}))


# Few different values, so that ties are common; -inf is an item to leave out.
SCORES = st.integers(1, 8).flatmap(
    lambda columns: st.lists(
        st.lists(st.sampled_from([-np.inf, -1.5, 0.0, 0.25, 2.0]), min_size=columns, max_size=columns),
        min_size=1,
        max_size=4,
    )
)


@given(scores=SCORES, n=st.integers(0, 10))
def test_top_n_is_the_head_of_the_sorted_row(scores: list[list[float]], n: int) -> None:
    best = top_n(np.array(scores, np.float32), n)
    assert best.shape == (len(scores), min(n, len(scores[0])))
    for row, found in zip(scores, best.tolist(), strict=True):
        expected = sorted((c for c in range(len(row)) if row[c] > -np.inf), key=lambda c: (-row[c], c))[: len(found)]
        assert found == expected + [-1] * (len(found) - len(expected))


def test_ties_go_by_column_also_where_the_cut_runs_through_them() -> None:
    scores = np.array([[1, 3, 2, 3, 2, 2], [7, 7, 7, 7, 7, 7]], np.float32)
    assert top_n(scores, 3).tolist() == [[1, 3, 2], [0, 1, 2]]


def test_a_row_with_too_few_candidates_is_filled_with_none() -> None:
    scores = np.array([[-np.inf, 4, -np.inf], [-np.inf] * 3, [1, 2, 3]], np.float32)
    assert top_n(scores, 5).tolist() == [[1, -1, -1], [-1, -1, -1], [2, 1, 0]]


def test_the_best_of_many_are_numpys() -> None:
    scores = np.random.default_rng(0).normal(size=(5, 10_000)).astype(np.float32)
    assert top_n(scores, 50).tolist() == np.argsort(-scores, axis=1, kind="stable")[:, :50].tolist()


def test_a_model_is_never_changed_by_use() -> None:
    model = a_model()
    before = model.to_bytes()
    model.predict(*all_pairs())
    model.scores(np.arange(USERS))[:] = -np.inf
    model.clip(model.scores_for(model.fold_in(np.array([1], np.int32), np.array([4.0], np.float32), l2=1, bias_l2=1)))
    assert model.to_bytes() == before
    assert replace(model, mean=0.0).to_bytes() != before
