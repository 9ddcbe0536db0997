"""Alternating least squares: each half of a round solves exactly for every user, or every item, given the others.

(Zhou, Wilkinson, Schreiber and Pan, AAIM 2008; with biases solved for together with the factors.) What keeps rows small
is learnt from them after every round (:mod:`mfcli.solvers.beliefs`), so that there is nothing to tune, and so is what
their features say (:mod:`mfcli.solvers.links`). The objective of a round, squared errors and what rows pay beside them,
never rises from one half to the next. It begins close to the end (:mod:`mfcli.solvers.spectral`).
"""

import numpy as np
import torch
from torch import Tensor

from mfcli.arrays import Float64s, Int32s
from mfcli.config.train import TrainConfig
from mfcli.data.ratings import Sides
from mfcli.data.shared import Chosen
from mfcli.data.training import TrainingData
from mfcli.models.expected import with_expected
from mfcli.models.model import FactorModel
from mfcli.solvers.base import Epoch, Method, Solver, State, Tick
from mfcli.solvers.beliefs import Beliefs, Moments
from mfcli.solvers.blocks import cut_sides, less, own_rows
from mfcli.solvers.compute import Compute, Map, torch_threads
from mfcli.solvers.fitted import row_model, validate
from mfcli.solvers.halves import Round
from mfcli.solvers.links import Linking
from mfcli.solvers.row_features import attributes, by_side, row_features
from mfcli.solvers.seeds import mixed_seed
from mfcli.solvers.spectral import NOISE, Spectral
from mfcli.solvers.start import Start
from mfcli.solvers.warm import folded_in
from mfcli.threads import one_blas_thread

USERS, ITEMS = 0, 1  # numbers of the sides
LOOKS = 3  # at the rows that a warm start begins with, to learn from them
SMALL = 1e-4  # variance of a number of the rows that a warm start begins with, at the least


