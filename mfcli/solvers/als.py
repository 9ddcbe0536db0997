"""Alternating least squares: each half of a round solves exactly for every user, or every item, given the others.

(Zhou, Wilkinson, Schreiber and Pan, AAIM 2008; with biases solved for together with the factors, and L2 by the square
root of a row's ratings as Rendle, Krichene, Zhang and Koren, RecSys 2022, have it.) The objective

    Σ (r - r̂)² + Σ_rows √n (λ‖p‖² + λ_b b²)

never rises from one half to the next.
"""

import numpy as np
import torch
from torch import Tensor

from mfcli.config import TrainConfig
from mfcli.data.ratings import Sides, TrainingData
from mfcli.models.model import FactorModel
from mfcli.models.newcomer import NewcomerPrior
from mfcli.solvers.base import Epoch, Method, Solver, State, Tick
from mfcli.solvers.blocks import Others, Tally, cut_sides, initial_rows, scaled_l2, solve_side
from mfcli.solvers.compute import Compute, Map
from mfcli.solvers.fitted import row_model, validate
from mfcli.solvers.seeds import mixed_seed


class Als(Solver):
    """The solver. See :class:`mfcli.solvers.base.Solver` for its interface."""

    method = Method("round", averages_samples=False, remedy="raise --l2, or use fewer --factors")

    def __init__(self, config: TrainConfig, data: TrainingData, compute: Compute) -> None:
        self.config, self.train, self.validation, self.compute = config, data.train, data.validation, compute
        self.epochs, self.device = config.passes, compute.device
        train, device = data.train, compute.device
        mean = float(train.ratings.mean(dtype=np.float64)) if config.biases else 0.0
        self.sides = cut_sides(train, config.factors + int(config.biases), mean, device)
        self.prior = scaled_l2(config.factors, config.l2, config.bias_l2 if config.biases else None, device)
        self.roots = [torch.from_numpy(n).to(device).sqrt() for n in (train.user_counts(), train.item_counts())]
        seed = mixed_seed(config.seed, -1)
        self.items = initial_rows(train.n_items, config.factors, config.biases, seed, device)
        self.users = torch.zeros(train.n_users, self.items.shape[1], device=device)
        self.objective = float("inf")

    def run_epoch(self, tick: Tick) -> Epoch:
        tally = Tally(*self.sides, tick, self.device)
        with self.compute.one_core_each() as workers:
            users = self._solve(0, self.items, tally, workers)
            items = self._solve(1, users, tally, workers)
        after_users, after_items = tally.sums()
        penalties = self._penalty(0, users), self._penalty(1, self.items), self._penalty(1, items)
        objectives = after_users + penalties[0] + penalties[1], after_items + penalties[0] + penalties[2]
        converged = self.objective - objectives[1] <= self.config.tolerance * objectives[1]
        self.users, self.items, self.objective = users, items, objectives[1]
        return Epoch(
            train_rmse=float(np.sqrt(max(after_items, 0.0) / len(self.train))),
            validation_rmse=validate(self.model(), self.validation),
            batch_rmse=tally.rmse(),
            others={"objective_users": objectives[0], "objective": objectives[1]},
            converged=converged,
        )

    def _solve(self, side: int, others: Tensor, tally: Tally, workers: Map) -> Tensor:
        gathered = Others.of(others, self.config.biases, None)
        return solve_side(self.sides[side], gathered, self.prior, noise=None, workers=workers, solved=tally.solved).rows

    def _penalty(self, side: int, rows: Tensor) -> float:
        """L2 of one side's (rows, d) solutions."""
        return float((rows.double().square() @ self.prior.precision.diagonal().double() * self.roots[side]).sum())

    def model(self) -> FactorModel:
        options = self.config
        newcomer = NewcomerPrior.of_penalties(options.factors, options.l2, options.bias_l2 if options.biases else None)
        return row_model(self.train, Sides(self.users, self.items), options.biases, newcomer)

    def state(self) -> State:
        return State(
            {"users": self.users.cpu().numpy(), "items": self.items.cpu().numpy()}, {"objective": self.objective}
        )

    def load_state(self, state: State) -> None:
        self.users, self.items = (self.compute.place(state.arrays[name]) for name in ("users", "items"))
        self.objective = state.values["objective"]
