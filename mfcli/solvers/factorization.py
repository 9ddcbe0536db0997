"""What ``adam`` trains, and by what: the factorization as an nn.Module, the article's criterion, and the L2."""

import torch
from torch import Tensor, nn

from mfcli.data.ratings import Sides
from mfcli.solvers.row_features import RowFeatures

LINK_L2 = 100.0  # L2 of the links over the whole training part, in units of --l2 and --bias-l2
NO_FEATURES: Sides[RowFeatures | None] = Sides(None, None)


class MatrixFactorization(nn.Module):
    """r̂ = μ + b_u + b_i + p_u·q_i, or p_u·q_i alone.

    Users and items are tables of rows of d numbers: k factors and, with biases, a bias. To a row with features f is
    added Bᵀf, with a side's link B (f, d).

    Args:
        n_users, n_items: rows of the tables.
        factors: k.
        biases: whether to add μ and biases.
        mean: μ, the mean training rating.
        init_std: standard deviation of the initial factors; biases start at 0.
        generator: of the initial factors.
        features: of users and items, or None; links start at 0.
    """

    def __init__(
        self,
        n_users: int,
        n_items: int,
        factors: int,
        *,
        biases: bool = True,
        mean: float = 0.0,
        init_std: float = 0.05,
        generator: torch.Generator | None = None,
        features: Sides[RowFeatures | None] = NO_FEATURES,
    ) -> None:
        super().__init__()
        self.factors, self.biases, self.mean, self.features = factors, biases, mean, features
        self.users, self.items = (nn.Embedding(n, factors + int(biases)) for n in (n_users, n_items))
        self.user_link, self.item_link = (
            None if side is None else nn.Parameter(torch.zeros(side.width, factors + int(biases))) for side in features
        )
        with torch.no_grad():
            for table in (self.users.weight, self.items.weight):
                table.zero_()
                table[:, :factors] = torch.empty(len(table), factors).normal_(0.0, init_std, generator=generator)

    def lookup(self, users: Tensor, items: Tensor) -> Sides[Tensor]:
        """(b, d) each: the batch's own rows, without what their features add."""
        # Not the embeddings' own forward, whose backward pass takes twice the time on a CPU.
        return Sides(self.users.weight.index_select(0, users), self.items.weight.index_select(0, items))

    def moved(self, users: Tensor, items: Tensor, own: Sides[Tensor]) -> Sides[Tensor]:
        """(b, d) each: the batch's rows with what their features add, from what lookup gave."""
        return Sides(
            _moved(self.features.users, self.user_link, users, own.users),
            _moved(self.features.items, self.item_link, items, own.items),
        )

    def combine(self, rows: Sides[Tensor]) -> Tensor:
        """(b,) predictions of (b, d) rows each. The article's ``bmm`` of p and q is this sum, row by row."""
        if not self.biases:
            return (rows.users * rows.items).sum(1)
        (p, b), (q, c) = (torch.tensor_split(side, (self.factors,), dim=1) for side in rows)
        return self.mean + (b + c).squeeze(1) + (p * q).sum(1)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """(b,) predictions, not clipped, for (b,) users and (b,) items."""
        return self.combine(self.moved(users, items, self.lookup(users, items)))


def _moved(features: RowFeatures | None, link: Tensor | None, rows: Tensor, own: Tensor) -> Tensor:
    """(b, d) own numbers of (b,) rows of one side, with what their features add."""
    return own if features is None or link is None else own + features.times_at(rows, link)


class RMSELoss(nn.Module):
    """sqrt(MSE + 1e-6), the article's criterion: the root's slope is finite at a perfect fit."""

    def forward(self, predicted: Tensor, actual: Tensor) -> Tensor:
        return torch.sqrt(nn.functional.mse_loss(predicted, actual) + 1e-6)


class L2Penalty(nn.Module):
    """The L2 of :func:`mfcli.solvers.priors.l2_prior`, a batch at a time.

    A row with n ratings pays λ√n‖p‖² in an epoch; so each of its ratings pays λ‖p‖²/√n.

    Args:
        user_counts, item_counts: (n_users,) and (n_items,) training ratings.
        l2: (d,) λ of each number of a row: of its factors and, if there is one, of its bias.
    """

    user_weights: Tensor
    item_weights: Tensor
    l2: Tensor

    def __init__(self, user_counts: Tensor, item_counts: Tensor, l2: Tensor) -> None:
        super().__init__()
        self.register_buffer("user_weights", user_counts.clamp(min=1).float().rsqrt())
        self.register_buffer("item_weights", item_counts.clamp(min=1).float().rsqrt())
        self.register_buffer("l2", l2)

    def forward(self, users: Tensor, items: Tensor, own: Sides[Tensor]) -> Tensor:
        """The batch's mean penalty, for (b,) users and items and what lookup gave for them."""
        of_users = self.user_weights.index_select(0, users) @ own.users.square()
        of_items = self.item_weights.index_select(0, items) @ own.items.square()
        return (of_users + of_items) @ self.l2 / len(users)

    def of_link(self, link: Tensor) -> Tensor:
        """Of a (f, d) link: what a whole epoch pays."""
        return LINK_L2 * link.square().sum(0) @ self.l2
