"""Gibbs sampling: the draws of the priors, the averaging of samples, and how close it comes to the truth."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from mfcli.config.download import DownloadConfig
from mfcli.config.solvers import SOLVERS
from mfcli.config.train import TrainConfig
from mfcli.data.ratings import Ratings, Sides
from mfcli.data.synthetic import generate
from mfcli.data.training import TrainingData
from mfcli.models import model_file
from mfcli.models.metrics import coverage, rmse
from mfcli.solvers.gibbs import BELIEF, BIAS_L2, L2, Gibbs, sample_prior, wishart_root
from mfcli.solvers.halves import Round
from mfcli.solvers.priors import l2_prior
from mfcli.solvers.start import Start
from tests.planted import CPU, full_matrix, quietly, some_of


def sampled(ratings: Ratings, validation: Ratings | None = None, **options: object) -> Gibbs:
    config = TrainConfig(solver="gibbs", **options)  # type: ignore[arg-type]
    solver = Gibbs(config, TrainingData(ratings, validation), CPU)
    for _ in range(solver.epochs):
        solver.run_epoch(quietly)
    return solver


def test_wishart_draws_have_the_mean_and_the_variance_of_the_distribution() -> None:
    rng = np.random.default_rng(0)
    scale = np.array([[0.5, 0.1], [0.1, 0.3]])
    roots = np.array([wishart_root(np.linalg.inv(scale), 7.0, rng) for _ in range(20_000)])
    draws = roots @ roots.transpose(0, 2, 1)
    true = stats.wishart(7.0, scale)
    np.testing.assert_allclose(draws.mean(0), true.mean(), rtol=0.02)
    np.testing.assert_allclose(draws.var(0), true.var(), rtol=0.06)


def test_the_prior_of_many_rows_is_their_mean_and_covariance() -> None:
    rng = np.random.default_rng(0)
    covariance = np.array([[0.5, 0.2], [0.2, 0.4]])
    rows = rng.multivariate_normal([1.0, -2.0], covariance, 40_000)
    prior = sample_prior(torch.from_numpy(rows).float(), rng)
    np.testing.assert_allclose(prior.mean, [1.0, -2.0], atol=0.02)
    np.testing.assert_allclose(np.linalg.inv(prior.precision.double()), covariance, rtol=0.05)


def test_the_prior_of_few_rows_is_drawn_from_its_posterior() -> None:
    """Mean of m over draws: nx̄/(n + β), as the conjugate Normal-Wishart has it."""
    rows = torch.tensor([[1.0, 0.0], [3.0, 1.0], [2.0, 5.0]])
    rng = np.random.default_rng(0)
    means = np.array([sample_prior(rows, rng).mean.numpy() for _ in range(4_000)])
    np.testing.assert_allclose(means.mean(0), 3 * np.array([2.0, 2.0]) / (3 + BELIEF), atol=0.1)


def test_where_data_are_plenty_it_comes_within_two_percent_of_the_oracle() -> None:
    """No model can beat the planted one by more than luck; this one is nearly as good, and knows its own error."""
    data = generate(DownloadConfig(name="synthetic", users=800, items=600, ratings=240_000, rank=2))
    ratings = Ratings(data.users, data.items, data.ratings, 800, 600)
    chosen = np.random.default_rng(0).random(len(ratings)) < 0.9
    train, test = ratings.take(chosen), ratings.take(~chosen)
    model = sampled(train, factors=3, burn_in=20, samples=40).model()
    predicted = model.predict(test.users, test.items)
    assert rmse(test.ratings, predicted) < 1.02 * rmse(test.ratings, data.expected[~chosen])
    deviations = model.deviations(test.users, test.items)
    assert deviations is not None
    assert 0.64 < coverage(test.ratings, predicted, deviations, 1) < 0.73
    assert 0.93 < coverage(test.ratings, predicted, deviations, 2) < 0.98


def test_a_warm_start_gains_what_new_ratings_bring_in_a_quarter_of_the_sweeps() -> None:
    data = generate(DownloadConfig(name="synthetic", users=500, items=300, ratings=20_000, rank=4, seed=1))
    ratings = Ratings(data.users, data.items, data.ratings, 500, 300)
    order = np.random.default_rng(1).permutation(len(ratings))
    test, now, then = ratings.take(order[:4000]), ratings.take(order[4000:]), ratings.take(order[5600:])
    options = {"factors": 8, "side": ("none",)}
    first, anew = (sampled(train, **options).model() for train in (then, now))
    few = SOLVERS["gibbs"].warm
    warm = Gibbs(TrainConfig(solver="gibbs", warm_start="first", **options, **few), TrainingData(now), CPU)  # type: ignore[arg-type]
    warm.begin(Start.of(first, Sides(np.arange(500), np.arange(300))))
    for _ in range(warm.epochs):
        warm.run_epoch(quietly)
    before, after, best = (
        rmse(test.ratings, model.predict(test.users, test.items)) for model in (first, warm.model(), anew)
    )
    assert after < before - 0.5 * (before - best)


@pytest.mark.parametrize(("side", "begins"), [("none", "als"), ("exposure", "burn-in")])
def test_a_warm_start_begins_with_rounds_where_these_forget_no_features(side: str, begins: str) -> None:
    """What features say of rows with few ratings would be gone after a round of alternating least squares."""
    train, first = full_matrix(30, 20, 2, 0.1), sampled(full_matrix(30, 20, 2, 0.1), factors=2, burn_in=4, samples=2)
    config = TrainConfig(solver="gibbs", factors=2, side=(side,), warm_start="first", burn_in=4, samples=2)
    warm = Gibbs(config, TrainingData(train), CPU)
    warm.begin(Start.of(first.model(), Sides(np.arange(30), np.arange(20))))
    assert warm.run_epoch(quietly).phase == begins


def test_it_finds_the_noise_of_every_user_and_item() -> None:
    quiet, loud = 0.2, 0.8
    clean = full_matrix(150, 120, 2, 0.0)
    noise = np.where(clean.users < 75, quiet, loud) * np.where(clean.items < 60, 0.7, 1.0)
    noisy = clean.ratings + noise.astype(np.float32) * np.random.default_rng(5).normal(size=len(clean)).astype(
        np.float32
    )
    train, _ = some_of(replace(clean, ratings=noisy.astype(np.float32)), 0.6)
    model = sampled(train, factors=2, burn_in=20, samples=20).model()
    assert model.noise is not None
    found = np.sqrt(np.outer(model.noise.users, model.noise.items))
    for users, of_user in ((slice(0, 75), quiet), (slice(75, 150), loud)):
        for items, of_item in ((slice(0, 60), 0.7), (slice(60, 120), 1.0)):
            assert found[users, items].mean() == pytest.approx(of_user * of_item, rel=0.15)


def test_the_first_sweeps_are_rounds_of_alternating_least_squares() -> None:
    train, _ = some_of(full_matrix(60, 40, 2, 0.3), 0.5)
    gibbs = Gibbs(TrainConfig(solver="gibbs", factors=2, burn_in=3, samples=1), TrainingData(train), CPU)
    items, prior = gibbs.last.items.rows, l2_prior(2, L2, BIAS_L2, CPU.device)
    for _ in range(3):
        with CPU.one_core_each() as workers:
            alternating = Round(gibbs.blocks, True, workers, quietly)
            items = alternating.least_squares(items, prior).items.rows
        expected = float(np.sqrt(alternating.tally.sums().items / len(train)))
        assert gibbs.run_epoch(quietly).train == expected


def test_averaging_samples_is_better_than_a_sample() -> None:
    train, validation = some_of(full_matrix(80, 60, 2, 0.5), 0.3)
    solver = Gibbs(TrainConfig(solver="gibbs", factors=6, burn_in=10, samples=30), TrainingData(train, validation), CPU)
    epochs = [solver.run_epoch(quietly) for _ in range(40)]
    assert epochs[9].validation == epochs[9].errors["sample_rmse"]
    averaged, alone = epochs[-1].validation, epochs[-1].errors["sample_rmse"]
    assert averaged is not None
    assert averaged < 0.97 * alone
    predicted = solver.model().predict(validation.users, validation.items)
    assert rmse(validation.ratings, predicted) == pytest.approx(averaged, rel=0.005)


@pytest.mark.parametrize("biases", [True, False])
def test_the_models_predictions_are_the_mean_of_the_samples(biases: bool) -> None:
    train, rest = some_of(full_matrix(50, 40, 2, 0.3), 0.5)
    solver = Gibbs(
        TrainConfig(solver="gibbs", factors=3, biases=biases, burn_in=5, samples=60), TrainingData(train), CPU
    )
    total = np.zeros(len(rest))
    for sweep in range(65):
        solver.run_epoch(quietly)
        if sweep >= 5:
            total += solver.mean + pair_predictions(solver, rest)
    model = solver.model()
    off = rmse(total / 60, model.predict(rest.users, rest.items, clip=False))
    assert off < 0.02
    assert solver.results(model)["compression_rmse"] < 0.02
    assert model.n_factors <= 32


def pair_predictions(solver: Gibbs, pairs: Ratings) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    users, items = (side.rows.double().numpy() for side in solver.last)
    u, i = users[pairs.users], items[pairs.items]
    if not solver.config.biases:
        return np.asarray((u * i).sum(1))
    return np.asarray((u[:, :-1] * i[:, :-1]).sum(1) + u[:, -1] + i[:, -1])


def test_memory_does_not_grow_with_the_samples() -> None:
    train, _ = some_of(full_matrix(50, 40, 2, 0.3), 0.5)
    sizes = [
        sum(a.size for a in sampled(train, factors=3, burn_in=0, samples=n).state().arrays.values()) for n in (16, 48)
    ]
    assert sizes[0] == sizes[1]


def test_an_item_nobody_rated_is_least_sure() -> None:
    train, _ = some_of(full_matrix(60, 40, 2, 0.3), 0.5)
    widened = Ratings(train.users, train.items, train.ratings, 60, 41)
    model = sampled(widened, factors=2, burn_in=10, samples=20).model()
    assert model.variances is not None
    assert model.variances.items.argmax() == 40


def test_resumed_on_either_side_of_a_compression_it_ends_in_the_same_bytes() -> None:
    """Stopped after 10 of 14 sweeps, on either side of a compression, with a validation part."""
    train, validation = some_of(full_matrix(60, 40, 2, 0.3), 0.5)
    config = TrainConfig(solver="gibbs", factors=3, burn_in=3, samples=11)
    whole, first, second = (Gibbs(config, TrainingData(train, validation), CPU) for _ in range(3))
    undisturbed = [whole.run_epoch(quietly) for _ in range(14)]
    for _ in range(10):
        first.run_epoch(quietly)
    second.load_state(first.state())
    resumed = [second.run_epoch(quietly) for _ in range(4)]
    assert model_file.to_bytes(second.model()) == model_file.to_bytes(whole.model())
    assert [e.validation for e in resumed] == [e.validation for e in undisturbed[10:]]
