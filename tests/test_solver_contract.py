"""What every solver promises. A new one joins by a line in OPTIONS, and, if it learns from ratings, one in TUNED."""

import contextlib
import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from mfcli.config.solvers import SOLVERS
from mfcli.config.train import TrainConfig
from mfcli.data.ratings import Sides
from mfcli.data.training import TrainingData
from mfcli.errors import Stopped
from mfcli.models import model_file
from mfcli.models.fold_in import fold_in
from mfcli.models.metrics import rmse
from mfcli.models.model import FactorModel
from mfcli.solvers import blocks, gathering
from mfcli.solvers.base import Epoch, Solver, State
from mfcli.solvers.compiled import kernels
from mfcli.solvers.compute import Compute
from mfcli.solvers.create import create
from mfcli.solvers.normals import Normals
from mfcli.solvers.start import Start, leading
from tests.planted import (
    CPU,
    RowNormals,
    full_matrix,
    planted_biases_and_factors,
    quietly,
    random_features,
    ratings_of,
    some_of,
)

OPTIONS: dict[str, dict[str, Any]] = {
    "adam": {"epochs": 3, "batch": 100},
    "als": {"epochs": 3, "tolerance": 0.0},
    "gibbs": {"burn_in": 1, "samples": 2},
    "ials": {"epochs": 3, "tolerance": 0.0},
}
"""Small runs of three epochs."""
TUNED: dict[str, dict[str, Any]] = {
    "adam": {"epochs": 20, "batch": 500, "lr": 0.03, "l2": 0.1},
    "als": {"epochs": 20},
    "gibbs": {"burn_in": 15, "samples": 25},
}
"""Runs long enough to find the ratings that are planted."""
DAYS = np.random.default_rng(3).integers(0, 4, 40 * 30) * 86_400
WHOLE = replace(full_matrix(40, 30, 2, 0.3), timestamps=DAYS)
TRAIN, VALIDATION = some_of(replace(WHOLE, ratings=WHOLE.ratings.clip(0.5, 6)), 0.5)  # clicks are above 0
DATA = TrainingData(TRAIN, VALIDATION, Sides(random_features(40, 5), random_features(30, 4, seed=1)))

every_solver = pytest.mark.parametrize("name", OPTIONS)
of_ratings = pytest.mark.parametrize("name", TUNED)


def built(name: str, data: TrainingData = DATA, compute: Compute = CPU, **options: Any) -> Solver:
    return create(TrainConfig(solver=name, **{"factors": 3} | OPTIONS[name] | options), data, compute)  # type: ignore[arg-type]


def run(solver: Solver) -> list[Epoch]:
    return [solver.run_epoch(quietly) for _ in range(solver.epochs)]


def fitted(name: str, data: TrainingData = DATA, **options: Any) -> FactorModel:
    solver = built(name, data, **options)
    run(solver)
    return solver.model()


# ── how good ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@of_ratings
def test_planted_biases_and_factors_are_recovered(name: str) -> None:
    train, test, truth = planted_biases_and_factors()
    model = fitted(name, TrainingData(train), factors=4, **TUNED[name])
    oracle = rmse(test.ratings, truth)
    found = rmse(test.ratings, model.predict(test.users, test.items))
    assert oracle == pytest.approx(0.3, abs=0.02)
    assert oracle - 0.01 < found < 1.2 * oracle, "biases alone come to three times the oracle"


