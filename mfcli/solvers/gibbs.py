"""Bayesian matrix factorization by Gibbs sampling (Salakhutdinov and Mnih, ICML 2008).

A row's factors and its bias are one vector z of d numbers, so that they are sampled together:

    r ~ N(μ + b_u + b_i + p_u·q_i, 1/α)    z ~ N(m, Λ⁻¹), for users and for items    m, Λ ~ Normal-Wishart    α ~ Gamma

A sweep samples m and Λ of the users, then every user; m and Λ of the items, then every item; then α. After burn-in the
predictions of all samples are averaged (:mod:`mfcli.solvers.posterior`): there is nothing to tune.
"""

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mfcli.config import TrainConfig
from mfcli.metrics import rmse
from mfcli.model import FactorModel
from mfcli.ratings import Ratings
from mfcli.solvers.base import Epoch, State, Tick, factor_model, mixed_seed
from mfcli.solvers.blocks import Map, Prior, Tally, cut_sides, one_core_each, solve_side
from mfcli.solvers.posterior import Posterior

WEIGHT = 2.0  # β, rows' worth of belief that m is 0
NOISE_SHAPE, NOISE_RATE = 1.0, 1.0  # of the Gamma prior of α
USERS, ITEMS = 0, 1


def sample_prior(rows: Tensor, alpha: float, rng: np.random.Generator) -> Prior:
    """Draw a side's m and Λ given its rows, with a Normal-Wishart prior of ν = d, W = I, β = WEIGHT and mean 0.

    Args:
        rows: (n, d).
        alpha: noise precision, passed on.
        rng: source of the draw.
    """
    n, d = rows.shape
    exact = rows.double()
    mean = exact.mean(0).cpu().numpy()
    scatter = (exact.T @ exact).cpu().numpy() - n * np.outer(mean, mean)
    inverse = np.eye(d) + scatter + n * WEIGHT / (n + WEIGHT) * np.outer(mean, mean)
    precision = sample_wishart(np.linalg.inv(inverse), d + n, rng)
    # m ~ N(nx̄/(n + β), (Λ(n + β))⁻¹)
    root = np.linalg.cholesky(precision * (n + WEIGHT))
    center = n * mean / (n + WEIGHT) + np.linalg.solve(root.T, rng.standard_normal(d))
    return Prior(torch.from_numpy(precision).to(rows), torch.from_numpy(center).to(rows), alpha)


