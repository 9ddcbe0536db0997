"""Warm start: known rows keep their vectors, new ones are folded in by their ratings of the other side's known rows."""

import torch
from torch import Tensor

from mfcli.arrays import Bools
from mfcli.config.train import TrainConfig
from mfcli.data.ratings import Ratings, Sides
from mfcli.data.shared import SharedRatings
from mfcli.solvers.blocks import cut_sides, less
from mfcli.solvers.compute import Compute
from mfcli.solvers.halves import Round
from mfcli.solvers.priors import l2_prior
from mfcli.solvers.start import Start


def folded_in(
    start: Start, config: TrainConfig, train: Ratings | SharedRatings, mean: float, compute: Compute
) -> Sides[Tensor]:
    """(n_users, d) and (n_items, d) rows: the known ones as they were, those that are new solved for given these.

    Args:
        config: factors and their L2; the defaults of those for a solver that learns its penalties.
        train: the ratings that there are now.
        mean: what the solver takes from them.
        compute: where rows are to lie. Each process does all, the same.
    """
    rows, alone = start.rows(config.factors, compute.device), compute.alone()
    biased = start.model.biases is not None
    if biased:
        rows.users[:, -1] += (start.model.mean - mean) * torch.from_numpy(start.known.users).to(rows.users)
    prior = l2_prior(config.factors, config.l2, config.bias_l2 if biased else None, compute.device)
    ratings = train.whole()
    known = Sides(start.known.users[ratings.users], start.known.items[ratings.items])
    new = Sides(ratings.take(~known.users & known.items), ratings.take(known.users & ~known.items))
    users, items = (cut_sides(side, rows.users.shape[1], less(mean), alone) for side in new)
    with alone.one_core_each() as workers:
        current = Round(Sides(users.users, items.items), biased, workers, lambda *_: None)
        of_users = current.half(users.users, rows.items, prior).rows
        of_items = current.half(items.items, rows.users, prior).rows
    found = Sides(of_users, of_items)
    return Sides(*(_filled(*sides) for sides in zip(rows, found, start.known, strict=True)))


def _filled(rows: Tensor, others: Tensor, known: Bools) -> Tensor:
    """Rows where they are known, else others."""
    return torch.where(torch.from_numpy(known)[:, None].to(rows.device), rows, others)
