"""The article's parts, one by one: data set, loader, model, criterion, penalty, optimizer and schedule."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from mfcli.config.solvers import PRESETS
from mfcli.config.train import TrainConfig
from mfcli.data.ratings import Ratings, Sides
from mfcli.data.training import TrainingData
from mfcli.models import model_file
from mfcli.models.metrics import rmse
from mfcli.solvers.adam import LEAST, Adam
from mfcli.solvers.batches import RatingsDataset, ShuffledBatches
from mfcli.solvers.factorization import LINK_L2, L2Penalty, MatrixFactorization, RMSELoss
from mfcli.solvers.row_features import RowFeatures
from tests.planted import CPU, quietly, random_features

USERS, ITEMS = 12, 15


def a_hundred_ratings() -> Ratings:
    """100 of the 180 pairs of 12 users and 15 items, the last of which nobody has rated."""
    rng = np.random.default_rng(0)
    users, items = np.divmod(rng.permutation(USERS * (ITEMS - 1))[:100], ITEMS - 1)
    ratings = rng.integers(1, 11, 100) / 2
    return Ratings(users.astype(np.int32), items.astype(np.int32), ratings.astype(np.float32), USERS, ITEMS)


def a_loader(batch: int, seed: int = 1) -> DataLoader[tuple[torch.Tensor, ...]]:
    data = RatingsDataset(a_hundred_ratings(), CPU.device)
    return DataLoader(data, sampler=ShuffledBatches(len(data), batch, seed, CPU), batch_size=None)


def test_an_index_or_a_tensor_of_indices_fetches_users_items_and_ratings() -> None:
    ratings = a_hundred_ratings()
    data = RatingsDataset(ratings, CPU.device)
    assert len(data) == 100
    assert [float(x) for x in data[7]] == [ratings.users[7], ratings.items[7], ratings.ratings[7]]
    users, items, values = data[torch.tensor([7, 3])]
    assert users.tolist() == ratings.users[[7, 3]].tolist()
    assert items.tolist() == ratings.items[[7, 3]].tolist()
    assert values.tolist() == ratings.ratings[[7, 3]].tolist()


def test_a_batch_costs_one_indexing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    fetch = RatingsDataset.__getitem__

    def counting(self: RatingsDataset, index: torch.Tensor) -> tuple[torch.Tensor, ...]:
        asked.append(len(index))
        return fetch(self, index)

    monkeypatch.setattr(RatingsDataset, "__getitem__", counting)
    shapes = [len(users) for users, _, _ in a_loader(batch=32)]
    assert asked == shapes == [32, 32, 32, 4]


def test_an_epoch_has_every_rating_once_in_an_order_of_its_own() -> None:
    ratings = a_hundred_ratings()
    expected = sorted(zip(ratings.users.tolist(), ratings.items.tolist(), ratings.ratings.tolist(), strict=True))
    orders = []
    loader = a_loader(batch=7)
    for epoch in (0, 1, 0):
        loader.sampler.epoch = epoch  # type: ignore[attr-defined]
        batches = [torch.stack([x.double() for x in batch]) for batch in loader]
        orders.append([tuple(row) for row in torch.cat(batches, dim=1).T.tolist()])
        assert sorted(orders[-1]) == expected
    assert orders[0] == orders[2]
    assert orders[0] != orders[1]


def test_the_order_of_an_epoch_can_be_gone_on_with_at_any_batch() -> None:
    batches = ShuffledBatches(100, 7, seed=1, compute=CPU)
    whole = [b.tolist() for b in batches]
    batches.first = 5
    assert [b.tolist() for b in batches] == whole[5:]
    assert len(batches) == len(whole) == 15


def test_the_articles_bmm_is_the_sum_of_products() -> None:
    model = MatrixFactorization(USERS, ITEMS, 20, biases=False, init_std=1.0)
    users, items = torch.arange(USERS), torch.arange(USERS) + 3
    p, q = model.users(users), model.items(items)
    bmm = torch.bmm(p.view(-1, 1, 20), q.view(-1, 20, 1)).view(-1)
    torch.testing.assert_close(bmm, (p * q).sum(1))
    torch.testing.assert_close(bmm, model(users, items))


def test_biases_and_the_mean_are_added() -> None:
    model = MatrixFactorization(USERS, ITEMS, 4, mean=3.5)
    users, items = torch.tensor([0, 5]), torch.tensor([2, 2])
    dots = (model.users(users)[:, :4] * model.items(items)[:, :4]).sum(1)
    torch.testing.assert_close(model(users, items), 3.5 + dots, msg="biases start at 0")
    with torch.no_grad():
        model.users.weight[5, 4], model.items.weight[2, 4] = 0.25, -1.0
    torch.testing.assert_close(model(users, items), 3.5 + dots + torch.tensor([-1.0, -0.75]))


@pytest.mark.parametrize("biases", [True, False])
def test_features_add_to_rows_what_the_link_says(biases: bool) -> None:
    features = RowFeatures.of("users", np.ones(USERS, np.int32), None, random_features(USERS, 5), CPU)
    model = MatrixFactorization(USERS, ITEMS, 4, biases=biases, mean=3.5, features=Sides(features, None))
    users, items = torch.tensor([0, 5, 5]), torch.tensor([2, 2, 7])
    before = model(users, items)
    assert model.item_link is None
    assert model.user_link is not None
    torch.testing.assert_close(model.user_link, torch.zeros(5, 4 + biases))
    with torch.no_grad():
        model.user_link.normal_(generator=torch.Generator().manual_seed(1))
    added = features.times(model.user_link)[users]
    expected = before + (added[:, :4] * model.items(items)[:, :4]).sum(1) + added[:, 4:].sum(1)
    torch.testing.assert_close(model(users, items), expected)
    l2 = torch.tensor([0.5, 0.5, 0.5, 0.5, 2.0])[: 4 + biases]
    penalty = L2Penalty(torch.ones(USERS), torch.ones(ITEMS), l2)
    squares = model.user_link.square().sum(0)
    by_hand = LINK_L2 * (0.5 * squares[:4].sum() + 2.0 * squares[4:].sum())
    torch.testing.assert_close(penalty.of_link(model.user_link), by_hand)


def test_the_finished_model_says_what_the_module_says() -> None:
    ratings = a_hundred_ratings()
    data = TrainingData(ratings, None, Sides(random_features(USERS, 5), random_features(ITEMS, 3)))
    solver = Adam(TrainConfig(factors=3, epochs=2, batch=10), data, CPU)
    for _ in range(2):
        solver.run_epoch(quietly)
    told = solver.model().predict(ratings.users, ratings.items, clip=False)
    users, items = (torch.from_numpy(rows) for rows in (ratings.users, ratings.items))
    np.testing.assert_allclose(told, solver.module(users, items).detach(), rtol=1e-5)
    assert solver.module.item_link is not None
    assert solver.module.item_link.abs().min() > 0


def test_there_is_one_row_for_each_user_and_item_and_not_one_more() -> None:
    shapes = {name: tuple(w.shape) for name, w in MatrixFactorization(USERS, ITEMS, 4).named_parameters()}
    assert shapes == {
        "users.weight": (USERS, 5),
        "items.weight": (ITEMS, 5),
    }


@pytest.mark.parametrize("std", [0.05, 1.0])
def test_factors_begin_normal_with_the_given_deviation(std: float) -> None:
    weights = MatrixFactorization(300, 200, 50, init_std=std).users.weight[:, :50]
    assert weights.mean().item() == pytest.approx(0, abs=0.05 * std)
    assert weights.std().item() == pytest.approx(std, rel=0.05)


def test_the_rmse_loss_is_the_articles_and_has_a_slope_at_a_perfect_fit() -> None:
    actual = torch.tensor([1.0, 2.0, 5.0])
    predicted = torch.tensor([1.0, 4.0, 4.0], requires_grad=True)
    assert RMSELoss()(predicted, actual).item() == pytest.approx(((0 + 4 + 1) / 3 + 1e-6) ** 0.5)
    perfect = actual.clone().requires_grad_()
    loss = RMSELoss()(perfect, actual)
    loss.backward()
    assert loss.item() == pytest.approx(1e-3)
    assert perfect.grad is not None
    assert perfect.grad.tolist() == [0, 0, 0]


def test_the_penalty_of_a_batch_is_what_one_works_out_by_hand() -> None:
    """User 0 has 4 ratings, user 1 has 1; the item has 9."""
    counts, l2 = (torch.tensor([4, 1]), torch.tensor([9])), torch.tensor([0.5, 0.5, 2.0])
    users, items = torch.tensor([0, 1]), torch.tensor([0, 0])
    own = Sides(torch.tensor([[1.0, 2.0, 0.5], [3.0, 0.0, -1.0]]), torch.tensor([[1.0, 1.0, 3.0], [1.0, 1.0, 3.0]]))
    first = (0.5 * 5 + 2 * 0.25) / 2 + (0.5 * 2 + 2 * 9) / 3
    second = (0.5 * 9 + 2 * 1) / 1 + (0.5 * 2 + 2 * 9) / 3
    assert L2Penalty(*counts, l2)(users, items, own).item() == pytest.approx((first + second) / 2)
    without = (0.5 * 5 / 2 + 0.5 * 2 / 3 + 0.5 * 9 + 0.5 * 2 / 3) / 2
    factors = Sides(own.users[:, :2], own.items[:, :2])
    assert L2Penalty(*counts, l2[:2])(users, items, factors).item() == pytest.approx(without)


def test_an_epoch_of_penalties_is_lambda_root_n_for_every_row() -> None:
    ratings = a_hundred_ratings()
    model = MatrixFactorization(USERS, ITEMS, 3, init_std=1.0)
    of_users, of_items = (torch.from_numpy(c) for c in (ratings.user_counts(), ratings.item_counts()))
    penalty = L2Penalty(of_users, of_items, torch.tensor([0.7, 0.7, 0.7, 0.0]))
    total = 0.0
    for users, items, _ in a_loader(batch=7):
        total += penalty(users, items, model.lookup(users, items)).item() * len(users)
    rows = (of_users.sqrt() * model.users.weight.square().sum(1)).sum()
    columns = (of_items.sqrt() * model.items.weight.square().sum(1)).sum()
    assert total == pytest.approx(0.7 * (rows + columns).item(), rel=1e-5)


def test_the_article_preset_is_the_article() -> None:
    config = TrainConfig(preset="article", **PRESETS["article"])
    solver = Adam(config, TrainingData(a_hundred_ratings()), CPU)
    assert (config.epochs, config.batch_for(100), config.patience) == (30, 32, 0)
    assert isinstance(solver.criterion, RMSELoss)
    assert not solver.module.biases
    assert solver.module.users.weight.shape == (USERS, 100)
    assert solver.module.users.weight.std().item() == pytest.approx(1.0, abs=0.1)
    assert isinstance(solver.optimizer, torch.optim.Adam)
    article = torch.optim.Adam(solver.module.parameters(), lr=1e-3)
    names = ("lr", "betas", "eps", "weight_decay", "amsgrad")
    assert [solver.optimizer.param_groups[0][n] for n in names] == [article.param_groups[0][n] for n in names]
    for _ in range(2):
        solver.run_epoch(quietly)
        assert solver.optimizer.param_groups[0]["lr"] == 1e-3


def test_an_epoch_of_the_article_preset_is_the_articles_loop() -> None:
    """Against the loop written out: bmm, RMSE loss, Adam, batches of 32 in the same order, no penalty."""
    ratings = a_hundred_ratings()
    solver = Adam(TrainConfig(preset="article", **PRESETS["article"]), TrainingData(ratings), CPU)
    p, q = (table.weight.detach().clone().requires_grad_() for table in (solver.module.users, solver.module.items))
    optimizer = torch.optim.Adam([p, q], lr=1e-3)
    for users, items, actual in DataLoader(solver.dataset, sampler=solver.batches, batch_size=None):
        predicted = torch.bmm(p[users].unsqueeze(1), q[items].unsqueeze(2)).view(-1)
        loss = torch.sqrt(((predicted - actual) ** 2).mean() + 1e-6)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    solver.run_epoch(quietly)
    torch.testing.assert_close(solver.module.users.weight.detach(), p.detach())
    torch.testing.assert_close(solver.module.items.weight.detach(), q.detach())


def test_the_learning_rate_rises_to_the_peak_and_anneals_to_nothing() -> None:
    config = TrainConfig(epochs=10, batch=10, lr=0.02)
    solver = Adam(config, TrainingData(a_hundred_ratings()), CPU)
    rates: list[float] = []

    def note(*_: object) -> None:
        rates.append(solver.optimizer.param_groups[0]["lr"])

    note()
    for _ in range(10):
        solver.run_epoch(note)
    rates.pop()  # the one after the last step
    peak = int(np.argmax(rates))
    assert max(rates) == pytest.approx(0.02, rel=0.01)
    assert 0 < peak < 50
    assert (np.diff(rates[: peak + 1]) > 0).all()
    assert (np.diff(rates[peak:]) < 0).all()
    assert rates[-1] < 1e-5


def test_an_epochs_rmses_are_of_predictions_made_before_learning_from_the_batch() -> None:
    ratings = a_hundred_ratings()
    solver = Adam(TrainConfig(batch=30, factors=2), TrainingData(ratings, ratings), CPU)
    predictions: list[np.ndarray] = []

    def remember(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        predictions.append((inputs[0] - inputs[1]).detach().numpy())

    solver.criterion.register_forward_hook(remember)
    shown: list[tuple[float, float]] = []
    epoch = solver.run_epoch(lambda done, total, rmse: shown.append(rmse()))
    by_batch = [float(np.sqrt((errors**2).mean())) for errors in predictions]
    assert [len(errors) for errors in predictions] == [30, 30, 30, 10]
    np.testing.assert_allclose(epoch.batch_rmse, by_batch, rtol=1e-5)
    assert epoch.train == pytest.approx(float(np.sqrt((np.concatenate(predictions) ** 2).mean())), rel=1e-5)
    running = [float(np.sqrt((np.concatenate(predictions[: n + 1]) ** 2).mean())) for n in range(4)]
    np.testing.assert_allclose(shown, list(zip(by_batch, running, strict=True)), rtol=1e-5)
    assert epoch.validation == rmse(ratings.ratings, solver.model().predict(ratings.users, ratings.items))


@pytest.mark.parametrize("biases", [True, False])
def test_the_model_handed_over_predicts_as_the_module_does(biases: bool) -> None:
    ratings = a_hundred_ratings()
    solver = Adam(TrainConfig(batch=30, factors=2, biases=biases, side=("none",)), TrainingData(ratings), CPU)
    solver.run_epoch(quietly)
    model = solver.model()
    users, items = torch.from_numpy(ratings.users), torch.from_numpy(ratings.items)
    with torch.no_grad():
        expected = solver.module(users, items).numpy().clip(model.minimum, model.maximum)
    np.testing.assert_allclose(model.predict(ratings.users, ratings.items), expected, rtol=1e-5)
    assert (model.biases is not None) is biases
    assert not model.factors.items[ITEMS - 1].any(), "what nobody rated has no factors"
    before = model_file.to_bytes(model)
    solver.run_epoch(quietly)
    assert model_file.to_bytes(model) == before, "a model handed over changes no more"


def test_a_batch_may_be_larger_than_the_data() -> None:
    epoch = Adam(TrainConfig(batch=4096, epochs=1), TrainingData(a_hundred_ratings()), CPU).run_epoch(quietly)
    assert epoch.batch_rmse.shape == (1,)
    assert epoch.batch_rmse[0] == pytest.approx(epoch.train)


def test_the_default_batch_grows_with_the_data_and_the_learning_rate_with_the_batch() -> None:
    config = TrainConfig(dir=Path("unused"))
    sizes = [config.batch_for(n) for n in (100, 20_000, 100_000, 500_000, 2_048_000, 25_000_000)]
    assert sizes == [32, 666, 2048, 5000, 8192, 25_000]
    rates = [config.rate_for(size) for size in (128, 2048, 8192, 25_000)]
    assert rates == pytest.approx([0.01, 0.02, 0.0606, 0.0606], abs=1e-4)
    assert TrainConfig(lr=0.5).rate_for(8192) == 0.5


def test_a_rating_weighs_the_same_in_a_short_last_batch() -> None:
    """100 ratings in batches of 33: the gradient of the last one's is what it would be as one of 33."""
    config = TrainConfig(batch=33, lr=1e-12, schedule="constant", l2=0.0, bias_l2=0.0, factors=3)
    solver = Adam(config, TrainingData(a_hundred_ratings(), None, Sides(None, None)), CPU)
    solver.run_epoch(quietly)
    *_, (users, items, ratings) = a_loader(33, config.seed)
    (user,), (item,), (rating,) = users, items, ratings
    row, other = solver.module.users.weight[user].detach(), solver.module.items.weight[item].detach()
    error = solver.module.mean + row[-1] + other[-1] + row[:-1] @ other[:-1] - rating
    gradient = solver.module.users.weight.grad
    assert gradient is not None
    expected = 2 / 33 * error * torch.cat([other[:-1], torch.ones(1)])
    torch.testing.assert_close(gradient[user], expected)
    assert not gradient[torch.arange(USERS) != user].any()


