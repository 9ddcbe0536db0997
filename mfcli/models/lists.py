"""How good the lists are that a ranking makes, by what users have rated well in a part that it has not learnt from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mfcli.data.ratings import Float64s, Int32s, Int64s, ItemLists, Ratings
from mfcli.models import metrics
from mfcli.models.ranking import Scorer, rank

Figures = dict[str, float]


@dataclass(frozen=True)
class Judge:
    """What lists are judged by.

    Attributes:
        relevant: pairs of a user and an item that a list should have; their users are those who get a list.
        hidden: items of every user that no list has; None if every item is a candidate.
        popularity: (n_items,) training ratings of the items.
    """

    relevant: Ratings
    hidden: ItemLists | None
    popularity: Int32s

    @property
    def users(self) -> Int64s:
        """Rows of the users with a relevant item."""
        return np.flatnonzero(self.relevant.user_counts())

    def figures(
        self, scorer: Scorer, sizes: Sequence[int], advance: Callable[[float], None] = lambda _: None
    ) -> dict[int, Figures]:
        """By size of the lists, the means of each user's metrics and the metrics of all lists together.

        Args:
            scorer: makes the lists.
            sizes: of the lists; a shorter one is the head of a longer one.
            advance: is told how many users are done since the last call.
        """
        n_items = self.relevant.n_items
        users, wanted = self.users, self.relevant.user_counts()
        pairs = np.sort(self.relevant.users.astype(np.int64) * n_items + self.relevant.items)
        sums = {size: np.zeros(len(metrics.OF_LISTS)) for size in sizes}
        counts = {size: np.zeros(n_items, np.int64) for size in sizes}
        for ranked in rank(scorer, users, max(sizes), hidden=self.hidden):
            filled = ranked.items >= 0
            keys = ranked.users[:, None] * n_items + ranked.items
            hits = filled & (pairs[np.searchsorted(pairs[:-1], keys)] == keys)
            relevant = wanted[ranked.users]
            for size in sizes:
                of_users = [metric(hits, size, relevant).sum() for metric in metrics.OF_LISTS.values()]
                sums[size] += of_users
                counts[size] += np.bincount(ranked.items[:, :size][filled[:, :size]], minlength=n_items)
            advance(len(ranked.users))
        return {size: self._figures(sums[size] / max(1, len(users)), counts[size]) for size in sizes}

    def _figures(self, means: Float64s, counts: Int64s) -> Figures:
        """The figures by their names; those of all lists together are 0 where there is no list."""
        together = (0.0, 0.0, 0.0)
        if counts.any():
            popularity = metrics.mean_popularity(counts, self.popularity)
            together = (metrics.catalogue_coverage(counts), metrics.gini(counts), popularity)
        of_users = dict(zip(metrics.OF_LISTS, means.tolist(), strict=True))
        return of_users | dict(zip(("coverage", "Gini", "mean_popularity"), together, strict=True))