@of_ratings
@pytest.mark.parametrize("unit", [32.0, 1 / 64])
def test_another_unit_changes_nothing_but_the_unit(name: str, unit: float) -> None:
    told = []
    for scale in (1.0, unit):
        train, validation = (replace(part, ratings=part.ratings * np.float32(scale)) for part in (TRAIN, VALIDATION))
        solver = built(name, replace(DATA, train=train, validation=validation))
        epochs = [[e.train, e.validation, *e.errors.values(), *e.batch_rmse] for e in run(solver)]
        model = solver.model()
        predictions = model.predict(VALIDATION.users, VALIDATION.items)
        deviations = model.deviations(VALIDATION.users, VALIDATION.items)
        results = list(solver.results(model).values())
        deviations = np.zeros(1) if deviations is None else deviations
        told.append([np.array(x, np.float64) / scale for x in (epochs, predictions, results, deviations)])
    for one, other in zip(*told, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


# ── where it begins ───────────────────────────────────────────────────────────────────────────────────────────────────


@every_solver
@pytest.mark.parametrize("unit", [1.0, 32.0])
def test_a_warm_start_begins_where_the_other_model_was(name: str, unit: float) -> None:
    train = replace(TRAIN, ratings=TRAIN.ratings * np.float32(unit))
    data, options = TrainingData(train, None, DATA.features), {"warm_start": "other", "side": ("auto",)}
    other = fitted(name, data)
    other = replace(other, factors=leading(other.factors, 3), days=None)  # gibbs's has more than a sample has
    solver = built(name, data, **options)
    solver.begin(Start.of(other, Sides(np.arange(40), np.arange(30))))
    users, items = np.nonzero(np.ones((40, 30)))
    np.testing.assert_allclose(solver.model().predict(users, items), other.predict(users, items), atol=1e-4 * unit)


@of_ratings
def test_whoever_is_new_is_folded_in_by_ratings_of_the_known(name: str) -> None:
    """User 39 and item 29 are new. They had other rows, and nobody knew them."""
    old = fitted(name, DATA, side=("none",), **TUNED[name])
    old = replace(old, factors=leading(old.factors, 3), days=None)
    places = Sides(np.append(np.arange(38, -1, -1), -1), np.append(np.arange(29), -1))
    turned = replace(TRAIN, users=np.where(TRAIN.users < 39, 38 - TRAIN.users, 39).astype(np.int32))
    solver = built(name, TrainingData(turned), side=("none",), warm_start="other")
    solver.begin(Start.of(old, places))
    model, mine = solver.model(), turned.users == 39
    before = rmse(turned.ratings[mine], np.full(mine.sum(), model.mean))
    assert rmse(turned.ratings[mine], model.predict(turned.users[mine], turned.items[mine])) < 0.8 * before
    assert np.any(model.factors.items[29])
    users, items = turned.users[~mine & (turned.items < 29)], turned.items[~mine & (turned.items < 29)]
    np.testing.assert_allclose(model.predict(users, items), old.predict(38 - users, items), atol=1e-4)


# ── what an epoch tells ──────────────────────────────────────────────────────────────────────────────────────────────


@every_solver
def test_an_epochs_numbers_are_finite(name: str) -> None:
    for epoch in run(built(name)):
        assert epoch.finite
        assert epoch.validation is not None
        assert np.isfinite([*epoch.batch_rmse, *epoch.errors.values(), *epoch.others.values()]).all()


@of_ratings
def test_the_validation_rmse_is_that_of_the_model(name: str) -> None:
    solver = built(name)
    validation = VALIDATION.users, VALIDATION.items, VALIDATION.timestamps
    close = 0.02 if solver.method.averages_samples else 1e-9  # an average is compressed into a model of factors
    for _ in range(solver.epochs):
        epoch = solver.run_epoch(quietly)
        expected = rmse(VALIDATION.ratings, solver.model().predict(*validation))
        assert epoch.validation == pytest.approx(expected, abs=close)


@every_solver
def test_without_a_validation_part_there_is_no_validation_measure(name: str) -> None:
    assert {epoch.validation for epoch in run(built(name, TrainingData(TRAIN)))} == {None}


@every_solver
def test_ticks_count_the_batches_and_tell_finite_rmses(name: str) -> None:
    seen: list[tuple[int, int, float, float]] = []
    built(name).run_epoch(lambda done, total, rmse: seen.append((done, total, *rmse())))
    total = len(seen)
    assert [(done, of) for done, of, _, _ in seen] == [(done, total) for done in range(1, total + 1)]
    assert all(0 <= batch < 10 and 0 <= running < 10 for _, _, batch, running in seen)


# ── the same bytes ───────────────────────────────────────────────────────────────────────────────────────────────────


@every_solver
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(name: str) -> None:
    first = model_file.to_bytes(fitted(name, seed=7))
    torch.manual_seed(99)  # nobody else's random numbers matter
    np.random.seed(99)
    assert model_file.to_bytes(fitted(name, seed=7)) == first
    assert model_file.to_bytes(fitted(name, seed=8)) != first


class StopsAt:
    """A tick that counts batches over all epochs, and raises at one of them."""

    def __init__(self, batch: float = math.inf) -> None:
        self.batch, self.count = batch, 0

    def __call__(self, done: int, total: int, rmse: object) -> None:
        self.count += 1
        if self.count == self.batch:
            raise Stopped(15)


def until_stopped(solver: Solver, tick: StopsAt) -> list[Epoch]:
    """The epochs that are finished before the tick raises."""
    epochs = []
    with contextlib.suppress(Stopped):
        while True:
            epochs.append(solver.run_epoch(tick))
    return epochs


def through_a_file(state: State) -> State:
    """The state as a checkpoint gives it back: values have been JSON, arrays are others."""
    arrays = {name: array.copy() for name, array in state.arrays.items()}
    return State(arrays, json.loads(json.dumps(state.values)))


def assert_same_epochs(got: list[Epoch], wanted: list[Epoch]) -> None:
    for one, other in zip(got, wanted, strict=True):
        assert replace(one, batch_rmse=None) == replace(other, batch_rmse=None)  # type: ignore[arg-type]
        np.testing.assert_array_equal(one.batch_rmse, other.batch_rmse)


@every_solver
@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 0.99], ids=lambda share: f"after {share:.0%}")
@pytest.mark.parametrize("unit", [1.0, 16.0], ids=["stars", "another unit"])
def test_broken_off_at_any_batch_and_resumed_it_ends_in_the_same_bytes(name: str, share: float, unit: float) -> None:
    train, validation = (replace(part, ratings=part.ratings * np.float32(unit)) for part in (TRAIN, VALIDATION))
    data, counting = replace(DATA, train=train, validation=validation), StopsAt()
    undisturbed = built(name, data)
    wanted = [undisturbed.run_epoch(counting) for _ in range(undisturbed.epochs)]

    broken, stopping = built(name, data), StopsAt(1 + int(share * (counting.count - 1)))
    got = until_stopped(broken, stopping)
    resumed = built(name, data)
    resumed.load_state(through_a_file(broken.state()))
    got += [resumed.run_epoch(quietly) for _ in range(undisturbed.epochs - len(got))]

    assert_same_epochs(got, wanted)
    assert model_file.to_bytes(resumed.model()) == model_file.to_bytes(undisturbed.model())
    assert resumed.state().values == undisturbed.state().values
    for key, array in undisturbed.state().arrays.items():
        np.testing.assert_array_equal(resumed.state().arrays[key], array, key)


