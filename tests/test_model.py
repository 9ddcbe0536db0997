"""The trained model: predictions against plain loops."""

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from mfcli.data.ratings import Sides
from mfcli.models import model as module
from mfcli.models import model_file
from mfcli.models.fold_in import fold_in
from mfcli.models.model import FactorModel
from mfcli.models.newcomer import NewcomerPrior

USERS, ITEMS, FACTORS = 7, 9, 3
NOBODY, NOTHING = 2, 5  # the user and the item without a training rating


def a_model(biased: bool = True) -> FactorModel:
    """A model of wide factors, so that predictions fall on both sides of the range."""
    rng = np.random.default_rng(1)
    p, q = (rng.normal(0, 2, size=(n, FACTORS)).astype(np.float32) for n in (USERS, ITEMS))
    counts = Sides(np.full(USERS, 4, np.int32), np.full(ITEMS, 3, np.int32))
    p[NOBODY], q[NOTHING], counts.users[NOBODY], counts.items[NOTHING] = 0, 0, 0, 0
    biases = Sides(*(rng.normal(size=n).astype(np.float32) for n in (USERS, ITEMS)))
    return FactorModel(3.4, 0.5, 5.0, Sides(p, q), counts, biases if biased else None)


def by_hand(model: FactorModel, user: int, item: int) -> float:
    """The prediction before it is clipped, term by term."""
    dot = sum(float(model.factors.users[user, k]) * float(model.factors.items[item, k]) for k in range(FACTORS))
    if model.biases is not None:
        return model.mean + float(model.biases.users[user]) + float(model.biases.items[item]) + dot
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
    expected = float(np.clip(biased.mean + biased.biases.users[NOBODY] + biased.biases.items[0], 0.5, 5))
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


def test_deviations_by_hand_and_none_where_they_are_not_known(model: FactorModel) -> None:
    assert model.deviations(np.array([0]), np.array([0])) is None
    of_users, of_items = np.arange(1, USERS + 1, dtype=np.float32), np.arange(1, ITEMS + 1, dtype=np.float32)
    sure = replace(model, variances=Sides(of_users, of_items), noise=Sides(of_users / 2, of_items / 3))
    expected = [[np.sqrt((1 + 1 / 6) * (u + 1) * (i + 1)) for i in (2, 0)] for u in (1, 3)]
    np.testing.assert_allclose(sure.deviations(np.array([[1], [3]]), np.array([2, 0])), expected, rtol=1e-6)
    again = model_file.from_bytes(model_file.to_bytes(sure))
    np.testing.assert_array_equal(again.noise.users, of_users / 2)
    np.testing.assert_array_equal(again.variances.items, of_items)


def test_saving_and_loading_loses_nothing(model: FactorModel) -> None:
    content = model_file.to_bytes(model)
    again = model_file.from_bytes(content)
    assert model_file.to_bytes(again) == content
    assert model_file.scalars(again) == model_file.scalars(model)
    assert (again.n_users, again.n_items, again.n_factors) == (USERS, ITEMS, FACTORS)
    for name, array in model_file.arrays(model).items():
        assert model_file.arrays(again)[name].dtype == array.dtype
        np.testing.assert_array_equal(model_file.arrays(again)[name], array)


def test_arrays_have_the_names_that_other_programs_read(model: FactorModel) -> None:
    pairs = ("factors", "counts", "biases") if model.biases is not None else ("factors", "counts")
    assert list(model_file.arrays(model)) == [f"{side}_{name}" for name in pairs for side in ("user", "item")]


def test_the_prior_of_newcomers_is_saved_with_the_model() -> None:
    prior = NewcomerPrior(np.eye(FACTORS + 1) * 2, np.arange(FACTORS + 1.0), by_root_count=False, noise=0.7)
    again = model_file.from_bytes(model_file.to_bytes(replace(a_model(), newcomer=prior))).newcomer
    assert again is not None
    assert (again.by_root_count, again.noise) == (False, 0.7)
    np.testing.assert_array_equal(again.precision, prior.precision)
    np.testing.assert_array_equal(again.mean, prior.mean)
    assert model_file.from_bytes(model_file.to_bytes(a_model())).newcomer is None


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
    content = model_file.to_bytes(a_model())
    with pytest.raises(ValueError, match=r"it is no such file|it has an array|codec"):
        model_file.from_bytes(damage(content))


def test_a_model_of_another_version_is_named_as_such() -> None:
    content = model_file.to_bytes(a_model())
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    meta = json.loads(header["__metadata__"]["mfcli"]) | {"format": "99"}
    header["__metadata__"]["mfcli"] = json.dumps(meta)
    text = json.dumps(header).encode()
    with pytest.raises(ValueError, match="another version"):
        model_file.from_bytes(len(text).to_bytes(8, "little") + text + content[8 + size :])


def test_a_safetensors_file_of_somebody_else_is_no_model() -> None:
    from safetensors.numpy import save

    with pytest.raises(ValueError, match="no such file of mfcli"):
        model_file.from_bytes(save({"weights": np.zeros(3, np.float32)}))


def test_a_model_is_never_changed_by_use() -> None:
    model = replace(a_model(), newcomer=NewcomerPrior.of_penalties(FACTORS, 1.0, 1.0))
    before = model_file.to_bytes(model)
    model.predict(*all_pairs())
    model.scores(np.arange(USERS))[:] = -np.inf
    fold_in(model, np.array([1], np.int32), np.array([4.0], np.float32)).model.scores(np.array([0]))[:] = -np.inf
    assert model_file.to_bytes(model) == before
    assert model_file.to_bytes(replace(model, mean=0.0)) != before