@pytest.mark.parametrize(
    ("moment", "wrong"),
    [
        ("exp_avg_sq", lambda array: array[0, 0]),
        ("exp_avg", lambda array: array[:-1]),
        ("exp_avg", lambda array: array.astype(np.float16)),
        ("exp_avg_sq", lambda array: array - 1),
        ("exp_avg_sq", lambda array: array * np.nan),
        ("step", lambda array: np.resize(array, 2)),
        ("step", lambda array: array * 0),
    ],
)
def test_moments_of_another_kind_are_refused(moment: str, wrong: Callable[[Any], Any]) -> None:
    """Else torch reads beyond their end, and the process dies or goes on with other numbers."""
    solver = Adam(TrainConfig(factors=3, side=("none",)), TrainingData(a_hundred_ratings()), CPU)
    solver.run_epoch(quietly)
    state, name = solver.state(), f"optimizer.0.{moment}"
    solver.load_state(state)
    with pytest.raises(ValueError, match=f"0.{moment} is "):
        solver.load_state(replace(state, arrays=state.arrays | {name: np.array(wrong(state.arrays[name]))}))


@pytest.mark.parametrize("moment", LEAST)
def test_a_parameter_has_all_its_moments(moment: str) -> None:
    solver = Adam(TrainConfig(factors=3, side=("none",)), TrainingData(a_hundred_ratings()), CPU)
    solver.run_epoch(quietly)
    state = solver.state()
    without = {name: array for name, array in state.arrays.items() if name != f"optimizer.0.{moment}"}
    with pytest.raises(ValueError, match="a parameter has not all of step, exp_avg, exp_avg_sq"):
        solver.load_state(replace(state, arrays=without))
