"""Mini-batches and Adam (Kingma and Ba, ICLR 2015): the article's way, with biases, L2 and a learning-rate schedule.

Where something is known of the rows, a row's vector is its own and what its features add (SVDFeature: Chen et al., JMLR
2012; LightFM: Kula, 2015).

The parts are the article's: a Dataset, a DataLoader, an nn.Module, a criterion, Adam. A whole batch is fetched by one
indexing, so that what is left to do is arithmetic.

Of several processes each has a part of every batch; the sum of their gradients, in one exchange, is the gradient of the
batch, and every process takes the same step. Gradients are dense, as Adam's moments are: it moves every row at every
step. (DistributedDataParallel does the same in pieces, while the rest of the gradient is still being computed; here
nearly all of it is two tables, which come last.)
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from mfcli.arrays import Int32s
from mfcli.config.train import TrainConfig
from mfcli.data.ratings import Sides
from mfcli.data.shared import Chosen
from mfcli.data.training import TrainingData
from mfcli.models.expected import with_expected
from mfcli.models.model import FactorModel
from mfcli.models.newcomer import NewcomerPrior
from mfcli.solvers.base import Epoch, Method, Solver, State, Tick
from mfcli.solvers.batches import RatingsDataset, ShuffledBatches, own_share
from mfcli.solvers.compute import Compute, torch_threads
from mfcli.solvers.factorization import LINK_L2, L2Penalty, MatrixFactorization, RMSELoss
from mfcli.solvers.fitted import row_model, validate
from mfcli.solvers.lean_adam import LeanAdam
from mfcli.solvers.row_features import RowFeatures, attributes, by_side, row_features
from mfcli.solvers.seeds import mixed_seed
from mfcli.solvers.start import Start
from mfcli.solvers.warm import folded_in

NUMBERS_A_THREAD = 2**17  # numbers of a batch's factors that keep one CPU thread busy
LEAST = {"step": 1.0, "exp_avg": -math.inf, "exp_avg_sq": 0.0}  # of what Adam remembers of a parameter
WARM = 0.25  # of the highest learning rate: where a warm start begins


class Adam(Solver):
    """The solver. See :class:`mfcli.solvers.base.Solver` for its interface."""

    method = Method("epoch", averages_samples=False, remedy="lower --lr, or raise --l2", of_batches=True)

    def __init__(self, config: TrainConfig, data: TrainingData, compute: Compute) -> None:
        self.config, self.data, self.compute = config, data, compute
        self.epochs = config.epochs
        train, device = data.train, compute.device
        self.module = MatrixFactorization(
            train.n_users,
            train.n_items,
            config.factors,
            biases=config.biases,
            mean=train.summary.mean,
            init_std=config.init_std,
            generator=torch.Generator().manual_seed(mixed_seed(config.seed, -1)),
            features=row_features(config, data, compute),
        ).to(device)
        self.criterion = (RMSELoss() if config.loss == "rmse" else nn.MSELoss()).to(device)
        counts = torch.from_numpy(train.user_counts()), torch.from_numpy(train.item_counts())
        l2 = torch.tensor([config.l2] * config.factors + [config.bias_l2] * config.biases)
        self.penalty = L2Penalty(*counts, l2).to(device)
        self.dataset = RatingsDataset(train.mine.users, device)
        self.batches = ShuffledBatches(len(train), config.batch_for(len(train)), config.seed, compute)
        self.loader = DataLoader(self.dataset, sampler=self.batches, batch_size=None, generator=torch.Generator())
        self.rate = config.rate_for(self.batches.batch)
        self.optimizer = LeanAdam(self.module.parameters(), lr=self.rate, fused=True)
        self.schedule = self._schedule()
        self.squared_errors = torch.zeros(len(self.batches), device=device)  # of each batch of the epoch, summed

    def begin(self, start: Start) -> None:
        rows = folded_in(start, self.config, self.data.train, self.module.mean, self.compute)
        module, train = self.module, self.data.train
        counts, features = Sides(train.user_counts(), train.item_counts()), module.features
        _begin(module.users.weight, rows.users, counts.users, features.users, module.user_link)
        _begin(module.items.weight, rows.items, counts.items, features.items, module.item_link)

    def _schedule(self) -> torch.optim.lr_scheduler.LRScheduler:
        if self.config.schedule == "constant":
            return torch.optim.lr_scheduler.ConstantLR(self.optimizer, factor=1.0)
        steps = max(self.epochs * len(self.batches), 2)
        if self.config.warm_start:  # the fall alone: a rise would undo what is known
            return torch.optim.lr_scheduler.LinearLR(self.optimizer, WARM, 0.0, total_iters=steps)
        # Smith and Topin, "Super-convergence", 2018.
        return torch.optim.lr_scheduler.OneCycleLR(self.optimizer, self.rate, total_steps=steps)

    @classmethod
    def own(cls, config: TrainConfig, counts: Sides[Int32s], compute: Compute) -> Chosen:
        return own_share(compute)

    def run_epoch(self, tick: Tick) -> Epoch:
        # Waiting for each other at every small operation costs threads more than they bring; on a busy machine tenfold.
        worth = max(1, self.batches.batch // self.compute.world * self.config.factors // NUMBERS_A_THREAD)
        with torch_threads(self.compute.threads or min(torch.get_num_threads(), worth)):
            return self._epoch(tick)

    def _epoch(self, tick: Tick) -> Epoch:
        self.module.train()
        total = len(self.batches)
        for users, items, ratings in self.loader:
            self._step(users, items, ratings, self.batches.whole(self.batches.first))
            self.batches.first += 1
            with self.compute.together():
                tick(self.batches.first, total, self._progress)
        squared_errors = self.squared_errors.cpu().numpy().astype(np.float64)
        sizes = np.array([self.batches.whole(number) for number in range(total)])
        self.batches.epoch, self.batches.first = self.batches.epoch + 1, 0
        return Epoch(
            train=float(np.sqrt(squared_errors.sum() / len(self.data.train))),
            validation=validate(self.model, self.data.validation),
            batch_rmse=np.sqrt(squared_errors / sizes).astype(np.float32),
            others={"learning_rate": self.optimizer.param_groups[0]["lr"]},
        )

    def _step(self, users: Tensor, items: Tensor, ratings: Tensor, size: int) -> None:
        """One step of Adam from this process's part of a batch of ``size`` ratings."""
        own = self.module.lookup(users, items)
        predicted = self.module.combine(self.module.moved(users, items, own))
        # A rating weighs the same in every batch. A mean over the few of a last, short one would throw their rows far.
        share = len(ratings) / (size if self.config.loss == "rmse" else self.batches.batch)
        loss = self.criterion(predicted, ratings)
        if self.config.loss == "rmse":
            loss = loss * self._steepness(loss.detach(), share)
        if self.config.l2 or self.config.bias_l2:
            loss = loss + self.penalty(users, items, own)
            for link in self._links():
                loss = loss + self.penalty.of_link(link) / len(self.data.train)
        self.optimizer.zero_grad(set_to_none=True)
        (loss * share).backward()
        with torch.no_grad():  # stays on the device: nothing waits for it
            squared_error = (predicted - ratings).square().sum()
        self.compute.sum(*(p.grad for p in self.module.parameters() if p.grad is not None), squared_error)
        self.optimizer.step()
        self.schedule.step()
        self.squared_errors[self.batches.first] = squared_error

    def _steepness(self, loss: Tensor, share: float) -> Tensor:
        """How steep the root of the whole batch's error is, beside that of this process's part."""
        squared = loss.square() * share if share else torch.zeros_like(loss)
        self.compute.sum(squared)
        return loss / squared.sqrt()

    def _links(self) -> list[Tensor]:
        return [link for link in (self.module.user_link, self.module.item_link) if link is not None]

    def _progress(self) -> tuple[float, float]:
        """The last batch's RMSE and the running RMSE."""
        done, size = self.batches.first, self.batches.batch
        sums = self.squared_errors[:done].cpu()
        seen = min(done * size, len(self.data.train))
        return float((sums[-1] / (seen - (done - 1) * size)).sqrt()), float((sums.sum() / seen).sqrt())

    def model(self) -> FactorModel:
        options = self.config
        newcomer = NewcomerPrior.of_penalties(options.factors, options.l2, options.bias_l2 if options.biases else None)
        features, link = self.module.features.users, self.module.user_link
        if features is not None and link is not None:
            newcomer = features.tell(newcomer, link.detach().double().cpu().numpy())
        model = row_model(self.data.train, self._rows(), options.biases, newcomer)
        return with_expected(model, attributes(self.module.features))

    def _rows(self) -> Sides[Tensor]:
        """(n_users, d) and (n_items, d) rows of the model, whose last number is a bias if it has biases."""
        module, train = self.module, self.data.train
        counts, features = Sides(train.user_counts(), train.item_counts()), module.features
        return Sides(
            _rows(module.users.weight.detach(), counts.users, features.users, module.user_link),
            _rows(module.items.weight.detach(), counts.items, features.items, module.item_link),
        )

    def explained(self) -> dict[str, float]:
        module, rows = self.module, self._rows()
        users, items = (
            {} if features is None or link is None else features.explained(link.detach(), of_side)
            for features, link, of_side in zip(module.features, (module.user_link, module.item_link), rows, strict=True)
        )
        return by_side(users, items)

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
        parameters = [one for group in self.optimizer.param_groups for one in group["params"]]
        moments: dict[int, dict[str, Tensor]] = {}
        for name, array in optimizer.arrays.items():
            parameter, moment = name.split(".")
            shape = tuple(parameters[int(parameter)].shape)
            fits = array.size == 1 if moment == "step" else array.shape == shape  # a step is (), from a file (1,)
            if not fits or array.dtype != np.float32:  # else torch would read beyond its end
                raise ValueError(f"{name} is not as its parameter needs it")
            if not (array >= LEAST[moment]).all():
                raise ValueError(f"{name} is below {LEAST[moment]:g}, or no number")
            moments.setdefault(int(parameter), {})[moment] = torch.from_numpy(array)
        if any(of_one.keys() != LEAST.keys() for of_one in moments.values()):
            raise ValueError(f"a parameter has not all of {', '.join(LEAST)}")
        self.module.load_state_dict({name: torch.from_numpy(array) for name, array in module.arrays.items()})
        self.optimizer.load_state_dict({"state": moments, "param_groups": optimizer.values["groups"]})
        self.schedule.load_state_dict(state.part("schedule").values)
        self.squared_errors.copy_(torch.from_numpy(batches.arrays["squared_errors"]))
        self.batches.epoch, self.batches.first = batches.values["epoch"], batches.values["first"]


def _rows(table: Tensor, counts: Int32s, features: RowFeatures | None, link: Tensor | None) -> Tensor:
    """(n, d) rows of one side. Of those without ratings only what their features say: else they are as they began."""
    own = torch.where(torch.from_numpy(counts > 0)[:, None].to(table.device), table, 0)
    return own if features is None or link is None else own + features.times(link.detach())


@torch.no_grad()
def _begin(table: Tensor, rows: Tensor, counts: Int32s, features: RowFeatures | None, link: Tensor | None) -> None:
    """Make a side's rows these (n, d): by the link that leaves about the least L2, and for the rest their own."""
    own = rows
    if features is not None and link is not None:
        link.copy_(features.regression(rows, LINK_L2 / float(np.sqrt(counts[counts > 0]).mean())))
        own = rows - features.times(link)
    table.copy_(own)


def _arrays(tensors: dict[str, Tensor]) -> dict[str, npt.NDArray[Any]]:
    return {name: tensor.detach().cpu().contiguous().numpy() for name, tensor in tensors.items()}
