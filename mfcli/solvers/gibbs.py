"""Bayesian matrix factorization by Gibbs sampling, with noise of its own for every user and item.

The model is Salakhutdinov and Mnih's (ICML 2008), the noise Lakshminarayanan, Bouchard and Archambeau's (AISTATS
2011): the ratings of a user who rates at random count for less. A row's factors and its bias are one vector z, sampled
together:

    r ~ N(μ + b_u + b_i + p_u·q_i, 1/(α γ_u γ_i))    z ~ N(m, Λ⁻¹)    m, Λ ~ Normal-Wishart    α, γ ~ Gamma

Where something is known of the rows, their features move m (:mod:`mfcli.solvers.links`); where it is known when ratings
were given, a user's day has an effect (:mod:`mfcli.solvers.days`).
A sweep samples the users' m and Λ, then every user and its γ; the same of the items; then α. The first sweeps are
rounds of alternating least squares, so that the chain starts where the ratings are already explained well. After
burn-in the predictions of all samples are averaged (:mod:`mfcli.solvers.posterior`), each with the items' conditional
means in place of their samples: the same mean with less noise (Rao-Blackwell). There is nothing to tune.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mfcli.arrays import Float64s, Floats, Int32s
from mfcli.config.train import TrainConfig
from mfcli.data.ratings import Sides
from mfcli.data.shared import Chosen
from mfcli.data.training import TrainingData
from mfcli.errors import DivergedError
from mfcli.models.expected import with_expected
from mfcli.models.metrics import rmse
from mfcli.models.model import FactorModel
from mfcli.models.newcomer import NewcomerPrior
from mfcli.solvers import days
from mfcli.solvers.base import Epoch, Method, Solver, State, Tick
from mfcli.solvers.blocks import Blocks, cut_sides, less, own_rows
from mfcli.solvers.compute import Compute, by_pieces, torch_threads
from mfcli.solvers.days import Days
from mfcli.solvers.fitted import row_model
from mfcli.solvers.halves import Round, initial_rows
from mfcli.solvers.links import Link, Linking
from mfcli.solvers.normals import Normals
from mfcli.solvers.posterior import Posterior
from mfcli.solvers.priors import Prior, l2_prior
from mfcli.solvers.row_features import attributes, by_side, row_features
from mfcli.solvers.seeds import mixed_seed
from mfcli.solvers.solving import Solutions
from mfcli.solvers.start import Start
from mfcli.solvers.warm import folded_in

ROUNDS = 4  # of alternating least squares, the first of the burn-in
L2, BIAS_L2 = 1.0, 0.3  # of those rounds
BELIEF = 2.0  # β, rows' worth of belief that m is 0
NOISE_SHAPE, NOISE_RATE = 1.0, 1.0  # of the Gamma prior of α
FREEDOM = 10.0  # ν: γ ~ Gamma(ν/2, ν/2), about 1 and seldom beyond a factor of 3
USERS, ITEMS = 0, 1  # numbers of the sides, for seeds


@dataclass(frozen=True)
class Sample:
    """One side of the chain's last sample.

    Attributes:
        rows: (n, d) z.
        weights: (n,) γ.
        link: of the rows' features, if they have any.
    """

    rows: Tensor
    weights: Tensor
    link: Link | None = None

    def state(self) -> State:
        """All of it, but what follows from the rest."""
        arrays = {"rows": self.rows.cpu().numpy(), "weights": self.weights.cpu().numpy()}
        if self.link is None:
            return State(arrays)
        return State(arrays | {"link": self.link.coefficients.cpu().numpy()}, {"link_precision": self.link.precision})


def sample_prior(rows: Tensor, rng: np.random.Generator, link: Link | None = None) -> Prior:
    """Draw a side's m and Λ given its rows, with a Normal-Wishart prior of ν = d, W = I, β = BELIEF and mean 0.

    Args:
        rows: (n, d); where they have features, what their link leaves of them.
        rng: source of the draw.
        link: of their features: its rows tell of Λ too.
    """
    n, d = rows.shape
    sums = torch.zeros(d + 1, d, dtype=torch.float64, device=rows.device)
    for product in by_pieces(lambda piece: functional.pad(piece.double(), (0, 1), value=1.0).T @ piece.double(), rows):
        sums += product
    mean = (sums[d] / n).cpu().numpy()
    scatter = sums[:d].cpu().numpy() - n * np.outer(mean, mean)
    inverse = np.eye(d) + scatter + n * BELIEF / (n + BELIEF) * np.outer(mean, mean)
    freedom = d + n
    if link is not None:
        inverse += link.scatter()
        freedom += len(link.coefficients)
    try:
        root = wishart_root(inverse, freedom, rng)
        upper = np.linalg.inv(root)
    except np.linalg.LinAlgError:
        raise DivergedError("the spread of users or items cannot be told in finite numbers") from None
    # m ~ N(nx̄/(n + β), (Λ(n + β))⁻¹)
    center = n * mean / (n + BELIEF) + np.linalg.solve(root.T, rng.standard_normal(d)) / np.sqrt(n + BELIEF)
    arrays = (root @ root.T, center, upper.T @ upper, upper.T)
    precision, m, covariance, covariance_root = (torch.from_numpy(array).to(rows) for array in arrays)
    return Prior(precision, m, covariance=covariance, covariance_root=covariance_root)


def wishart_root(inverse: Float64s, freedom: float, rng: np.random.Generator) -> Float64s:
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
        self.config, self.data, self.compute = config, data, compute
        self.epochs = config.burn_in + config.samples
        train, device = data.train, compute.device
        self.mean = train.summary.mean if config.biases else 0.0
        self.blocks = cut_sides(train, config.factors + int(config.biases), less(self.mean), compute)
        self.days = Days(train, self.blocks, config.biases, compute) if days.wanted(config, train) else None
        self.features = row_features(config, data, compute)
        users, items = (None if side is None else Linking(side) for side in self.features)
        self.linking = Sides(users, items)
        self.last = Sides(self._first(USERS, train.n_users), self._first(ITEMS, train.n_items))
        self.alpha = 1.0
        # An earlier run's rows are means, which lie closer together than samples do: the rounds spread them. But what
        # features say of rows with few ratings they would forget.
        self.rounds = 0 if config.warm_start and (users or items) else ROUNDS
        self.sweep = 0
        self.posterior = Posterior(train, config.factors, config.biases, mixed_seed(config.seed, -2), device)
        # Over the samples, the sums of their predictions of the validation part.
        self.validation_sums = np.zeros(0 if data.validation is None else len(data.validation))

    @classmethod
    def own(cls, config: TrainConfig, counts: Sides[Int32s], compute: Compute) -> Chosen:
        return own_rows(counts, config.factors + int(config.biases), compute)

    def _first(self, side: int, n: int) -> Sample:
        config, device = self.config, self.compute.device
        rows = initial_rows(n, config.factors, config.biases, mixed_seed(config.seed, -1, side), device)
        linking = self.linking[side]
        return Sample(rows, torch.ones(n, device=device), None if linking is None else linking.none_yet(rows.shape[1]))

    def begin(self, start: Start) -> None:
        rows = folded_in(start, replace(self.config, l2=L2, bias_l2=BIAS_L2), self.data.train, self.mean, self.compute)
        noise = start.model.noise
        self.last = Sides(replace(self.last.users, rows=rows.users), replace(self.last.items, rows=rows.items))
        if noise is not None:
            typical = Sides(*(float(side[known].mean()) for side, known in zip(noise, start.known, strict=True)))
            self.alpha = 1 / (typical.users * typical.items)

    def run_epoch(self, tick: Tick) -> Epoch:
        with self.compute.one_core_each() as workers:
            # Nothing is kept before all of a sweep is done: one that a tick breaks off is simply done again.
            current = Round(self.blocks, self.config.biases, workers, tick)
            starting = self.sweep < min(self.rounds, self.config.burn_in)
            items = self._least_squares(current) if starting else self._sample(current)
            self.sweep += 1
            if self.sweep > self.config.burn_in:
                weights = Sides(self.last.users.weights, self.last.items.weights)
                self.posterior.add(self.last.users.rows, items, self.alpha, weights, workers)
                if self.days is not None:
                    self.days.count_sample()
            sample_rmse, averaged_rmse = self._validate(items.means)
        return Epoch(
            train=float(np.sqrt(max(current.tally.sums().items, 0.0) / len(self.data.train))),
            validation=averaged_rmse,
            phase="als" if starting else "burn-in" if self.sweep <= self.config.burn_in else "",
            errors={} if sample_rmse is None else {"sample_rmse": sample_rmse},
            others={"alpha": self.alpha},
        )

    def _least_squares(self, current: Round) -> Solutions:
        """A round of alternating least squares in place of a sweep; the items."""
        prior = l2_prior(self.config.factors, L2, BIAS_L2 if self.config.biases else None, self.compute.device)
        users, items = current.least_squares(self.last.items.rows, prior)
        self.last = Sides(replace(self.last.users, rows=users.rows), replace(self.last.items, rows=items.rows))
        self.alpha = len(self.data.train) / max(current.tally.sums().items, 1e-6)
        return items

    def _sample(self, current: Round) -> Solutions:
        """Sample everything once; the items, with the means of what they were drawn from."""
        rng = np.random.default_rng(mixed_seed(self.config.seed, self.sweep))
        _, users = self._sample_side(USERS, current, self.last.items, rng)
        drawn, items = self._sample_side(ITEMS, current, users, rng)
        squared_error = float((items.weights.double() * drawn.weighted_errors.double()).sum().clamp(min=0))
        self.alpha = rng.gamma(NOISE_SHAPE + len(self.data.train) / 2, 1 / (NOISE_RATE + squared_error / 2))
        self.last = Sides(users, items)
        if self.days is not None:
            weights = Sides(users.weights, items.weights)
            self.days.sample(users.rows, items.rows, self.alpha, weights, current.workers, rng)
            self.blocks = self.days.targets()
        return drawn

    def _sample_side(
        self, side: int, current: Round, given: Sample, rng: np.random.Generator
    ) -> tuple[Solutions, Sample]:
        """Sample one side's m, Λ and link from its last rows, its rows given the other side, and their weights."""
        last, linking, link = self.last[side], self.linking[side], None
        if linking is None or last.link is None:
            prior = sample_prior(last.rows, rng)
        else:
            prior = sample_prior(linking.left(last.rows, last.link), rng, last.link)
            link = linking.sample(last.rows, prior, last.link, rng)
            prior = replace(prior, mean=prior.mean + link.shifts)
        prior = replace(prior, alpha=self.alpha * last.weights)
        normals = Normals(mixed_seed(self.config.seed, self.sweep, side))
        last_half = side == ITEMS
        drawn = current.half(
            self.blocks[side],
            given.rows,
            prior,
            weights=given.weights,
            normals=normals,
            means=last_half,
            plain=last_half,
        )
        return drawn, Sample(drawn.rows, self._sample_weights(self.blocks[side], drawn, rng), link)

    def _sample_weights(self, blocks: Blocks, drawn: Solutions, rng: np.random.Generator) -> Tensor:
        """γ of every row of one side, given the rows: Gamma((ν + n)/2, (ν + α Σ w e²)/2)."""
        errors = drawn.weighted_errors.double().clamp(min=0).cpu().numpy()
        weights = rng.gamma((FREEDOM + blocks.counts) / 2, 2 / (FREEDOM + self.alpha * errors))
        return torch.from_numpy(weights).to(drawn.rows)

    def _validate(self, item_means: Tensor) -> tuple[float | None, float | None]:
        """Validation RMSE of the last sample and of the average of all samples (before the first, of the last)."""
        validation = self.data.validation
        if validation is None:
            return None, None

        def error(predicted: Floats) -> float:
            return rmse(validation.ratings, predicted.clip(train.summary.minimum, train.summary.maximum))

        train, pairs = self.data.train, (validation.users, validation.items)
        of_sample, of_means = self._sampled(self.last.items.rows), self._sampled(item_means)
        sample, means = (model.predict(*pairs, clip=False) for model in (of_sample, of_means))
        if self.days is not None:
            sample = sample + self.days.added(validation, self.days.last.effects)
            means = means + self.days.added(validation, self.days.last.means)
        alone = error(sample)
        if self.posterior.count == 0:
            return alone, alone
        self.validation_sums = self.validation_sums + means
        return alone, error(self.validation_sums / self.posterior.count)

    def _sampled(self, items: Tensor) -> FactorModel:
        """The last sample's users and these (n_items, d) items as a model."""
        return row_model(self.data.train, Sides(self.last.users.rows, items), self.config.biases)

    def model(self) -> FactorModel:
        if not self.posterior.count:
            return self._sampled(self.last.items.rows)
        with torch_threads(1):
            model = with_expected(self.posterior.model(), attributes(self.features))
            model = replace(model, newcomer=self._newcomer(model))
        return model if self.days is None else replace(model, days=self.days.average())

    def _newcomer(self, model: FactorModel) -> NewcomerPrior:
        """Somebody new is taken for one of the users, or for one of those with their features."""
        assert model.noise is not None
        assert model.variances is not None
        users, items = model.factors
        if model.biases is not None:
            users, items = np.column_stack([users, model.biases.users]), np.column_stack([items, np.ones(len(items))])
        rated = model.counts.users > 0
        noise, linking, link = float(model.noise.users[rated].mean()), self.linking.users, self.last.users.link
        if linking is None or link is None:
            return NewcomerPrior.of_users(users[rated], noise)
        rows = self.compute.place(users)
        found = linking.features.regression(rows, link.precision)
        left = (rows - linking.features.times(found.float())).cpu().numpy()
        prior = NewcomerPrior.of_users(left[rated], noise)
        shares = model.counts.items / model.counts.items.sum()
        variance = float(model.variances.users[rated].mean() * (shares @ model.variances.items))
        wide = prior.widened(items.astype(np.float64), shares, variance)
        return linking.features.tell(wide, found.cpu().numpy())

    def results(self, model: FactorModel) -> dict[str, float]:
        assert model.noise is not None
        train = self.data.train.whole()
        variances = model.noise.users[train.users] * model.noise.items[train.items]
        noise_std = float(np.sqrt(variances.mean(dtype=np.float64)))
        return {"noise_std": noise_std, "compression_rmse": self.posterior.loss(model)}

    def explained(self) -> dict[str, float]:
        users, items = (
            {}
            if linking is None or sample.link is None
            else linking.features.explained(sample.link.coefficients, sample.rows)
            for linking, sample in zip(self.linking, self.last, strict=True)
        )
        shares = by_side(users, items)
        if self.days is not None:
            shares["time"] = self.days.variance() / max(self.data.train.summary.variance, 1e-12)
        return shares

    def state(self) -> State:
        chain = State({"validation_sums": self.validation_sums}, {"alpha": self.alpha, "sweep": self.sweep})
        users, items = (side.state() for side in self.last)
        parts = {} if self.days is None else {"days": self.days.state()}
        return State.joined(chain=chain, users=users, items=items, posterior=self.posterior.state(), **parts)

    def load_state(self, state: State) -> None:
        with torch_threads(1):
            self.last = Sides(
                *(
                    self._sample_of(state.part(name), linking)
                    for name, linking in zip(Sides._fields, self.linking, strict=True)
                )
            )
        chain = state.part("chain")
        self.validation_sums = chain.arrays["validation_sums"]
        self.alpha, self.sweep = chain.values["alpha"], chain.values["sweep"]
        self.posterior.load_state(state.part("posterior"))
        if self.days is not None:
            self.days.load_state(state.part("days"))
            self.blocks = self.days.targets()

    def _sample_of(self, state: State, linking: Linking | None) -> Sample:
        """The sample whose state that is."""
        arrays = {name: self.compute.place(array) for name, array in state.arrays.items()}
        link = None if linking is None else linking.link(arrays["link"], state.values["link_precision"])
        return Sample(arrays["rows"], arrays["weights"], link)
