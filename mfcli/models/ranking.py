"""Ranking: the best items of every user, a block of users at a time, so that all users fit into bounded memory."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mfcli.arrays import Float32s, Float64s, Int32s, Int64s
from mfcli.data.ratings import ItemLists

Exact = Callable[[Int64s, Int64s], Float64s]

SCORES_AT_ONCE = 8_000_000  # scores held at a time: 32 MB
SPARE = 16  # ranks beyond the n-th that are looked at again: float32 may mistake neighbours
GROUPS = 8  # groups of columns for every rank


class Scorer(Protocol):
    """What says how good every item is for a user: the higher, the better."""

    @property
    def n_items(self) -> int:
        """How many items there are."""

    def scores(self, users: Int64s) -> Float32s:
        """A new (len(users), n_items) float32 array that rises with the scores of these rows of users."""

    def exact(self, users: npt.NDArray[Any], items: npt.NDArray[Any]) -> Float64s:
        """(n,) float64 scores of (n,) pairs of rows, whatever else is asked for."""

    def of_items(self, rows: Int32s) -> "Scorer":
        """The same for these (m,) rows of items alone, which become items 0 to m - 1."""


@dataclass(frozen=True)
class Ranked:
    """The best items of a block of users.

    Attributes:
        users: (n_users,) int64 rows of users.
        items: (n_users, n) int32 rows of items, best first; -1 where a user has fewer than n left.
        scores: (n_users, n) float64 of these items; -inf where there is none.
    """

    users: Int64s
    items: Int32s
    scores: Float64s


def rank(
    scorer: Scorer, users: Int64s, n: int, *, hidden: ItemLists | None = None, candidates: Int32s | None = None
) -> Iterator[Ranked]:
    """The n best items of every user, in the order of ``users``. Nothing is computed before it is asked for.

    Args:
        scorer: says how good the items are.
        users: rows of users.
        n: items for each of them.
        hidden: items of every user that are not to be recommended.
        candidates: (m,) rows of the items that may be, ascending; None for all. Others are not even scored.
    """
    if candidates is not None:
        scorer, hidden = scorer.of_items(candidates), None if hidden is None else hidden.among(candidates)
    block = users_at_once(scorer.n_items)
    for begin in range(0, len(users), block):
        ranked = _ranked(scorer, users[begin : begin + block], n, hidden)
        if candidates is not None:
            ranked = replace(ranked, items=np.append(candidates, np.int32(-1))[ranked.items])  # -1 is the last
        yield ranked


def users_at_once(n_items: int) -> int:
    """Users whose scores of so many items are held at a time."""
    return max(1, SCORES_AT_ONCE // max(1, n_items))


def _ranked(scorer: Scorer, users: Int64s, n: int, hidden: ItemLists | None) -> Ranked:
    """The n best items of a block of users."""

    def exact(rows: Int64s, items: Int64s) -> Float64s:
        return scorer.exact(users[rows], items)

    scores = scorer.scores(users)
    if hidden is not None:
        for of_user, user in zip(scores, users, strict=True):
            of_user[hidden.for_user(user)] = -np.inf
    return Ranked(users, *top_n(scores, n, exact))


def top_n(scores: Float32s, n: int, exact: Exact | None = None) -> tuple[Int32s, Float64s]:
    """The n best columns of every row, best first; equal scores in the order of their columns; -inf is never taken.

    Args:
        scores: (rows, columns) float32.
        n: at most so many.
        exact: float64 scores of (m,) rows and columns, where ``scores`` only rise with them.

    Returns:
        (rows, min(n, columns)) int32 columns, -1 where a row has fewer than n to offer, and float64 scores, -inf there.
    """
    n = min(n, scores.shape[1])
    rows, columns = _contenders(scores, n + SPARE if exact else n)
    values = exact(rows, columns) if exact else scores[rows, columns].astype(np.float64)
    order = np.lexsort((-values, rows))  # stable, and the columns of a row rise
    rows, columns, values = rows[order], columns[order], values[order]
    begins = np.searchsorted(rows, np.arange(len(scores)))
    places = np.arange(len(rows)) - begins[rows]
    kept = places < n
    at = rows[kept], places[kept]
    best, of_best = np.full((len(scores), n), -1, np.int32), np.full((len(scores), n), -np.inf)
    best[at], of_best[at] = columns[kept], values[kept]
    return best, of_best


def _contenders(scores: Float32s, n: int) -> tuple[Int64s, Int64s]:
    """Rows and columns of the scores, row by row, among which are the n best of each row, and not many more.

    A row's columns are dealt into groups. The n-th best of the groups' best scores is a bound that at least n scores
    reach, and it costs one pass, where a partition of the whole row costs several.
    """
    rows, columns = scores.shape
    least = np.full(rows, np.finfo(np.float32).min)  # above -inf
    if 0 < n < columns:
        size = max(1, columns // (GROUPS * n))
        groups = columns // size
        best = scores[:, : size * groups].reshape(rows, size, groups).max(1)
        least = np.maximum(least, np.partition(best, groups - n, axis=1)[:, groups - n])
    places = np.flatnonzero(scores >= least[:, None]) if n else np.empty(0, np.int64)
    return np.divmod(places, columns) if columns else (places, places)
