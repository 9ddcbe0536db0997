"""The posterior from samples: compression that loses nothing it should not, and variances with exact margins."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mfcli.data.ratings import Sides
from mfcli.errors import DivergedError
from mfcli.models import model_file
from mfcli.solvers import compute
from mfcli.solvers.beliefs import Moments
from mfcli.solvers.compression import compress, weighted_gram
from mfcli.solvers.compute import Map
from mfcli.solvers.posterior import PENDING, Posterior, Vectors, mean_squares
from mfcli.solvers.solving import Solutions
from tests.planted import CPU, full_matrix, some_of


def exactly(rows: torch.Tensor) -> Solutions:
    """A sample that is its own mean."""
    return Solutions(rows, rows, torch.zeros(len(rows)))


def normal(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@given(st.integers(1, 12), st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_compression_is_the_best_there_is_of_that_width(width: int, seed: int) -> None:
    """Equal weights: what is lost is the tail of the singular values (Eckart and Young, Psychometrika 1936)."""
    stacks = Sides(normal(seed, 15, 9), normal(seed + 1, 12, 9))
    weights = Sides(torch.full((15,), 1 / 15), torch.full((12,), 1 / 12))
    (users, items), values = compress(stacks, weights, width)
    table = (stacks.users @ stacks.items.T).double()
    left, singular, right = torch.linalg.svd(table, full_matrices=False)
    best = left[:, :width] * singular[:width] @ right[:width]
    torch.testing.assert_close((users @ items.T).double(), best, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(values, singular[: len(values)] / np.sqrt(15 * 12), atol=1e-5, rtol=1e-4)


def test_compression_loses_least_where_the_weights_are_large() -> None:
    stacks = Sides(normal(0, 10, 4), normal(1, 8, 4))
    weights = Sides(torch.tensor([1.0] * 5 + [1e-6] * 5), torch.full((8,), 0.125))
    lost = []
    for chosen in (weights, Sides(torch.full((10,), 0.1), weights.items)):
        (users, items), _ = compress(stacks, chosen, 3)
        lost.append(float((users @ items.T - stacks.users @ stacks.items.T)[:5].square().mean()))
    assert lost[0] < 0.9 * lost[1]


def test_stacks_of_dependent_columns_are_compressed_without_loss() -> None:
    once = Sides(normal(0, 10, 2), normal(1, 8, 2))
    (users, items), values = compress(
        Sides(*(torch.cat([x] * 5, 1) for x in once)), Sides(torch.ones(10), torch.ones(8)), 4
    )
    torch.testing.assert_close(users @ items.T, 5 * once.users @ once.items.T, atol=1e-3, rtol=1e-3)
    assert values[2:].max() < 1e-3 * values[0]


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
def test_what_is_not_finite_cannot_be_averaged(side: int, value: float) -> None:
    stacks = Sides(normal(0, 10, 4), normal(1, 8, 4))
    stacks[side][3, 2] = value
    with pytest.raises(DivergedError, match="averaged"):
        compress(stacks, Sides(torch.full((10,), 0.1), torch.full((8,), 0.125)), 3)


def test_what_is_summed_by_pieces_is_the_same_in_any_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    stacks, biases = Sides(normal(0, 30, 9), normal(1, 17, 9)), Sides(normal(2, 30), normal(3, 17))
    weights = Sides(torch.full((30,), 1 / 30), torch.full((17,), 1 / 17))
    vectors = Sides(*(Vectors(*side) for side in zip(stacks, biases, strict=True)))

    def found(workers: Map = map) -> list[torch.Tensor]:
        (users, items), values = compress(stacks, weights, 9, workers)
        moments = Moments.of(stacks.users, torch.arange(30), workers=workers)
        sums = [torch.from_numpy(array) for array in (moments.square, moments.rated_square, moments.rated_sum)]
        return [users @ items.T, values, *mean_squares(vectors, weights, workers), *sums]

    whole = found()
    monkeypatch.setitem(compute.ROWS_AT_ONCE, "cpu", 4)
    in_pieces = found()
    with replace(CPU, threads=2).one_core_each() as workers:
        in_threads = found(workers)
    for one, pieces, threads in zip(whole, in_pieces, in_threads, strict=True):
        torch.testing.assert_close(one, pieces, rtol=1e-4, atol=1e-4)
        assert torch.equal(pieces, threads)


def test_mean_squares_are_those_of_the_whole_table() -> None:
    vectors = Sides(Vectors(normal(0, 7, 3), normal(2, 7)), Vectors(normal(1, 5, 3), normal(3, 5)))
    weights = Sides(normal(4, 7).abs(), normal(5, 5).abs())
    weights = Sides(*(w / w.sum() for w in weights))
    (p, b), (q, c) = vectors
    table = (p @ q.T + b[:, None] + c).double() ** 2
    users, items = mean_squares(vectors, weights)
    torch.testing.assert_close(users, table @ weights.items.double(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(items, weights.users.double() @ table, rtol=1e-4, atol=1e-5)


def test_weighted_gram_is_the_sum_of_outer_products() -> None:
    rows, weights = normal(0, 6, 3), torch.arange(6.0)
    expected = sum(float(w) * torch.outer(x, x) for w, x in zip(weights, rows, strict=True))
    torch.testing.assert_close(weighted_gram(rows, weights).float(), expected)


def test_mean_and_margins_of_the_variance_are_those_of_the_samples() -> None:
    """All users and items weigh alike here, and the samples' mean is small enough to be kept whole."""
    train = full_matrix(30, 20, 1, 0.1)
    posterior = Posterior(train, 2, True, seed=0, device=CPU.device)
    base = Sides(normal(0, 30, 3), normal(1, 20, 3))
    weights = Sides(torch.full((30,), 2.0), torch.full((20,), 0.5))
    tables = []
    for sample in range(9 * PENDING + 3):
        users, items = (x + 0.3 * normal(10 * sample + side + 5, *x.shape) for side, x in enumerate(base))
        posterior.add(users, exactly(items), 4.0, weights)
        tables.append((users[:, :2] @ items[:, :2].T + users[:, 2:] + items[:, 2]).double().numpy())
    model = posterior.model()
    assert model.noise is not None
    np.testing.assert_allclose(np.outer(model.noise.users, model.noise.items), 0.25, rtol=1e-5)
    users, items = (index.ravel() for index in np.indices((30, 20)))
    predicted = model.predict(users, items, clip=False).reshape(30, 20) - model.mean
    mean, variance = np.mean(tables, 0), np.var(tables, 0)
    assert np.sqrt(np.mean((predicted - mean) ** 2)) < 0.05
    assert posterior.loss(model) < 0.05
    assert model.variances is not None
    told = np.outer(model.variances.users, model.variances.items)
    np.testing.assert_allclose(told.mean(1), variance.mean(1), rtol=0.1)
    np.testing.assert_allclose(told.mean(0), variance.mean(0), rtol=0.1)
    assert np.corrcoef(told.ravel(), variance.ravel())[0, 1] > 0.5