@every_solver
def test_blocks_as_large_as_those_of_cuda_change_nothing_but_rounding(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There need not be a GPU here. Small blocks stand for a CPU's, as DATA would fit into one of them.

    Draws are the rows' own for once, as those of other blocks are others.
    """
    monkeypatch.setattr(kernels, "serve", lambda device: False)
    monkeypatch.setattr(Normals, "of", lambda drawn, block, columns: RowNormals.of_seed(drawn.seed).of(block, columns))
    told = []
    for sizes in (40, None):
        for table in (blocks.GATHERED, blocks.CELLS, gathering.LONGEST):
            monkeypatch.setitem(table, "cpu", sizes or table["cuda"])
        model = fitted(name)
        told.append(model.predict(VALIDATION.users, VALIDATION.items, clip=False))
    np.testing.assert_allclose(*told, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", [name for name, solver in SOLVERS.items() if solver.side])
def test_the_share_explained_is_told_of_all_that_is_used(name: str) -> None:
    solver = built(name)
    run(solver)
    shares = solver.explained()
    kinds = {"exposure of users", "exposure of items", "users", "items", "time"}
    assert set(shares) == (kinds if "time" in SOLVERS[name].side else kinds - {"time"})
    assert all(0 < share < 2 for share in shares.values())
    untold = built(name, side=("none",))
    run(untold)
    assert untold.explained() == {}
    assert model_file.to_bytes(untold.model()) != model_file.to_bytes(solver.model())


@every_solver
def test_a_model_handed_over_changes_no_more(name: str) -> None:
    solver = built(name)
    solver.run_epoch(quietly)
    model = solver.model()
    before = model_file.to_bytes(model)
    solver.run_epoch(quietly)
    assert model_file.to_bytes(model) == before


# ── data at the edge ─────────────────────────────────────────────────────────────────────────────────────────────────

EDGES = {
    "one user": ratings_of([(0, i, 1.0 + i % 5) for i in range(9)], 1, 9),
    "one item": ratings_of([(u, 0, 1.0 + u % 5) for u in range(9)], 9, 1),
    "one rating": ratings_of([(0, 0, 4.0)], 1, 1),
    "one rating, many rows": ratings_of([(2, 3, 4.0)], 6, 7),
    "constant ratings": replace(TRAIN, ratings=np.full(len(TRAIN), 3.5, np.float32)),
    "ratings of 0": replace(TRAIN, ratings=np.zeros(len(TRAIN), np.float32)),
    "rows without ratings": replace(TRAIN, n_users=TRAIN.n_users + 5, n_items=TRAIN.n_items + 5),
    "fewer ratings than factors": some_of(TRAIN, 0.05)[0],
}


@every_solver
@pytest.mark.parametrize("edge", EDGES)
def test_data_at_the_edge_end_in_a_finite_model(name: str, edge: str) -> None:
    train = EDGES[edge]
    solver = built(name, TrainingData(train, train))
    assert all(epoch.finite for epoch in run(solver))
    model = solver.model()
    assert all(np.isfinite(array).all() for array in model_file.arrays(model).values())
    assert (model.n_users, model.n_items) == (train.n_users, train.n_items)


@of_ratings
@pytest.mark.parametrize("biases", [True, False], ids=["biases", "no biases"])
@pytest.mark.parametrize("edge", EDGES)
def test_predictions_are_within_the_range_of_the_ratings_whatever_the_data(name: str, edge: str, biases: bool) -> None:
    train = EDGES[edge]
    model = fitted(name, TrainingData(train), biases=biases)
    predictions = model.predict(*(index.ravel() for index in np.indices((train.n_users, train.n_items))))
    assert train.ratings.min() <= predictions.min() <= predictions.max() <= train.ratings.max()


@of_ratings
def test_constant_ratings_are_predicted(name: str) -> None:
    train = EDGES["constant ratings"]
    predictions = fitted(name, TrainingData(train)).predict(TRAIN.users, TRAIN.items, clip=False)
    assert np.abs(predictions - 3.5).max() < 0.3


@of_ratings
def test_without_biases_a_pair_that_nobody_rated_is_the_mean(name: str) -> None:
    model = fitted(name, TrainingData(EDGES["rows without ratings"]), biases=False)
    users, items = np.array([TRAIN.n_users, 0]), np.array([0, TRAIN.n_items])
    np.testing.assert_allclose(model.predict(users, items), TRAIN.ratings.mean(), rtol=1e-5)


def test_rows_without_ratings_have_no_factors_and_no_bias() -> None:
    model = fitted("adam", TrainingData(EDGES["rows without ratings"]), side=("none",))
    assert model.biases is not None
    for factors, biases, n in zip(model.factors, model.biases, (TRAIN.n_users, TRAIN.n_items), strict=True):
        assert not factors[n:].any()
        assert not biases[n:].any()
        assert factors[:n].any(axis=1).all()


# ── somebody new ─────────────────────────────────────────────────────────────────────────────────────────────────────


@of_ratings
@pytest.mark.parametrize("biases", [True, False], ids=["biases", "no biases"])
def test_the_model_can_fold_in_somebody_new_in_any_unit(name: str, biases: bool) -> None:
    items, ratings = np.array([4, 7, 9], np.int32), np.array([4.0, 2.5, 3.5], np.float32)
    percent = replace(DATA, train=replace(TRAIN, ratings=TRAIN.ratings * np.float32(32)), validation=None)
    in_stars = fold_in(fitted(name, biases=biases), items, ratings).model.scores(np.zeros(1, np.int32))
    in_percent = fold_in(fitted(name, percent, biases=biases), items, ratings * 32).model.scores(np.zeros(1, np.int32))
    np.testing.assert_allclose(in_percent / 32, in_stars, 1e-4)


def test_the_penalties_of_training_are_those_of_somebody_new() -> None:
    prior = fitted("adam", l2=0.0, bias_l2=0.7).newcomer
    assert prior is not None
    assert prior.by_root_count
    np.testing.assert_array_equal(prior.precision, np.diag([0, 0, 0, 0.7]))
