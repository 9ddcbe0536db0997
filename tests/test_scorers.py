"""What says how good items are: each against its formula, the block's scores in the order of the exact ones."""

from dataclasses import replace

import numpy as np
import pytest

from mfcli.config.common import RankBy
from mfcli.data.ratings import Sides
from mfcli.models.exposure import Exposure, learn
from mfcli.models.model import FactorModel
from mfcli.models.ranking import Scorer
from mfcli.models.scorers import Chance, Popularity, scorer
from tests.test_exposure import random_ratings
from tests.test_model import ITEMS, USERS, a_model

ALL = tuple(axis.ravel() for axis in np.indices((USERS, ITEMS)))
RATINGS = replace(random_ratings(USERS, ITEMS, 40), n_users=USERS, n_items=ITEMS)


def the_model() -> FactorModel:
    noise = Sides(*(np.linspace(0.3, 0.9, n, dtype=np.float32) for n in (USERS, ITEMS)))
    return replace(a_model(), noise=noise, variances=Sides(*(side / 3 for side in noise)))


def the_exposure() -> Exposure:
    return learn(RATINGS)


def of(rank_by: RankBy) -> Scorer:
    model = the_model()
    return scorer(rank_by, model, the_exposure(), model.uncertainties)


EVERY: dict[str, Scorer] = {
    **{name: of(name) for name in ("likely", "rating", "lower-bound", "exposure")},  # type: ignore[arg-type]
    "popularity": Popularity(np.arange(ITEMS, dtype=np.int32)),
    "chance": Chance(ITEMS),
}


@pytest.mark.parametrize("name", EVERY)
def test_the_scores_of_a_block_are_in_the_order_of_the_exact_ones(name: str) -> None:
    scores, exact = EVERY[name].scores(np.arange(USERS)), EVERY[name].exact(*ALL).reshape(USERS, ITEMS)
    assert (scores.dtype, exact.dtype, scores.shape) == (np.float32, np.float64, (USERS, ITEMS))
    for of_user, exactly in zip(scores, exact, strict=True):
        assert of_user[np.argsort(-exactly, kind="stable")].tolist() == pytest.approx(sorted(of_user)[::-1], rel=1e-5)
    assert EVERY[name].n_items == ITEMS


def test_likely_is_exposure_times_liking() -> None:
    met, ratings, exposure = the_exposure().exact(*ALL), the_model().exact(*ALL), the_exposure()
    expected = (met + np.hypot(met, 1e-3)) / 2 * np.exp(0.4 * (ratings - exposure.mean) / exposure.std)
    np.testing.assert_allclose(of("likely").exact(*ALL), expected, rtol=1e-6)


def test_the_lower_bound_is_two_standard_deviations_of_the_prediction_below_it() -> None:
    model = the_model()
    assert model.variances is not None
    margin = 2 * np.sqrt(np.outer(*model.variances)).ravel()
    np.testing.assert_allclose(of("lower-bound").exact(*ALL), model.exact(*ALL) - margin, rtol=1e-5, atol=1e-6)


def test_a_rating_is_the_prediction_not_clipped() -> None:
    model = the_model()
    np.testing.assert_allclose(of("rating").exact(*ALL), model.predict(*ALL, clip=False), rtol=1e-5, atol=1e-5)
    assert of("rating").exact(*ALL).max() > model.maximum


def test_chance_draws_another_list_for_every_user_and_the_same_again() -> None:
    first, second = Chance(1000).scores(np.array([3, 8]))
    assert (first != second).any()
    assert Chance(1000).scores(np.array([8]))[0].tolist() == second.tolist()
    assert 0.4 < first.mean() < 0.6


def test_likely_of_clicks_is_exposure_times_e_to_the_score_whatever_the_clicks_weigh() -> None:
    exposure = learn(replace(RATINGS, ratings=np.full(len(RATINGS), 3600, np.float32)))
    model = replace(a_model(), mean=0.0, biases=None, typical_click=3600.0)
    met = exposure.exact(*ALL)
    expected = (met + np.hypot(met, 1e-3)) / 2 * np.exp(model.exact(*ALL))
    found = scorer("likely", model, exposure, model.uncertainties)
    np.testing.assert_allclose(found.exact(*ALL), expected, rtol=1e-6)
