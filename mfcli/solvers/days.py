"""Days: what the ratings of one user on one day have in common, sampled with everything else.

Every user and day has an effect δ, which is added to the predictions of that day: δ ~ N(0, 1/τ), τ ~ Gamma. Given the
rest, with e the ratings of the day less their predictions without δ, and w = α γ_u γ_i their precisions:

    δ ~ N(Σ w e / P, 1/P)    P = τ + Σ w

(The user's bias of a day in timeSVD++: Koren, KDD 2009.)
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from mfcli.arrays import Float32s, Int64s
from mfcli.config.train import TrainConfig
from mfcli.data.ratings import Ratings, Sides
from mfcli.data.shared import SharedRatings
from mfcli.errors import UsageError
from mfcli.models.days import DAYS, DayEffects, find, keys
from mfcli.solvers.base import State
from mfcli.solvers.blocks import Block, Blocks, spread
from mfcli.solvers.compute import Compute, Map
from mfcli.solvers.gathering import Others

SHAPE, RATE = 1.0, 0.05  # of the Gamma prior of τ
FIRST = 20.0  # τ to begin with


@dataclass(frozen=True)
class Drawn:
    """A sample of all effects.

    Attributes:
        effects: (m + 1,) float32 δ of every user's day, and 0 for days that are not known.
        means: (m + 1,) float32 means of what they were drawn from.
        precision: τ.
    """

    effects: Tensor
    means: Tensor
    precision: float


class Days:
    """Draws the effects of the m pairs of a user and a day in the training part, and sums them over samples.

    Args:
        train: with timestamps.
        blocks: its ratings by user and by item, less the mean alone.
        biased: whether a row's last number is a bias.
        compute: where tensors are to lie.
    """

    def __init__(self, train: Ratings | SharedRatings, blocks: Sides[Blocks], biased: bool, compute: Compute) -> None:
        self.blocks, self.biased, self.compute = blocks, biased, compute
        mine = train.mine
        own, counts = np.unique(_keys(mine.users), return_counts=True)  # no other process has a day of my users
        self.keys, self.counts = compute.all_of(own), compute.all_of(counts)
        order = np.argsort(self.keys)
        self.keys, self.counts = self.keys[order], self.counts[order]
        self.users, m = compute.place(self.keys // DAYS), len(self.keys)
        of_users, of_items = (np.searchsorted(self.keys, _keys(side)).astype(np.int32) for side in mine)
        # Of every slot its pair; m where it is padding.
        self.pairs = Sides(
            [compute.place(x) for x in spread(of_users, mine.users.users, blocks.users, m)],
            [compute.place(x) for x in spread(of_items, mine.items.items, blocks.items, m)],
        )
        none = torch.zeros(m + 1, device=compute.device)
        self.last = Drawn(none, none, FIRST)
        self.sums, self.squares, self.unknown, self.count = none.double(), none.double(), 0.0, 0

    def targets(self) -> Sides[Blocks]:
        """The ratings as what is left of them for the rows: without the effects of the last sample."""
        return Sides(*(self._without(blocks, pairs) for blocks, pairs in zip(self.blocks, self.pairs, strict=True)))

    def _without(self, blocks: Blocks, pairs: list[Tensor]) -> Blocks:
        def left(block: Block, of_slots: Tensor) -> Block:
            effects = self.last.effects.index_select(0, of_slots.reshape(-1)).view_as(block.ratings)
            return replace(block, ratings=block.ratings - effects)

        return replace(blocks, blocks=[left(*both) for both in zip(blocks.blocks, pairs, strict=True)])

    def sample(
        self, users: Tensor, items: Tensor, alpha: float, weights: Sides[Tensor], workers: Map, rng: np.random.Generator
    ) -> None:
        """Draw the effects given everything else, then τ given them.

        Args:
            users, items: (n_users, d) and (n_items, d) rows.
            alpha: noise precision.
            weights: (n_users,) and (n_items,) γ that it is multiplied by.
            workers: a ``map`` over blocks.
            rng: source of the draws.
        """
        sums = torch.zeros(2, len(self.keys) + 1, dtype=torch.float64, device=users.device)
        others = Others.given(items, self.biased, weights.items)

        def add(both: tuple[Block, Tensor]) -> None:
            """Σ γ_i e and Σ γ_i of each pair. No other block has pairs of this one's users."""
            block, pairs = both
            z, begin, k = users.index_select(0, block.rows), 0, others.factors.shape[1]
            for slots in others.gather(block):
                part = pairs[:, begin : begin + slots.y.shape[1]].reshape(-1)
                begin += slots.y.shape[1]
                left = slots.y - torch.bmm(z[:, None, :k], slots.q.mT)[:, 0]
                if others.biases is not None:
                    left -= slots.root_weights * z[:, k:]
                sums[0].index_add_(0, part, (left * slots.root_weights).double().reshape(-1))
                sums[1].index_add_(0, part, slots.root_weights.square().double().reshape(-1))

        with self.compute.together():
            for _ in workers(add, zip(self.blocks.users.blocks, self.pairs.users, strict=True)):
                pass
        self.compute.sum(sums)
        residuals, weight = (alpha * weights.users.index_select(0, self.users) * sums[:, :-1]).unbind(0)
        precision = weight + self.last.precision
        means = residuals / precision
        normals = torch.from_numpy(rng.standard_normal(len(means))).to(means)
        effects = means + normals * precision.rsqrt()
        rate = RATE + float(effects.square().sum()) / 2
        self.last = Drawn(_padded(effects), _padded(means), float(rng.gamma(SHAPE + len(effects) / 2, 1 / rate)))

    def count_sample(self) -> None:
        """Count the last sample among those that are averaged."""
        self.count += 1
        self.sums = self.sums + self.last.means
        self.squares = self.squares + self.last.effects.double().square()
        self.unknown += 1 / self.last.precision

    def added(self, ratings: Ratings, effects: Tensor) -> Float32s:
        """(n,) float32: what (m + 1,) effects add to the predictions of these ratings; 0 without timestamps."""
        if ratings.timestamps is None:
            return np.zeros(len(ratings), np.float32)
        found: Float32s = effects.cpu().numpy()[find(self.keys, ratings.users, ratings.timestamps)]
        return found

    def average(self) -> DayEffects:
        """The effects as they are on average, with their variances; before the first sample those of the last one."""
        if not self.count:
            effects = self.last.means[:-1].cpu().numpy()
            return DayEffects(self.keys, effects, np.zeros_like(effects), 1 / self.last.precision)
        means = self.sums[:-1] / self.count
        variances = (self.squares[:-1] / self.count - means.square()).clamp(min=0)
        effects, uncertainty = (array.float().cpu().numpy() for array in (means, variances))
        return DayEffects(self.keys, effects, uncertainty, self.unknown / self.count)

    def variance(self) -> float:
        """Of what the effects of the last sample add to the training ratings."""
        effects = self.last.effects[:-1].double().cpu().numpy()
        mean = np.average(effects, weights=self.counts)
        return float(np.average((effects - mean) ** 2, weights=self.counts))

    def state(self) -> State:
        """What :meth:`load_state` needs."""
        drawn = {"effects": self.last.effects, "means": self.last.means}
        arrays = drawn | {"sums": self.sums, "squares": self.squares}
        values = {"precision": self.last.precision, "unknown": self.unknown, "count": self.count}
        return State({name: array.cpu().numpy() for name, array in arrays.items()}, values)

    def load_state(self, state: State) -> None:
        """Go on from that state."""
        arrays = {name: self.compute.place(array) for name, array in state.arrays.items()}
        self.last = Drawn(arrays["effects"], arrays["means"], state.values["precision"])
        self.sums, self.squares = arrays["sums"], arrays["squares"]
        self.unknown, self.count = state.values["unknown"], state.values["count"]


def _keys(ratings: Ratings) -> Int64s:
    """(n,) int64 users and days of (n,) ratings."""
    assert ratings.timestamps is not None
    return keys(ratings.users, ratings.timestamps)


def _padded(effects: Tensor) -> Tensor:
    """(m,) effects with one of 0 behind them, as float32."""
    return torch.cat([effects, effects.new_zeros(1)]).float()


def wanted(config: TrainConfig, train: Ratings | SharedRatings) -> bool:
    """Whether days are to be used. Raises UsageError if they are asked for and not known."""
    if "time" in config.side and not train.timed:
        raise UsageError("--side time: the ratings have no timestamps")
    return config.uses_time and train.timed
