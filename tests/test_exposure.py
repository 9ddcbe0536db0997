"""Exposure against EASE computed whole, and all that may be odd about who rated what."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfcli.data.ratings import Ratings
from mfcli.models.exposure import Exposure, directions, learn
from tests.planted import ratings_of

RNG = np.random.default_rng(0)


def random_ratings(n_users: int, n_items: int, n: int, seed: int = 0) -> Ratings:
    """Distinct pairs; items of low numbers are popular."""
    rng = np.random.default_rng(seed)
    popular = 1 / np.arange(1, n_items + 1)
    pairs = np.unique(rng.integers(n_users, size=n) * n_items + rng.choice(n_items, n, p=popular / popular.sum()))
    ratings = rng.integers(1, 11, len(pairs)) / 2
    users, items = (ids.astype(np.int32) for ids in np.divmod(pairs, n_items))
    return Ratings(users, items, ratings.astype(np.float32), n_users, n_items)


def rows_of(ratings: Ratings) -> np.ndarray:
    """The matrix whose rows EASE predicts from one another."""
    values = ratings.ratings.astype(np.float64)
    rows = np.zeros((ratings.n_users, ratings.n_items))
    z = ((values - values.mean()) / values.std()).clip(-3, 3)
    rows[ratings.users, ratings.items] = (1 + 0.2 * z) * ratings.user_counts()[ratings.users] ** -0.25
    return rows


@pytest.mark.parametrize(("n_users", "n_items"), [(40, 25), (25, 40)])
def test_of_full_rank_it_is_ease(n_users: int, n_items: int) -> None:
    """Steck's closed form: a row times the item-item weights, of which an item has none for itself."""
    ratings = random_ratings(n_users, n_items, 300)
    rows = rows_of(ratings)
    penalty = 2 * (np.linalg.norm(rows) / np.sqrt(n_users) + np.linalg.norm(rows) / np.sqrt(n_items)) ** 2
    inverse = np.linalg.inv(rows.T @ rows + penalty * np.eye(n_items))
    ease = -inverse / np.diag(inverse)
    np.fill_diagonal(ease, 0)
    unseen = (rows == 0) & (rows.sum(1) > 0)[:, None]
    exposures = learn(ratings).scores(np.arange(n_users))
    np.testing.assert_allclose(exposures[unseen], (rows @ ease)[unseen], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("n_users", "n_items"), [(600, 700), (700, 600), (100, 900)])
def test_the_directions_are_numpys_singular_vectors(n_users: int, n_items: int) -> None:
    from scipy.sparse import csr_matrix

    rows = rows_of(random_ratings(n_users, n_items, 20_000))
    squares, vectors = directions(csr_matrix(rows.astype(np.float32)), 20)
    _, singular, expected = np.linalg.svd(rows, full_matrices=False)
    np.testing.assert_allclose(squares, singular[:20] ** 2, rtol=1e-4)
    assert vectors.shape == (n_items, 20)
    assert (vectors[np.abs(vectors).argmax(0), np.arange(20)] > 0).all()
    for mine, numpys in zip(vectors.T[:5], expected[:5], strict=True):
        assert abs(mine @ numpys) == pytest.approx(1, abs=1e-3)


def test_the_same_ratings_give_the_same_bytes_with_any_number_of_threads() -> None:
    from threadpoolctl import threadpool_limits

    ratings = random_ratings(600, 700, 20_000)
    found = set()
    for threads in (1, 2):
        with threadpool_limits(threads):
            found.add(learn(ratings).to_bytes())
    assert len(found) == 1


def test_scores_of_a_block_and_of_pairs_are_the_same_but_for_rounding() -> None:
    exposure = learn(random_ratings(60, 50, 800))
    users, items = np.indices((60, 50))
    pairs = exposure.exact(users.ravel(), items.ravel())
    assert pairs.dtype == np.float64
    np.testing.assert_allclose(pairs.reshape(60, 50), exposure.scores(np.arange(60)), rtol=1e-4, atol=1e-6)
    assert exposure.exact(np.array([7]), np.array([3]))[0] == pairs[7 * 50 + 3], "whatever else is asked for"


