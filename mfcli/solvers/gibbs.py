"""Bayesian matrix factorization by Gibbs sampling, with noise of its own for every user and item.

The model is Salakhutdinov and Mnih's (ICML 2008), the noise Lakshminarayanan, Bouchard and Archambeau's (AISTATS
2011): who rates at random counts for less. A row's factors and its bias are one vector z, sampled together:

    r ~ N(μ + b_u + b_i + p_u·q_i, 1/(α γ_u γ_i))    z ~ N(m, Λ⁻¹)    m, Λ ~ Normal-Wishart    α, γ ~ Gamma

A sweep samples the users' m and Λ, then every user and its γ; the same of the items; then α. The first sweeps are
rounds of alternating least squares, from where the chain is soon at home. After burn-in the predictions of all
samples are averaged (:mod:`mfcli.solvers.posterior`), each with the items' conditional means in place of their
samples: the same mean with less noise (Rao-Blackwell). There is nothing to tune.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mfcli.config import TrainConfig
from mfcli.data.ratings import Sides, TrainingData
from mfcli.errors import DivergedError
from mfcli.models.metrics import rmse
from mfcli.models.model import FactorModel
from mfcli.solvers.base import Epoch, Method, Solver, State, Tick
from mfcli.solvers.blocks import (
    SHORT,
    Others,
    Prior,
    Solved,
    Tally,
    cut_sides,
    initial_rows,
    scaled_l2,
    solve_side,
)
from mfcli.solvers.compute import Compute, Map
from mfcli.solvers.fitted import row_model
from mfcli.solvers.posterior import Posterior
from mfcli.solvers.seeds import mixed_seed

ROUNDS = 4  # of alternating least squares, the first of the burn-in
L2, BIAS_L2 = 1.0, 0.3  # of those rounds
WEIGHT = 2.0  # β, rows' worth of belief that m is 0
NOISE_SHAPE, NOISE_RATE = 1.0, 1.0  # of the Gamma prior of α
FREEDOM = 10.0  # ν: γ ~ Gamma(ν/2, ν/2), about 1 and seldom beyond a factor of 3
USERS, ITEMS = 0, 1


def sample_prior(rows: Tensor, rng: np.random.Generator) -> Prior:
    """Draw a side's m and Λ given its rows, with a Normal-Wishart prior of ν = d, W = I, β = WEIGHT and mean 0.

    Args:
        rows: (n, d).
        rng: source of the draw.
    """
    n, d = rows.shape
    exact = rows.double()
    mean = exact.mean(0).cpu().numpy()
    scatter = (exact.T @ exact).cpu().numpy() - n * np.outer(mean, mean)
    inverse = np.eye(d) + scatter + n * WEIGHT / (n + WEIGHT) * np.outer(mean, mean)
    try:
        root = wishart_root(inverse, d + n, rng)
        upper = np.linalg.inv(root)
    except np.linalg.LinAlgError:
        raise DivergedError("the spread of users or items cannot be told in finite numbers") from None
    # m ~ N(nx̄/(n + β), (Λ(n + β))⁻¹)
    center = n * mean / (n + WEIGHT) + np.linalg.solve(root.T, rng.standard_normal(d)) / np.sqrt(n + WEIGHT)
    covariance = torch.from_numpy(upper.T @ upper).to(rows)
    return Prior(torch.from_numpy(root @ root.T).to(rows), torch.from_numpy(center).to(rows), covariance=covariance)


def wishart_root(inverse: npt.NDArray[np.float64], freedom: float, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """A (d, d) float64 R such that RRᵀ is a draw of Wishart(inverse⁻¹, freedom), with mean inverse⁻¹ * freedom.

    (Bartlett, Proceedings of the Royal Society of Edinburgh 1933.) Raises LinAlgError if the inverse is not positive
    definite.
    """
    d = len(inverse)
    lower = np.tril(rng.standard_normal((d, d)), -1)
    lower[np.diag_indices(d)] = np.sqrt(rng.chisquare(freedom - np.arange(d)))
    return np.linalg.solve(np.linalg.cholesky(inverse).T, lower)


class Gibbs(Solver):
    """The solver. See :class:`mfcli.solvers.base.Solver` for its interface."""

    method = Method("sweep", averages_samples=True, remedy="look for absurd ratings, or use fewer --factors")

    def __init__(self, config: TrainConfig, data: TrainingData, compute: Compute) -> None:
        self.config, self.train, self.validation, self.compute = config, data.train, data.validation, compute
        self.epochs, self.device = config.passes, compute.device
        train, validation, device = data.train, data.validation, compute.device
        self.dimensions = config.factors + int(config.biases)
        self.mean = float(train.ratings.mean(dtype=np.float64)) if config.biases else 0.0
        self.sides = cut_sides(train, self.dimensions, self.mean, device)
        self.counts = train.user_counts(), train.item_counts()
        self.rows = [
            initial_rows(len(n), config.factors, config.biases, mixed_seed(config.seed, -1, side), device)
            for side, n in enumerate(self.counts)
        ]
        self.weights = [torch.ones(len(n), device=device) for n in self.counts]  # γ
        self.alpha = 1.0
        self.sweep = 0
        self.posterior = Posterior(train, config.factors, config.biases, mixed_seed(config.seed, -2), device)
        self.validated = np.zeros(0 if validation is None else len(validation))  # sum of samples' predictions

    def run_epoch(self, tick: Tick) -> Epoch:
        tally = Tally(*self.sides, tick, self.device)
        with self.compute.one_core_each() as workers:
            # Nothing is kept before all of a sweep is done: one that a tick breaks off is simply done again.
            if self.sweep < min(ROUNDS, self.config.burn_in):
                items = self._round(tally, workers)
            else:
                items = self._sweep(tally, workers)
            self.sweep += 1
            if self.sweep > self.config.burn_in:
                self.posterior.add(self.rows[USERS], items, self.alpha, self.weights)
            sample_rmse, averaged_rmse = self._validate(items.means)
        return Epoch(
            train_rmse=float(np.sqrt(max(tally.sums()[ITEMS], 0.0) / len(self.train))),
            validation_rmse=averaged_rmse,
            batch_rmse=tally.rmse(),
            errors={} if sample_rmse is None else {"sample_rmse": sample_rmse},
            others={"alpha": self.alpha},
        )

    def _round(self, tally: Tally, workers: Map) -> Solved:
        """A round of alternating least squares."""
        prior = scaled_l2(self.config.factors, L2, BIAS_L2 if self.config.biases else None, self.device)
        found = self.rows[ITEMS]
        for side in (USERS, ITEMS):
            others = Others.of(found, self.config.biases, None)
            solved = solve_side(self.sides[side], others, prior, noise=None, workers=workers, solved=tally.solved)
            found = solved.rows
            if side == USERS:
                users = found
        self.rows = [users, found]
        self.alpha = len(self.train) / max(tally.sums()[ITEMS], 1e-6)
        return solved

    def _sweep(self, tally: Tally, workers: Map) -> Solved:
        """Sample everything once; the items, with the means of what they were drawn from."""
        rng = np.random.default_rng(mixed_seed(self.config.seed, self.sweep))
        users = self._sample(USERS, self.rows[ITEMS], self.weights[ITEMS], tally, rng, workers)
        user_weights = self._sample_weights(USERS, users, rng)
        items = self._sample(ITEMS, users.rows, user_weights, tally, rng, workers)
        item_weights = self._sample_weights(ITEMS, items, rng)
        squared_error = float((item_weights.double() * items.weighted_errors.double()).sum().clamp(min=0))
        self.alpha = rng.gamma(NOISE_SHAPE + len(self.train) / 2, 1 / (NOISE_RATE + squared_error / 2))
        self.rows, self.weights = [users.rows, items.rows], [user_weights, item_weights]
        return items

    def _sample(
        self, side: int, others: Tensor, weights: Tensor, tally: Tally, rng: np.random.Generator, workers: Map
    ) -> Solved:
        """Sample the rows of one side, given the other side's (n, d) rows and (n,) weights."""
        generator = torch.Generator().manual_seed(mixed_seed(self.config.seed, self.sweep, side))
        noise = torch.randn(self.sides[side].n_rows, self.dimensions + SHORT, generator=generator).to(self.device)
        return solve_side(
            self.sides[side],
            Others.of(others, self.config.biases, weights),
            replace(sample_prior(self.rows[side], rng), alpha=self.alpha * self.weights[side]),
            noise=noise,
            workers=workers,
            solved=tally.solved,
        )

    def _sample_weights(self, side: int, found: Solved, rng: np.random.Generator) -> Tensor:
        """γ of every row of one side, given the rows: Gamma((ν + n)/2, (ν + α Σ w e²)/2)."""
        errors = found.weighted_errors.double().clamp(min=0).cpu().numpy()
        weights = rng.gamma((FREEDOM + self.counts[side]) / 2, 2 / (FREEDOM + self.alpha * errors))
        return torch.from_numpy(weights).to(found.rows)

    def _validate(self, item_means: Tensor) -> tuple[float | None, float | None]:
        """Validation RMSE of the last sample and of the average of all samples (before the first, of the last)."""
        if self.validation is None:
            return None, None
        users, items = self.validation.users, self.validation.items
        alone = self._validation_rmse(self._sampled(self.rows[ITEMS]).predict(users, items, clip=False))
        if self.posterior.count == 0:
            return alone, alone
        self.validated = self.validated + self._sampled(item_means).predict(users, items, clip=False)
        return alone, self._validation_rmse(self.validated / self.posterior.count)

    def _validation_rmse(self, predicted: npt.NDArray[np.floating]) -> float:
        assert self.validation is not None
        return rmse(self.validation.ratings, predicted.clip(self.train.ratings.min(), self.train.ratings.max()))

    def _sampled(self, item_rows: Tensor) -> FactorModel:
        """The last sample's users and these items as a model."""
        return row_model(self.train, Sides(self.rows[USERS], item_rows), self.config.biases)

    def model(self) -> FactorModel:
        return self.posterior.model() if self.posterior.count else self._sampled(self.rows[ITEMS])

    def results(self, model: FactorModel) -> dict[str, float]:
        assert model.noise is not None
        noise = model.noise.users[self.train.users] * model.noise.items[self.train.items]
        return {"noise": float(np.sqrt(noise.mean(dtype=np.float64))), "compression_rmse": self.posterior.loss(model)}

    def state(self) -> State:
        own = State({"validated": self.validated}, {"alpha": self.alpha, "sweep": self.sweep})
        users, items = (
            State({"rows": rows.cpu().numpy(), "weights": weights.cpu().numpy()})
            for rows, weights in zip(self.rows, self.weights, strict=True)
        )
        return State.joined(chain=own, users=users, items=items, posterior=self.posterior.state())

    def load_state(self, state: State) -> None:
        own, sides = state.part("chain"), (state.part("users"), state.part("items"))
        self.rows = [self.compute.place(side.arrays["rows"]) for side in sides]
        self.weights = [self.compute.place(side.arrays["weights"]) for side in sides]
        self.validated = own.arrays["validated"]
        self.alpha, self.sweep = own.values["alpha"], own.values["sweep"]
        self.posterior.load_state(state.part("posterior"))
