"""Folding somebody new in: against scikit-learn's Ridge, the closed form, and the same in another unit."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from mfcli.data.ratings import Sides
from mfcli.errors import ArtifactError
from mfcli.models import model_file
from mfcli.models.fold_in import FoldedIn, fold_in
from mfcli.models.model import FactorModel
from mfcli.models.newcomer import NewcomerPrior
from tests.test_model import FACTORS, ITEMS, NOBODY, NOTHING, USERS, a_model

RATED = np.array([0, 3, 4, 8, 1], np.int32)
GIVEN = np.array([5, 1, 3.5, 2, 4], np.float32)


@pytest.fixture(params=[True, False], ids=["biases", "plain"])
def model(request: pytest.FixtureRequest) -> FactorModel:
    return a_model(request.param)


def penalized(model: FactorModel, l2: float, bias_l2: float) -> FactorModel:
    """The model of a solver with these penalties."""
    return replace(
        model, newcomer=NewcomerPrior.of_penalties(FACTORS, l2, bias_l2 if model.biases is not None else None)
    )


def vector(newcomer: FoldedIn) -> np.ndarray:
    """(d,) factors, and the bias if there is one."""
    biases = newcomer.model.biases
    return np.append(newcomer.model.factors.users[0], [] if biases is None else biases.users)


def test_fold_in_is_ridge_regression() -> None:
    model = penalized(a_model(), l2=0.7, bias_l2=0.0)
    # λ√n on the factors, none on the bias is what scikit-learn's intercept means.
    ridge = Ridge(alpha=0.7 * np.sqrt(5)).fit(
        model.factors.items[RATED], GIVEN - model.mean - model.biases.items[RATED]
    )
    newcomer = fold_in(model, RATED, GIVEN)
    np.testing.assert_allclose(vector(newcomer), [*ridge.coef_, ridge.intercept_], rtol=1e-4)
    assert newcomer.deviations(np.array([0]), np.array([0])) is None
    assert newcomer.uncertainties(np.array([0]), np.array([0])) is None


def test_fold_in_is_where_the_penalized_error_has_no_slope(model: FactorModel) -> None:
    newcomer = fold_in(penalized(model, l2=0.7, bias_l2=0.2), RATED[:4], GIVEN[:4])
    errors = newcomer.model.scores(np.array([0]))[0, RATED[:4]] - GIVEN[:4]
    found = vector(newcomer)
    np.testing.assert_allclose(model.factors.items[RATED[:4]].T @ errors + 0.7 * 2 * found[:FACTORS], 0, atol=1e-4)
    if model.biases is not None:
        assert errors.sum() + 0.2 * 2 * found[FACTORS] == pytest.approx(0, abs=1e-4)


def test_fold_in_without_a_penalty_takes_the_smallest_of_many_solutions() -> None:
    newcomer = fold_in(penalized(a_model(biased=False), 0.0, 0.0), np.array([0], np.int32), np.array([4.0], np.float32))
    q = newcomer.model.factors.items[0]
    np.testing.assert_allclose(vector(newcomer), 4 * q / (q @ q), rtol=1e-4)


def test_where_the_noise_is_known_fold_in_is_bayesian_regression(model: FactorModel) -> None:
    """The prior is the known users' mean and covariance; more ratings leave less doubt."""
    rows = model.factors.users
    if model.biases is not None:
        rows = np.column_stack([rows, model.biases.users])
    rows = np.delete(rows, NOBODY, axis=0)
    item_noise = np.linspace(0.2, 0.6, ITEMS, dtype=np.float32)
    model = replace(
        model,
        noise=Sides(np.ones(USERS, np.float32), item_noise),
        newcomer=NewcomerPrior.of_users(rows, noise=1.6),
    )
    noise = 1.6 * item_noise[:, None]
    items, ratings = RATED[:4], GIVEN[:4]
    design, target = model.factors.items[items], ratings
    if model.biases is not None:
        design, target = np.column_stack([design, np.ones(4)]), ratings - model.mean - model.biases.items[items]
    precision = np.linalg.inv(np.cov(rows.T, bias=True))
    covariance = np.linalg.inv(precision + design.T @ (design / noise[items]))
    mean = covariance @ (precision @ rows.mean(0) + design.T @ (target / noise[items, 0]))
    newcomer = fold_in(model, items, ratings)
    np.testing.assert_allclose(vector(newcomer), mean, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(newcomer.covariance, covariance, rtol=1e-3, atol=1e-5)
    deviations = newcomer.deviations(np.array([0]), np.arange(ITEMS))
    np.testing.assert_allclose(
        deviations[items] ** 2, noise[items, 0] + np.diag(design @ covariance @ design.T), rtol=1e-3
    )
    uncertainties = newcomer.uncertainties(np.array([0]), np.arange(ITEMS))
    np.testing.assert_allclose(uncertainties**2 + noise[:, 0], deviations**2, rtol=1e-3)
    assert (
        fold_in(model, items[:1], ratings[:1]).deviations(np.array([0]), np.arange(ITEMS)) > deviations - 1e-6
    ).all()


def test_a_newcomer_is_a_model_of_one_user_with_the_same_items(model: FactorModel) -> None:
    newcomer = fold_in(penalized(model, 1.0, 0.3), RATED, GIVEN).model
    assert (newcomer.n_users, newcomer.n_items) == (1, ITEMS)
    dots = model.factors.items @ newcomer.factors.users[0]
    if newcomer.biases is not None and model.biases is not None:
        expected = model.mean + newcomer.biases.users[0] + model.biases.items + dots
    else:
        expected = np.where(np.arange(ITEMS) == NOTHING, model.mean, dots)
    np.testing.assert_allclose(newcomer.scores(np.array([0]))[0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("noisy", [True, False])
def test_another_unit_changes_nothing_but_the_unit(model: FactorModel, noisy: bool) -> None:
    """Ratings 32 times as large, folded into the model in that unit, are predicted 32 times as large."""
    model = penalized(model, 0.7, 0.2)
    if noisy:
        noise = Sides(*(np.full(n, 0.6, np.float32) for n in (USERS, ITEMS)))
        prior = NewcomerPrior.of_users(
            np.random.default_rng(2).normal(1, 1, (20, FACTORS + (model.biases is not None))), 0.6
        )
        model = replace(model, newcomer=prior, noise=noise)
    small, large = fold_in(model, RATED, GIVEN), fold_in(model.scaled(32), RATED, GIVEN * 32)
    user = np.array([0])
    np.testing.assert_allclose(large.model.scores(user), 32 * small.model.scores(user), rtol=1e-4, atol=1e-4)
    if noisy:
        np.testing.assert_allclose(
            large.deviations(user, np.arange(ITEMS)), 32 * small.deviations(user, np.arange(ITEMS)), rtol=1e-4
        )


def test_a_model_without_a_prior_of_newcomers_says_what_to_do() -> None:
    with pytest.raises(ArtifactError, match="run `mfcli train` again"):
        fold_in(a_model(), RATED, GIVEN)


def linked(model: FactorModel) -> FactorModel:
    """A model that expects of somebody new what a link from 2 + 3 features says."""
    d, rng = FACTORS + (model.biases is not None), np.random.default_rng(6)
    prior = replace(
        NewcomerPrior.of_penalties(FACTORS, 0.7, 0.2 if model.biases is not None else None),
        link=rng.normal(size=(5, d)),
        basis=rng.normal(size=(ITEMS, 2)).astype(np.float32),
        typical=rng.normal(size=5),
    )
    return replace(model, newcomer=prior)


@pytest.mark.parametrize("attributes", [None, np.array([1.0, 0, 0.5])])
@pytest.mark.parametrize("n", [0, 3])
def test_what_is_known_of_somebody_new_moves_what_is_expected(
    model: FactorModel, n: int, attributes: np.ndarray | None
) -> None:
    """Their exposure from what they rated, and their attributes; for what is not known, what is typical."""
    model = linked(model)
    prior, items, ratings = model.newcomer, RATED[:n], GIVEN[:n]
    features = np.concatenate(
        [
            model.newcomer.basis[items].sum(0) / np.sqrt(n) if n else prior.typical[:2],
            prior.typical[2:] if attributes is None else attributes,
        ]
    )
    expected = replace(model, newcomer=replace(prior, mean=features @ prior.link, link=None))
    found, wanted = fold_in(model, items, ratings, attributes), fold_in(expected, items, ratings)
    np.testing.assert_allclose(vector(found), vector(wanted), rtol=1e-5, atol=1e-6)
    if not n:
        np.testing.assert_allclose(vector(found), features @ prior.link, rtol=1e-4, atol=1e-6)


def test_a_link_is_itself_again_from_the_models_file_and_in_another_unit(model: FactorModel) -> None:
    model = linked(model)
    again = model_file.from_bytes(model_file.to_bytes(model))
    small, large = fold_in(again, RATED, GIVEN, np.ones(3)), fold_in(model.scaled(32), RATED, GIVEN * 32, np.ones(3))
    user = np.array([0])
    np.testing.assert_allclose(large.model.scores(user), 32 * small.model.scores(user), rtol=1e-4, atol=1e-3)


def test_a_prior_is_widened_by_how_unsure_the_vectors_are_that_it_was_made_of() -> None:
    """In what it says of predictions: their spread over users and how unsure they are, together."""
    rng = np.random.default_rng(2)
    prior, design = NewcomerPrior.of_users(rng.normal(1, 1, (50, 3)), 0.6), rng.normal(size=(8, 3))
    weights = np.full(8, 1 / 8)

    def spread(of: NewcomerPrior) -> float:
        return float(weights @ np.diag(design @ np.linalg.inv(of.precision) @ design.T))

    assert spread(prior.widened(design, weights, 0.4)) == pytest.approx(spread(prior) + 0.4)