def test_a_newcomer_has_the_vector_that_training_on_their_ratings_gives() -> None:
    ratings = random_ratings(60, 50, 800)
    exposure = learn(ratings)
    mine = ratings.users == 5
    newcomer = exposure.with_newcomer(ratings.items[mine], ratings.ratings[mine])
    np.testing.assert_allclose(newcomer.vectors.users[0], exposure.vectors.users[5], rtol=1e-4, atol=1e-6)
    assert newcomer.vectors.items is exposure.vectors.items
    nothing = exposure.with_newcomer(np.empty(0, np.int32), np.empty(0, np.float32))
    np.testing.assert_allclose(nothing.vectors.users[0], exposure.vectors.users.mean(0), rtol=1e-5)


def test_what_the_items_of_a_user_add_sums_to_the_exposure() -> None:
    ratings = random_ratings(60, 50, 800)
    exposure = learn(ratings)
    mine = ratings.users == 5
    shares = exposure.why(ratings.items[mine], ratings.ratings[mine], 17)
    assert shares.shape == (mine.sum(),)
    assert shares.sum() == pytest.approx(exposure.exact(np.array([5]), np.array([17]))[0], rel=1e-4)


def test_who_has_no_training_ratings_is_likely_to_meet_what_is_popular() -> None:
    ratings = replace(random_ratings(200, 60, 4000), n_users=203)
    exposure = learn(ratings)
    nobody = exposure.scores(np.arange(200, 203))
    assert (nobody == nobody[0]).all()
    popular = np.argsort(-ratings.item_counts())[:8]
    assert set(np.argsort(-nobody[0])[:10]) >= set(popular)
    np.testing.assert_allclose(nobody[0], exposure.scores(np.arange(200)).mean(0), rtol=1e-4, atol=1e-6)


def test_nobody_meets_what_nobody_has_rated() -> None:
    ratings = replace(random_ratings(60, 50, 800), n_items=53)
    assert (learn(ratings).scores(np.arange(60))[:, 50:] == 0).all()


ODD = {
    "one rating": [(0, 0, 3.0)],
    "one user": [(0, item, 1.0 + item) for item in range(4)],
    "one item": [(user, 0, 1.0 + user) for user in range(4)],
    "ratings all alike": [(user, item, 3.0) for user in range(4) for item in range(5) if user != item],
    "everybody rated everything": [(user, item, 1.0 + user) for user in range(4) for item in range(5)],
}


@pytest.mark.parametrize("name", ODD)
def test_odd_ratings_have_an_exposure(name: str) -> None:
    exposure = learn(ratings_of(ODD[name], 5, 6))
    scores = exposure.scores(np.arange(5))
    assert np.isfinite(scores).all()
    assert (scores[:4, 0] > 0).all()
    assert 0 < exposure.rank <= 5
    assert (exposure.leverages < 1).all()


def test_thousands_of_users_who_rated_the_same_few_items_have_few_directions() -> None:
    """The iteration for many users and items meets no more directions than there are."""
    pairs = [(user, item, 1.0 + user % 5) for user in range(600) for item in range(user % 3, 600, 100)]
    exposure = learn(ratings_of(pairs, 600, 600))
    assert 3 <= exposure.rank <= 20
    assert np.isfinite(exposure.scores(np.arange(600))).all()


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 200), st.integers(0, 5))
def test_any_few_ratings_have_an_exposure(n_users: int, n_items: int, n: int, seed: int) -> None:
    ratings = random_ratings(n_users, n_items, n, seed)
    exposure = learn(ratings)
    assert np.isfinite(exposure.scores(np.arange(n_users))).all()
    assert Exposure.from_bytes(exposure.to_bytes()).to_bytes() == exposure.to_bytes()


def test_it_comes_back_from_its_file_as_it_was() -> None:
    exposure = learn(random_ratings(60, 50, 800))
    again = Exposure.from_bytes(exposure.to_bytes())
    assert (again.mean, again.std, again.rank) == (exposure.mean, exposure.std, exposure.rank)
    np.testing.assert_array_equal(again.scores(np.arange(60)), exposure.scores(np.arange(60)))
    with pytest.raises(ValueError, match="no such file of mfcli"):
        Exposure.from_bytes(exposure.to_bytes()[:-1])
