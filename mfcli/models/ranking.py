"""Ranking: the best items of every user, a block of users at a time, so that all users fit into bounded memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mfcli.data.ratings import Float32s, Int32s, Int64s, ItemLists

SCORES_AT_ONCE = 4_000_000  # scores held at a time: 16 MB


class Scorer(Protocol):
    """What says how good every item is for a user, such as a :class:`mfcli.models.model.FactorModel` does."""

    @property
    def n_items(self) -> int: ...

    def scores(self, users: Int64s) -> Float32s:
        """A new (len(users), n_items) float32 array for these rows of users: the higher, the better."""


@dataclass(frozen=True)
class Ranked:
    """The best items of a block of users.

    Attributes:
        users: (n_users,) int64 rows of users.
        items: (n_users, n) int32 rows of items, best first; -1 where a user has fewer than n left.
        scores: (n_users, n) float32 of these items; of no meaning where there is none.
    """

    users: Int64s
    items: Int32s
    scores: Float32s


def rank(scorer: Scorer, users: Int64s, n: int, *, hidden: ItemLists | None = None) -> Iterator[Ranked]:
    """The n best items of every user, in the order of ``users``. Nothing is computed before it is asked for.

    Args:
        scorer: says how good the items are.
        users: rows of users.
        n: items for each of them.
        hidden: items of every user that are not to be recommended.
    """
    block = max(1, SCORES_AT_ONCE // max(1, scorer.n_items))
    for begin in range(0, len(users), block):
        chosen = users[begin : begin + block]
        scores = scorer.scores(chosen)
        if hidden is not None:
            for of_user, user in zip(scores, chosen, strict=True):
                of_user[hidden.for_user(user)] = -np.inf
        items = top_n(scores, n)
        yield Ranked(chosen, items, np.take_along_axis(scores, np.maximum(items, 0), axis=1))


def top_n(scores: Float32s, n: int) -> Int32s:
    """The n best columns of every row, best first; equal scores in the order of their columns; -inf is never taken.

    Args:
        scores: (rows, columns) float32.
        n: at most so many.

    Returns:
        (rows, min(n, columns)) int32, -1 where a row has fewer than n columns to offer.
    """
    n = min(n, scores.shape[1])
    # One threshold a row by partition; then a stable sort of the few that reach it settles ties by column.
    threshold = -np.partition(-scores, n - 1, axis=1)[:, n - 1] if n else np.empty(len(scores))
    best = np.full((len(scores), n), -1, np.int32)
    for row, (values, least) in enumerate(zip(scores, threshold, strict=True)):
        candidates = np.flatnonzero(values >= least) if np.isfinite(least) else np.flatnonzero(values > -np.inf)
        order = np.argsort(-values[candidates], kind="stable")[:n]
        best[row, : len(order)] = candidates[order]
    return best