class Als(Solver):
    """The solver. See :class:`mfcli.solvers.base.Solver` for its interface."""

    method = Method("round", averages_samples=False, remedy="look for absurd ratings, or use fewer --factors")

    def __init__(self, config: TrainConfig, data: TrainingData, compute: Compute) -> None:
        self.config, self.data, self.compute = config, data, compute
        self.epochs = config.epochs
        train = data.train
        self.mean = train.summary.mean if config.biases else 0.0
        self.square = max(train.summary.variance + (train.summary.mean - self.mean) ** 2, 0.01)
        d = config.factors + int(config.biases)
        self.blocks = cut_sides(train, d, less(self.mean), compute)
        self.counts = Sides(self.blocks.users.counts, self.blocks.items.counts)
        self.rows = Sides(*(torch.zeros(len(side), d, device=compute.device) for side in self.counts))
        self.beliefs = self._beliefs(Sides(np.ones(d), np.ones(d)))
        self.features = row_features(config, data, compute)
        users, items = (None if side is None else Linking(side) for side in self.features)
        self.linking = Sides(users, items)
        users_link, items_link = (None if side is None else side.none_yet(d) for side in self.linking)
        self.links = Sides(users_link, items_link)
        self.moments: Sides[Moments]  # of the rows beside the links, as soon as there are rows to begin with
        self.squared_error: float | None = None
        self.begun = False

    @classmethod
    def own(cls, config: TrainConfig, counts: Sides[Int32s], compute: Compute) -> Chosen:
        return own_rows(counts, config.factors + int(config.biases), compute)

    def begin(self, start: Start) -> None:
        self.rows = folded_in(start, self.config, self.data.train, self.mean, self.compute)
        with torch_threads(1), one_blas_thread():
            self.moments = self._moments(self.rows)
            variances = ((side.square.diagonal() / side.rows).clip(SMALL) for side in self.moments)
            self.beliefs = self._beliefs(Sides(*variances))
            for _ in range(LOOKS):
                self._learn(NOISE * self.square * len(self.data.train))
        self.begun = True

    def _begin_with_spectrum(self, workers: Map) -> None:
        config, seed = self.config, mixed_seed(self.config.seed, -1)
        spectral = Spectral.of(self.blocks, config.factors, config.biases, self.square, seed, workers)
        self.rows = Sides(self.rows.users, spectral.items)
        self.moments = self._moments(self.rows, workers)
        self.beliefs = self._beliefs(spectral.variances)

    def _beliefs(self, variances: Sides[Float64s]) -> Beliefs:
        """Before the first round, from what (d,) variances rows may have."""
        return Beliefs.of_variances(variances, 1 / (NOISE * self.square), self.counts, self.config.biases)

    def run_epoch(self, tick: Tick) -> Epoch:
        with self.compute.one_core_each() as workers, one_blas_thread():
            if not self.begun:
                self._begin_with_spectrum(workers)
            current = Round(self.blocks, self.config.biases, workers, tick)
            users = self._half(current, USERS, self.rows.items)
            rows = Sides(users, self._half(current, ITEMS, users))
            errors, moments = current.tally.sums(), self._moments(rows, workers)
            objective_users = errors.users + self.beliefs.penalty(Sides(moments.users, self.moments.items))
            objective = errors.items + self.beliefs.penalty(moments)
            fall = float("inf")
            if self.squared_error is not None:
                fall = self.squared_error + self.beliefs.penalty(self.moments) - objective
            self.rows, self.moments, self.squared_error, self.begun = rows, moments, errors.items, True
            self._learn(errors.items, workers)
        return Epoch(
            train=float(np.sqrt(max(errors.items, 0.0) / len(self.data.train))),
            validation=validate(self.model, self.data.validation),
            others={"objective_users": objective_users, "objective": objective, "alpha": self.beliefs.alpha},
            converged=fall <= self.config.tolerance * objective,
        )

    def _half(self, current: Round, side: int, given: Tensor) -> Tensor:
        """The (n, d) rows of a side given the other's."""
        prior = self.beliefs.prior(side, self.compute, self._shifts[side])
        return current.half(self.blocks[side], given, prior).rows

    def _moments(self, rows: Sides[Tensor], workers: Map = map) -> Sides[Moments]:
        """Of the (n_users, d) and (n_items, d) rows."""
        users, items = (
            Moments.of(side, self.compute.place(n), shifts, workers)
            for side, n, shifts in zip(rows, self.counts, self._shifts, strict=True)
        )
        return Sides(users, items)

    @property
    def _shifts(self) -> Sides[Tensor | None]:
        """(n_users, d) and (n_items, d) what features say of the rows; None where there are none."""
        users, items = (None if link is None else link.shifts for link in self.links)
        return Sides(users, items)

    def _learn(self, squared_error: float, workers: Map = map) -> None:
        """Learn links and beliefs from the rows and the sum of squared errors that they leave."""
        freedoms = self._link(workers) if any(self.linking) else Sides(0.0, 0.0)
        self.beliefs = self.beliefs.learnt(self.moments, self.counts, squared_error, freedoms)

    def _link(self, workers: Map) -> Sides[float]:
        """Learn links from the rows; of users and items how many rows' worth of freedom theirs have."""
        links, freedoms = [], []
        known = self.beliefs.known(self.moments, self.counts)
        for linking, link, side, belief, told in zip(
            self.linking, self.links, self.rows, self.beliefs.sides, known, strict=True
        ):
            freedom = 0.0
            if linking is not None and link is not None:
                mean, precision = self.compute.place(belief.mean).to(side), self.compute.place(belief.precision)
                link, freedom = linking.expected(side, mean, precision, self.compute.place(told), link)
            links.append(link)
            freedoms.append(freedom)
        self.links = Sides(*links)
        self.moments = self._moments(self.rows, workers)
        return Sides(*freedoms)

    def model(self) -> FactorModel:
        newcomer, linking, link = self.beliefs.newcomer(), self.linking.users, self.links.users
        with torch_threads(1):  # the same bytes on any number of cores
            if linking is not None and link is not None:
                newcomer = linking.features.tell(newcomer, link.coefficients.double().cpu().numpy())
            model = row_model(self.data.train, self.rows, self.config.biases, newcomer)
            return with_expected(model, attributes(self.features))

    def explained(self) -> dict[str, float]:
        users, items = (
            {} if features is None or link is None else features.explained(link.coefficients, rows)
            for features, link, rows in zip(self.features, self.links, self.rows, strict=True)
        )
        return by_side(users, items)

    def state(self) -> State:
        rows = State({name: side.cpu().numpy() for name, side in self.rows._asdict().items()})
        known = {name: link for name, link in self.links._asdict().items() if link is not None}
        coefficients = {name: link.coefficients.cpu().numpy() for name, link in known.items()}
        links = State(coefficients, {name: link.precision for name, link in known.items()})
        progress = State({}, {"squared_error": self.squared_error, "begun": self.begun})
        return State.joined(rows=rows, links=links, beliefs=self.beliefs.state(), progress=progress)

    def load_state(self, state: State) -> None:
        rows, progress = state.part("rows").arrays, state.part("progress").values
        self.rows = Sides(*(self.compute.place(rows[name]) for name in Sides._fields))
        links = state.part("links")
        with torch_threads(1):
            users, items = (
                side and side.link(self.compute.place(links.arrays[name]), links.values[name])
                for name, side in self.linking._asdict().items()
            )
            self.links = Sides(users, items)
            self.moments = self._moments(self.rows)
        self.beliefs = self.beliefs.like(state.part("beliefs"))
        self.squared_error, self.begun = progress["squared_error"], progress["begun"]
