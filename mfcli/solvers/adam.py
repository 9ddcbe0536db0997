"""Mini-batches and Adam (Kingma and Ba, ICLR 2015): the article's way, with biases, L2 and a learning-rate schedule.

The parts are the article's: a Dataset, a DataLoader, an nn.Module, a criterion, Adam. A whole batch is fetched by one
indexing, so that what is left to do is arithmetic.
"""

import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler

from mfcli.config import TrainConfig
from mfcli.data.ratings import Ratings, TrainingData
from mfcli.models.model import FactorModel
from mfcli.models.newcomer import NewcomerPrior
from mfcli.solvers.base import Epoch, Method, Solver, State, Tick
from mfcli.solvers.compute import Compute, torch_threads
from mfcli.solvers.fitted import factor_model, validate
from mfcli.solvers.seeds import mixed_seed

NUMBERS_A_THREAD = 2**17  # numbers of a batch's factors that keep one CPU thread busy

Example = tuple[Tensor, Tensor, Tensor]


class RatingsDataset(Dataset[Example]):
    """Ratings as tensors; an index, or a whole tensor of indices, fetches users, items and ratings."""

    def __init__(self, ratings: Ratings, device: torch.device) -> None:
        self.users = torch.from_numpy(ratings.users).to(device)
        self.items = torch.from_numpy(ratings.items).to(device)
        self.ratings = torch.from_numpy(ratings.ratings).to(device)

    def __len__(self) -> int:
        return len(self.ratings)

    def __getitem__(self, index: Tensor | int) -> Example:
        if isinstance(index, int):
            return self.users[index], self.items[index], self.ratings[index]
        # index_select is several times faster than tensor[index] on a CPU.
        return self.users.index_select(0, index), self.items.index_select(0, index), self.ratings.index_select(0, index)


