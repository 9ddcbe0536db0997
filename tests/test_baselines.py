"""The baselines, worked out by hand."""

import numpy as np
import pytest

from mfcli.data.ratings import Ratings
from mfcli.models.baselines import DAMPING, bias_model, mean_model
from mfcli.models.metrics import rmse

# Three users (the last without ratings) and three items (the last without ratings).
TRAIN = Ratings(
    users=np.array([0, 0, 1], np.int32),
    items=np.array([0, 1, 0], np.int32),
    ratings=np.array([5.0, 3.0, 1.0], np.float32),
    n_users=3,
    n_items=3,
)
EVERY = np.repeat(np.arange(3), 3), np.tile(np.arange(3), 3)


def test_the_mean_is_predicted_for_everybody() -> None:
    assert mean_model(TRAIN).predict(*EVERY).tolist() == [3.0] * 9


def test_biases_by_hand() -> None:
    """The residuals from the mean 3 are 2 (user 0, item 0), 0 (0, 1) and -2 (1, 0)."""
    of_users, of_items = np.zeros(2), np.zeros(2)
    for _ in range(10):
        of_items[0] = ((2 - of_users[0]) + (-2 - of_users[1])) / (2 + DAMPING)
        of_items[1] = (0 - of_users[0]) / (1 + DAMPING)
        of_users[0] = ((2 - of_items[0]) + (0 - of_items[1])) / (2 + DAMPING)
        of_users[1] = (-2 - of_items[0]) / (1 + DAMPING)
    model = bias_model(TRAIN)
    np.testing.assert_allclose(model.biases.users, [*of_users, 0], rtol=1e-5)
    np.testing.assert_allclose(model.biases.items, [*of_items, 0], rtol=1e-5, atol=1e-7)
    assert of_users[0] > 0 > of_users[1]
    assert model.predict(np.array([0, 2]), np.array([1, 2])) == pytest.approx([3 + of_users[0] + of_items[1], 3.0])


def test_what_has_no_rating_has_no_bias_and_no_count() -> None:
    model = bias_model(TRAIN)
    assert (model.biases.users[2], model.biases.items[2]) == (0, 0)
    assert (model.counts.users.tolist(), model.counts.items.tolist()) == ([2, 1, 0], [2, 1, 0])


def test_planted_biases_are_found_and_beat_the_mean() -> None:
    rng = np.random.default_rng(3)
    users, items = (grid.ravel().astype(np.int32) for grid in np.indices((200, 150)))
    of_users, of_items = rng.normal(0, 0.5, 200), rng.normal(0, 0.5, 150)
    ratings = (3 + of_users[users] + of_items[items] + rng.normal(0, 0.3, len(users))).astype(np.float32)
    train = Ratings(users, items, ratings, 200, 150)
    model = bias_model(train)
    np.testing.assert_allclose(model.biases.users, of_users - of_users.mean(), atol=0.15)
    assert rmse(ratings, model.predict(users, items)) == pytest.approx(0.3, abs=0.01)
    assert rmse(ratings, mean_model(train).predict(users, items)) > 0.7


def test_predictions_stay_within_the_ratings_there_are() -> None:
    model = bias_model(TRAIN)
    assert (model.minimum, model.maximum) == (1.0, 5.0)
    assert model.n_factors == 0
