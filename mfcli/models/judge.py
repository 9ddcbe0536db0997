"""How good the lists are that a ranking makes, by what users have rated well in a part that it has not learnt from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mfcli.arrays import Float64s, Int32s, Int64s
from mfcli.data.ratings import ItemLists, Ratings
from mfcli.models import metrics
from mfcli.models.measures import Measures
from mfcli.models.ranking import Scorer, rank


@dataclass(frozen=True)
class Judged:
    """How good lists of one size are.

    Attributes:
        of_users: (users, metrics) of the list of each of :attr:`Judge.users`, in the order of ``metrics.OF_LISTS``.
        measures: by their names the means over users, and the metrics of all lists together.
    """

    of_users: Float64s
    measures: Measures


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
        """(u,) int64 rows of the users with a relevant item."""
        return np.flatnonzero(self.relevant.user_counts())

    def measures(
        self, scorer: Scorer, sizes: Sequence[int], advance: Callable[[float], None] = lambda _: None
    ) -> dict[int, Measures]:
        """The measures of :meth:`judged`."""
        return {size: one.measures for size, one in self.judged(scorer, sizes, advance).items()}

    def judged(
        self, scorer: Scorer, sizes: Sequence[int], advance: Callable[[float], None] = lambda _: None
    ) -> dict[int, "Judged"]:
        """How good the lists are, by their size.

        Args:
            scorer: makes the lists.
            sizes: of the lists; a shorter one is the head of a longer one.
            advance: is told how many users are done since the last call.
        """
        n_items = self.relevant.n_items
        users, wanted = self.users, self.relevant.user_counts()
        pairs = np.sort(self.relevant.users.astype(np.int64) * n_items + self.relevant.items)
        of_users = {size: np.empty((len(users), len(metrics.OF_LISTS))) for size in sizes}
        counts = {size: np.zeros(n_items, np.int64) for size in sizes}
        done = 0
        for ranked in rank(scorer, users, max(sizes), hidden=self.hidden):
            filled = ranked.items >= 0
            keys = ranked.users[:, None] * n_items + ranked.items
            hits = filled & (pairs[np.searchsorted(pairs[:-1], keys)] == keys)
            relevant, block = wanted[ranked.users], slice(done, done + len(ranked.users))
            for size in sizes:
                for place, metric in enumerate(metrics.OF_LISTS.values()):
                    of_users[size][block, place] = metric(hits, size, relevant)
                counts[size] += np.bincount(ranked.items[:, :size][filled[:, :size]], minlength=n_items)
            done = block.stop
            advance(len(ranked.users))
        return {size: Judged(of_users[size], self._measures(of_users[size], counts[size])) for size in sizes}

    def _measures(self, of_users: Float64s, counts: Int64s) -> Measures:
        """The measures by their names, which are 0 where there is no list."""
        means = of_users.mean(0) if len(of_users) else np.zeros(len(metrics.OF_LISTS))
        together = (0.0, 0.0, 0.0)
        if counts.any():
            popularity = metrics.mean_popularity(counts, self.popularity)
            together = (metrics.catalogue_coverage(counts), metrics.gini(counts), popularity)
        means_of_users = dict(zip(metrics.OF_LISTS, means.tolist(), strict=True))
        return means_of_users | dict(zip(("coverage", "Gini", "mean_popularity"), together, strict=True))
