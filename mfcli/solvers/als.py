"""Alternating least squares: each half of a round solves exactly for every user, or every item, given the others.

(Zhou, Wilkinson, Schreiber and Pan, AAIM 2008; with biases solved for together with the factors, and the L2 of
:func:`mfcli.solvers.rows.l2_prior`.) The objective

    Σ (r - r̂)² + Σ_rows √n (λ‖p‖² + λ_b b²)

never rises from one half to the next.
"""

import numpy as np
import torch
from torch import Tensor

from mfcli.arrays import Int32s
from mfcli.config.train import TrainConfig
from mfcli.data.ratings import Sides
from mfcli.data.shared import Chosen
from mfcli.data.training import TrainingData
from mfcli.models.model import FactorModel
from mfcli.models.newcomer import NewcomerPrior
from mfcli.solvers.base import Epoch, Method, Tick
from mfcli.solvers.blocks import Blocks, cut_sides, less, own_rows
from mfcli.solvers.compute import Compute
from mfcli.solvers.fitted import row_model, validate
from mfcli.solvers.halves import Alternating, Round, initial_rows
from mfcli.solvers.rows import l2_prior
from mfcli.solvers.seeds import mixed_seed
from mfcli.solvers.start import Start
from mfcli.solvers.warm import folded_in


class Als(Alternating):
    """The solver. See :class:`mfcli.solvers.base.Solver` for its interface."""

    method = Method("round", averages_samples=False, remedy="raise --l2, or use fewer --factors")

    def __init__(self, config: TrainConfig, data: TrainingData, compute: Compute) -> None:
        self.config, self.data, self.compute = config, data, compute
        self.epochs = config.epochs
        self.bias_l2 = config.bias_l2 if config.biases else None
        train, device = data.train, compute.device
        self.mean = train.summary.mean if config.biases else 0.0
        self.blocks = cut_sides(train, config.factors + int(config.biases), less(self.mean), compute)
        self.prior = l2_prior(config.factors, config.l2, self.bias_l2, device)
        seed = mixed_seed(config.seed, -1)
        self.items = initial_rows(train.n_items, config.factors, config.biases, seed, device)
        self.users = torch.zeros(train.n_users, self.items.shape[1], device=device)
        self.objective = float("inf")

    @classmethod
    def own(cls, config: TrainConfig, counts: Sides[Int32s], compute: Compute) -> Chosen:
        return own_rows(counts, config.factors + int(config.biases), compute)

    def begin(self, start: Start) -> None:
        self.users, self.items = folded_in(start, self.config, self.data.train, self.mean, self.compute)

    def run_epoch(self, tick: Tick) -> Epoch:
        with self.compute.one_core_each() as workers:
            current = Round(self.blocks, self.config.biases, workers, tick)
            users, items = (side.rows for side in current.least_squares(self.items, self.prior))
            errors, penalty = current.tally.sums(), self._penalty(users, self.blocks.users)
            objective_users = errors.users + penalty + self._penalty(self.items, self.blocks.items)
            objective = errors.items + penalty + self._penalty(items, self.blocks.items)
        converged = self.objective - objective <= self.config.tolerance * objective
        self.users, self.items, self.objective = users, items, objective
        return Epoch(
            train=float(np.sqrt(max(errors.items, 0.0) / len(self.data.train))),
            validation=validate(self.model(), self.data.validation),
            others={"objective_users": objective_users, "objective": objective},
            converged=converged,
        )

    def _penalty(self, rows: Tensor, blocks: Blocks) -> float:
        """L2 of one side's (n, d) rows."""
        root_counts = self.compute.place(blocks.counts).sqrt()
        return float((rows.double().square() @ self.prior.precision.diagonal().double() * root_counts).sum())

    def model(self) -> FactorModel:
        newcomer = NewcomerPrior.of_penalties(self.config.factors, self.config.l2, self.bias_l2)
        return row_model(self.data.train, Sides(self.users, self.items), self.config.biases, newcomer)