def test_the_mean_is_of_the_items_means_and_the_mean_square_of_their_samples() -> None:
    posterior = Posterior(full_matrix(4, 3, 1, 0.1), 1, False, seed=0, device=CPU.device)
    users, mean = torch.ones(4, 1), torch.full((3, 1), 2.0)
    for offset in (1.0, -1.0):  # about the mean
        posterior.add(users, Solutions(mean + offset, mean, torch.zeros(3)), 1.0, Sides(torch.ones(4), torch.ones(3)))
    model = posterior.model()
    np.testing.assert_allclose(model.factors.users @ model.factors.items.T, 2.0, rtol=1e-5)
    assert model.variances is not None
    np.testing.assert_allclose(np.outer(model.variances.users, model.variances.items), 1.0, rtol=1e-4)


def test_a_posterior_that_goes_on_from_its_state_ends_in_the_same_bytes() -> None:
    train = some_of(full_matrix(30, 20, 1, 0.1), 0.5)[0]
    whole, first, second = (Posterior(train, 2, True, seed=0, device=CPU.device) for _ in range(3))
    weights = Sides(normal(200, 30).exp(), normal(201, 20).exp())
    samples = [(normal(s, 30, 3), exactly(normal(s + 100, 20, 3))) for s in range(13)]
    for users, items in samples:
        whole.add(users, items, 2.0, weights)
    for users, items in samples[:9]:
        first.add(users, items, 2.0, weights)
    second.load_state(first.state())
    for users, items in samples[9:]:
        second.add(users, items, 2.0, weights)
    assert model_file.to_bytes(second.model()) == model_file.to_bytes(whole.model())