class ShuffledBatches(Sampler[Tensor]):
    """Batches of shuffled indices. The order is a function of the seed and the epoch alone, so that it can be resumed.

    Set ``epoch`` and ``first``, the batch to begin with, before iterating.
    """

    def __init__(self, size: int, batch: int, seed: int, device: torch.device) -> None:
        self.size, self.batch, self.seed, self.device = size, batch, seed, device
        self.epoch = self.first = 0

    def __len__(self) -> int:
        return -(-self.size // self.batch)

    def __iter__(self) -> Iterator[Tensor]:
        generator = torch.Generator().manual_seed(mixed_seed(self.seed, self.epoch))
        order = torch.randperm(self.size, generator=generator).to(self.device)
        yield from torch.split(order, self.batch)[self.first :]


class MatrixFactorization(nn.Module):
    """r̂ = μ + b_u + b_i + p_u·q_i, or p_u·q_i alone.

    Args:
        n_users, n_items: rows of the embeddings.
        factors: k.
        biases: whether to add μ and biases.
        mean: μ, the mean training rating.
        init_std: standard deviation of the initial factors; biases start at 0.
        generator: of the initial factors.
    """

    def __init__(
        self,
        n_users: int,
        n_items: int,
        factors: int,
        *,
        biases: bool = True,
        mean: float = 0.0,
        init_std: float = 0.05,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.mean = mean
        self.user_factors = nn.Embedding(n_users, factors)
        self.item_factors = nn.Embedding(n_items, factors)
        self.user_biases = nn.Embedding(n_users, 1) if biases else None
        self.item_biases = nn.Embedding(n_items, 1) if biases else None
        with torch.no_grad():
            for name, table in self.named_parameters():
                if "factors" in name:
                    table.normal_(0.0, init_std, generator=generator)
                else:
                    table.zero_()

    def lookup(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        """The batch's rows: factors (b, k) of users and items, then their biases (b,) or None."""
        user_biases = self.user_biases(users).squeeze(1) if self.user_biases is not None else None
        item_biases = self.item_biases(items).squeeze(1) if self.item_biases is not None else None
        return self.user_factors(users), self.item_factors(items), user_biases, item_biases

    def combine(self, p: Tensor, q: Tensor, user_biases: Tensor | None, item_biases: Tensor | None) -> Tensor:
        """(b,) predictions from what lookup gave. The article's ``bmm`` of p and q is this sum, row by row."""
        dots = (p * q).sum(1)
        if user_biases is None or item_biases is None:
            return dots
        return self.mean + user_biases + item_biases + dots

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """(b,) predictions, not clipped, for (b,) users and (b,) items."""
        return self.combine(*self.lookup(users, items))


class RMSELoss(nn.Module):
    """sqrt(MSE + 1e-6), the article's criterion: the root's slope is finite at a perfect fit."""

    def forward(self, predicted: Tensor, actual: Tensor) -> Tensor:
        return torch.sqrt(nn.functional.mse_loss(predicted, actual) + 1e-6)


class ScaledL2(nn.Module):
    """L2 by the square root of a row's ratings (Rendle, Krichene, Zhang and Koren, RecSys 2022).

    A row of n ratings pays λ√n‖p‖² in an epoch; so each of its ratings pays λ‖p‖²/√n.

    Args:
        user_counts, item_counts: (n_users,) and (n_items,) training ratings.
        l2, bias_l2: λ of the factors and of the biases.
    """

    user_weights: Tensor
    item_weights: Tensor

    def __init__(self, user_counts: Tensor, item_counts: Tensor, l2: float, bias_l2: float) -> None:
        super().__init__()
        self.l2, self.bias_l2 = l2, bias_l2
        self.register_buffer("user_weights", user_counts.clamp(min=1).float().rsqrt())
        self.register_buffer("item_weights", item_counts.clamp(min=1).float().rsqrt())

    def forward(
        self, users: Tensor, items: Tensor, p: Tensor, q: Tensor, user_biases: Tensor | None, item_biases: Tensor | None
    ) -> Tensor:
        """The batch's mean penalty, for (b,) users and items and what lookup gave for them."""
        of_users = self.l2 * p.square().sum(1)
        of_items = self.l2 * q.square().sum(1)
        if user_biases is not None and item_biases is not None:
            of_users = of_users + self.bias_l2 * user_biases.square()
            of_items = of_items + self.bias_l2 * item_biases.square()
        weighted = (
            self.user_weights.index_select(0, users) * of_users + self.item_weights.index_select(0, items) * of_items
        )
        return weighted.mean()


class LeanAdam(torch.optim.Adam):
    """torch's Adam, less the import of torch's compiler: 2 s of every process, for nothing that is used here.

    ``step`` imports it to break graphs, other methods to tell it to leave them alone (``torch._compile``). So the step
    is the bare one, and of the others we say that it has been told.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        for method in vars(torch.optim.Optimizer).values():
            if hasattr(method, "__wrapped__"):
                method.__wrapped__.__dict__["__dynamo_disable"] = method.__wrapped__
        super().__init__(*arguments, **options)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        return inspect.unwrap(torch.optim.Adam.step)(self, closure)


class Adam(Solver):
    """The solver. See :class:`mfcli.solvers.base.Solver` for its interface."""

    method = Method("epoch", averages_samples=False, remedy="lower --lr, or raise --l2")

    def __init__(self, config: TrainConfig, data: TrainingData, compute: Compute) -> None:
        self.config, self.train, self.validation, self.compute = config, data.train, data.validation, compute
        self.epochs = config.passes
        train, device = data.train, compute.device
        self.module = MatrixFactorization(
            train.n_users,
            train.n_items,
            config.factors,
            biases=config.biases,
            mean=float(train.ratings.mean(dtype=np.float64)),
            init_std=config.init_std,
            generator=torch.Generator().manual_seed(mixed_seed(config.seed, -1)),
        ).to(device)
        self.criterion = (RMSELoss() if config.loss == "rmse" else nn.MSELoss()).to(device)
        counts = torch.from_numpy(train.user_counts()), torch.from_numpy(train.item_counts())
        self.penalty = ScaledL2(*counts, config.l2, config.bias_l2).to(device)
        self.dataset = RatingsDataset(train, device)
        self.batches = ShuffledBatches(len(train), config.batch_for(len(train)), config.seed, device)
        self.loader = DataLoader(self.dataset, sampler=self.batches, batch_size=None, generator=torch.Generator())
        self.optimizer = LeanAdam(self.module.parameters(), lr=config.lr, fused=True)
        self.schedule = self._schedule()
        self.squared_errors = torch.zeros(len(self.batches), device=device)  # of each batch of the epoch, summed

    def _schedule(self) -> torch.optim.lr_scheduler.LRScheduler:
        if self.config.schedule == "constant":
            return torch.optim.lr_scheduler.ConstantLR(self.optimizer, factor=1.0)
        # Smith and Topin, "Super-convergence", 2018.
        steps = max(self.epochs * len(self.batches), 2)
        return torch.optim.lr_scheduler.OneCycleLR(self.optimizer, self.config.lr, total_steps=steps)

    def run_epoch(self, tick: Tick) -> Epoch:
        # Waiting for each other at every small operation costs threads more than they bring; on a busy machine tenfold.
        worth = max(1, self.batches.batch * self.config.factors // NUMBERS_A_THREAD)
        with torch_threads(self.compute.threads or min(torch.get_num_threads(), worth)):
            return self._epoch(tick)

    def _epoch(self, tick: Tick) -> Epoch:
        self.module.train()
        total, size, last = len(self.batches), self.batches.batch, len(self.train) % self.batches.batch
        for users, items, ratings in self.loader:
            self._step(users, items, ratings)
            self.batches.first += 1
            tick(self.batches.first, total, self._progress)
        squared_errors = self.squared_errors.cpu().numpy().astype(np.float64)
        sizes = np.full(total, size)
        sizes[-1] = last or size
        self.batches.epoch, self.batches.first = self.batches.epoch + 1, 0
        return Epoch(
            train_rmse=float(np.sqrt(squared_errors.sum() / len(self.train))),
            validation_rmse=validate(self.model(), self.validation),
            batch_rmse=np.sqrt(squared_errors / sizes).astype(np.float32),
            others={"learning_rate": self.optimizer.param_groups[0]["lr"]},
        )

    def _step(self, users: Tensor, items: Tensor, ratings: Tensor) -> None:
        rows = self.module.lookup(users, items)
        predicted = self.module.combine(*rows)
        loss = self.criterion(predicted, ratings)
        if self.config.l2 or self.config.bias_l2:
            loss = loss + self.penalty(users, items, *rows)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        with torch.no_grad():  # stays on the device: nothing waits for it
            self.squared_errors[self.batches.first] = (predicted - ratings).square().sum()

    def _progress(self) -> tuple[float, float]:
        """The last batch's RMSE and the running RMSE."""
        done, size = self.batches.first, self.batches.batch
        sums = self.squared_errors[:done].cpu()
        seen = min(done * size, len(self.train))
        return float((sums[-1] / (seen - (done - 1) * size)).sqrt()), float((sums.sum() / seen).sqrt())

    def model(self) -> FactorModel:
        weights = {name.removesuffix(".weight"): w.cpu().numpy() for name, w in self.module.state_dict().items()}
        unseen = {"user": self.train.user_counts() == 0, "item": self.train.item_counts() == 0}
        arrays = {name: w.squeeze(1) if name.endswith("biases") else w for name, w in weights.items()}
        # Rows that no rating has touched are still what they were drawn as, which means nothing.
        arrays = {n: np.where(unseen[n[:4]].reshape(-1, *[1] * (a.ndim - 1)), 0, a) for n, a in arrays.items()}
        options = self.config
        newcomer = NewcomerPrior.of_penalties(options.factors, options.l2, options.bias_l2 if options.biases else None)
        return factor_model(self.train, newcomer, **arrays)

    def state(self) -> State:
        optimizer = self.optimizer.state_dict()
        moments = {
            f"{number}.{name}": moment for number, named in optimizer["state"].items() for name, moment in named.items()
        }
        progress = {"epoch": self.batches.epoch, "first": self.batches.first}
        return State.joined(
            module=State(_arrays(self.module.state_dict())),
            optimizer=State(_arrays(moments), {"groups": optimizer["param_groups"]}),
            schedule=State({}, self.schedule.state_dict()),
            batches=State(_arrays({"squared_errors": self.squared_errors}), progress),
        )

    def load_state(self, state: State) -> None:
        module, optimizer, batches = state.part("module"), state.part("optimizer"), state.part("batches")
        moments: dict[int, dict[str, Tensor]] = {}
        for name, array in optimizer.arrays.items():
            parameter, moment = name.split(".")
            moments.setdefault(int(parameter), {})[moment] = torch.from_numpy(array)
        self.module.load_state_dict({name: torch.from_numpy(array) for name, array in module.arrays.items()})
        self.optimizer.load_state_dict({"state": moments, "param_groups": optimizer.values["groups"]})
        self.schedule.load_state_dict(state.part("schedule").values)
        self.squared_errors.copy_(torch.from_numpy(batches.arrays["squared_errors"]))
        self.batches.epoch, self.batches.first = batches.values["epoch"], batches.values["first"]


def _arrays(tensors: dict[str, Tensor]) -> dict[str, npt.NDArray[Any]]:
    return {name: tensor.detach().cpu().contiguous().numpy() for name, tensor in tensors.items()}