def sample_wishart(scale: npt.NDArray[np.float64], freedom: float, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """A (d, d) float64 draw of Wishart(scale, freedom), whose mean is scale * freedom (Bartlett, 1933)."""
    d = len(scale)
    lower = np.tril(rng.standard_normal((d, d)), -1)
    lower[np.diag_indices(d)] = np.sqrt(rng.chisquare(freedom - np.arange(d)))
    root = np.linalg.cholesky((scale + scale.T) / 2) @ lower
    return root @ root.T


class Gibbs:
    """The solver. See :class:`mfcli.solvers.base.Solver` for its interface."""

    keeps_best: ClassVar[bool] = False

    def __init__(self, config: TrainConfig, train: Ratings, validation: Ratings | None, device: torch.device) -> None:
        self.config, self.train, self.validation, self.device = config, train, validation, device
        self.dimensions = config.factors + int(config.biases)
        self.mean = float(train.ratings.mean(dtype=np.float64)) if config.biases else 0.0
        self.sides = cut_sides(train, self.dimensions, self.mean, device)
        sizes = train.n_users, train.n_items
        self.rows = [self._normal(n, -1, side) * config.init_std for side, n in enumerate(sizes)]
        self.alpha = 1.0
        self.sweep = 0
        seed = abs(mixed_seed(config.seed, -2))
        self.posterior = Posterior(train, config.factors, config.biases, seed, device)
        self.validated = np.zeros(0 if validation is None else len(validation))  # sum of samples' predictions

    def _normal(self, n: int, *which: int) -> Tensor:
        """(n, d) standard normal numbers: a function of the seed and of which they are."""
        generator = torch.Generator().manual_seed(mixed_seed(self.config.seed, *which))
        return torch.randn(n, self.dimensions, generator=generator).to(self.device)

    def run_epoch(self, tick: Tick) -> Epoch:
        with one_core_each(self.device) as workers:
            return self._sweep(Tally(*self.sides, tick, self.device), workers)

    def _sweep(self, tally: Tally, workers: Map) -> Epoch:
        rng = np.random.default_rng(abs(mixed_seed(self.config.seed, self.sweep)))
        users = self._sample(USERS, self.rows[ITEMS], tally, rng, workers)
        items = self._sample(ITEMS, users, tally, rng, workers)
        squared_error = max(tally.sums()[ITEMS], 0.0)
        # Nothing of the sweep is kept before all of it is done: one that a tick breaks off is simply done again.
        self.alpha = rng.gamma(NOISE_SHAPE + len(self.train) / 2, 1 / (NOISE_RATE + squared_error / 2))
        self.rows = [users, items]
        self.sweep += 1
        if self.sweep > self.config.burn_in:
            self.posterior.add(users, items, self.alpha)
        sample_rmse, averaged_rmse = self._validate()
        return Epoch(
            train_rmse=float(np.sqrt(squared_error / len(self.train))),
            validation_rmse=averaged_rmse,
            sample_rmse=sample_rmse,
            batch_rmse=tally.rmse(),
            figures={"noise": self.alpha**-0.5},
        )

    def _sample(self, side: int, others: Tensor, tally: Tally, rng: np.random.Generator, workers: Map) -> Tensor:
        return solve_side(
            self.sides[side],
            others,
            sample_prior(self.rows[side], self.alpha, rng),
            biased=self.config.biases,
            noise=self._normal(self.sides[side].n_rows, self.sweep, side),
            workers=workers,
            solved=tally.solved,
        )

    def _validate(self) -> tuple[float | None, float | None]:
        """Validation RMSE of the last sample and of the average of all samples (before the first, of the last)."""
        if self.validation is None:
            return None, None
        predicted = self._sampled().predict(self.validation.users, self.validation.items, clip=False)
        if self.posterior.count == 0:
            alone = self._validation_rmse(predicted)
            return alone, alone
        self.validated += predicted
        return self._validation_rmse(predicted), self._validation_rmse(self.validated / self.posterior.count)

    def _validation_rmse(self, predicted: npt.NDArray[np.floating]) -> float:
        assert self.validation is not None
        return rmse(self.validation.ratings, predicted.clip(self.train.ratings.min(), self.train.ratings.max()))

    def _sampled(self) -> FactorModel:
        """The last sample as a model."""
        users, items = (rows.cpu().numpy() for rows in self.rows)
        k = self.config.factors
        biases: dict[str, Any] = {"user_biases": users[:, k], "item_biases": items[:, k]} if self.config.biases else {}
        return factor_model(self.train, user_factors=users[:, :k], item_factors=items[:, :k], **biases)

    def model(self) -> FactorModel:
        return self.posterior.model() if self.posterior.count else self._sampled()

    def figures(self, model: FactorModel) -> dict[str, float]:
        return {"factors": model.factors, "noise": model.noise or 0.0, "compression_rmse": self.posterior.loss(model)}

    def state(self) -> State:
        posterior = self.posterior.state()
        tensors = {"users": self.rows[USERS].cpu(), "items": self.rows[ITEMS].cpu()}
        tensors["validated"] = torch.from_numpy(self.validated)
        tensors |= {f"posterior.{name}": tensor for name, tensor in posterior.tensors.items()}
        return State(tensors, {"alpha": self.alpha, "sweep": self.sweep, "posterior": posterior.values})

    def load_state(self, state: State) -> None:
        self.rows = [state.tensors[name].to(self.device) for name in ("users", "items")]
        self.validated = state.tensors["validated"].numpy()
        own = {n.removeprefix("posterior."): t for n, t in state.tensors.items() if n.startswith("posterior.")}
        self.posterior.load_state(State(own, state.values["posterior"]))
        self.alpha, self.sweep = state.values["alpha"], state.values["sweep"]
