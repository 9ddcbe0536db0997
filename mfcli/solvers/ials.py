"""Implicit alternating least squares: for clicks, plays and purchases, which nobody has rated.

(Hu, Koren and Volinsky, ICDM 2008.) Every pair of a user and an item weighs α₀ towards a score of 0, and a click weighs
w towards a score of 1. The objective

    Σ_clicks w(1 - p·q)² + α₀ Σ_pairs (p·q)² + Σ_rows λ_row‖z‖²,    λ_row = λ(n_row + α₀ n_others)

never rises from one half of a round to the next. L2 grows with the weight of all of a row's pairs, so that one default
serves every data set (Rendle, Krichene, Zhang and Koren, RecSys 2022).

The sum over all pairs adds α₀QᵀQ to the equations of every row, with Q the rows of the other side. A half is solved in
the basis of that matrix's eigenvectors. There α₀QᵀQ + λ_row I is a diagonal: rows with few clicks are solved fast, and
the others come close in one step a round (:mod:`mfcli.solvers.steps`).
"""

import functools
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from mfcli.arrays import Int32s
from mfcli.config.train import TrainConfig
from mfcli.data.ratings import ItemLists, Sides
from mfcli.data.shared import Chosen
from mfcli.data.training import TrainingData
from mfcli.models.clicks import confidences
from mfcli.models.judge import Judge
from mfcli.models.measures import LOSS, NDCG
from mfcli.models.model import FactorModel
from mfcli.models.newcomer import NewcomerPrior
from mfcli.solvers.base import Epoch, Method, Solver, State, Tick
from mfcli.solvers.blocks import Blocks, cut_sides, own_rows
from mfcli.solvers.compute import Compute
from mfcli.solvers.fitted import factor_model
from mfcli.solvers.halves import Round, initial_rows
from mfcli.solvers.priors import DiagonalPrior
from mfcli.solvers.seeds import mixed_seed
from mfcli.solvers.start import Start

LISTS = 2000  # of users of the validation part, looked at after a round, at the most
LENGTH = 10  # of such a list


class Ials(Solver):
    """The solver. See :class:`mfcli.solvers.base.Solver` for its interface."""

    method = Method(
        "round",
        averages_samples=False,
        remedy="raise --l2, or use fewer --factors",
        of_clicks=True,
        train_measure=LOSS,
        validation_measure=NDCG,
    )

    def __init__(self, config: TrainConfig, data: TrainingData, compute: Compute) -> None:
        self.config, self.data, self.compute = config, data, compute
        self.epochs = config.epochs
        train, device = data.train, compute.device
        self.typical = train.median()
        weights = None if train.summary.alike else functools.partial(confidences, typical=self.typical)
        self.blocks = cut_sides(train, config.factors, np.ones_like, compute, weights, by_steps=True)
        self.penalties = Sides(
            self._penalties(self.blocks.users, train.n_items), self._penalties(self.blocks.items, train.n_users)
        )
        self.items = initial_rows(train.n_items, config.factors, False, mixed_seed(config.seed, -1), device)
        self.users = torch.zeros(train.n_users, config.factors, device=device)
        self.objective = float("inf")
        self.judge = validation_judge(data, config.seed, compute)

    @classmethod
    def own(cls, config: TrainConfig, counts: Sides[Int32s], compute: Compute) -> Chosen:
        return own_rows(counts, config.factors, compute, by_steps=True)

    def _penalties(self, blocks: Blocks, n_others: int) -> Tensor:
        """(rows,) λ_row of a side."""
        counts = self.compute.place(blocks.counts)
        return (self.config.l2 * (counts + self.config.unclicked * n_others)).float()

    def begin(self, start: Start) -> None:
        self.users, self.items = start.rows(self.config.factors, self.compute.device)  # the first round folds in

    def run_epoch(self, tick: Tick) -> Epoch:
        with self.compute.one_core_each() as workers:
            current = Round(self.blocks, False, workers, tick)
            users, loss_users = self._half(current, self.blocks.users, self.items, self.penalties.users, self.users)
            items, loss_items = self._half(current, self.blocks.items, users, self.penalties.items, self.items)
            objective_users = loss_users + _penalty(self.items, self.penalties.items)
            objective = loss_items + _penalty(users, self.penalties.users)
        converged = self.objective - objective <= self.config.tolerance * objective
        self.users, self.items, self.objective = users, items, objective
        return Epoch(
            train=objective / len(self.data.train),
            validation=None if self.judge is None else self.judge.measures(self.model(), [LENGTH])[LENGTH]["NDCG"],
            others={"objective_users": objective_users, "objective": objective},
            converged=converged,
        )

    def _half(
        self, current: Round, blocks: Blocks, given: Tensor, penalties: Tensor, begin: Tensor
    ) -> tuple[Tensor, float]:
        """The (n, k) rows of a side given the other's, and the objective without the other's L2.

        Rows with few clicks are solved for; the others take a step from where they were, (n, k) ``begin``.
        """
        values, basis = torch.linalg.eigh(self.config.unclicked * (given.T @ given).double())
        diagonals = values.clamp(min=0).float() + penalties[:, None]
        basis = basis.float()
        found = current.half(blocks, given @ basis, DiagonalPrior(diagonals), begin=begin @ basis)
        loss = found.weighted_errors.double().sum() + (found.rows.square() * diagonals).sum(1).double().sum()
        return found.rows @ basis.T, float(loss)

    def model(self) -> FactorModel:
        items = self.items.double().cpu().numpy()
        newcomer = NewcomerPrior.of_clicks(items, self.config.unclicked, self.config.l2)
        model = factor_model(self.data.train, Sides(self.users, self.items), None, newcomer=newcomer)
        return replace(model, mean=0.0, minimum=0.0, maximum=1.0, typical_click=self.typical)

    def state(self) -> State:
        arrays = {"users": self.users.cpu().numpy(), "items": self.items.cpu().numpy()}
        return State(arrays, {"objective": self.objective})

    def load_state(self, state: State) -> None:
        self.users, self.items = (self.compute.place(state.arrays[name]) for name in ("users", "items"))
        self.objective = state.values["objective"]


def _penalty(rows: Tensor, penalties: Tensor) -> float:
    """L2 of one side's (n, k) rows."""
    return float((rows.square().sum(1).double() * penalties).sum())


def validation_judge(data: TrainingData, seed: int, compute: Compute) -> Judge | None:
    """Judges lists without the training clicks, validation clicks being relevant; None without a validation part."""
    if data.validation is None:
        return None
    relevant, train = data.validation, data.train
    users = np.unique(relevant.users)
    if len(users) > LISTS:
        users = np.random.default_rng(mixed_seed(seed, -2)).choice(users, LISTS, replace=False)
        relevant = relevant.take(np.isin(relevant.users, users))
    mine = train.mine.users
    mine = mine.take(np.isin(mine.users, users))
    hidden = ItemLists.from_pairs(compute.all_of(mine.users), compute.all_of(mine.items), train.n_users)
    return Judge(relevant, hidden, train.item_counts())
