"""Reasons: which of a user's own ratings speak most for an item."""

from collections.abc import Callable

import numpy as np

from mfcli.arrays import Float32s, Float64s, Int32s
from mfcli.config.common import RankBy
from mfcli.data.ratings import Ratings
from mfcli.models.fold_in import contributions
from mfcli.models.ranking import Ranked
from mfcli.models.run import TrainedRun
from mfcli.models.scorers import by_exposure
from mfcli.serving.answer import Items

MOST = 3  # ratings told for an item


class Reasons:
    """Tells why items are in a list.

    Of lists ranked by exposure, alone or with the rating, a reason is a rating's share of the exposure. Of those ranked
    by the rating it is what the rating adds to the prediction, in rating points, if the user is folded in.

    Args:
        rank_by: as the option.
        trained: the run.
        items: what they are called.
    """

    def __init__(self, rank_by: RankBy, trained: TrainedRun, items: Items) -> None:
        self.rank_by, self.trained, self.items = rank_by, trained, items

    def of_users(self, train: Ratings) -> Callable[[Ranked], list[str]]:
        """What gives a text for every item of a block of lists, by the users' training ratings."""
        train = train.take(np.argsort(train.users, kind="stable"))

        def texts(ranked: Ranked) -> list[str]:
            found: list[str] = []
            for user, listed in zip(ranked.users, ranked.items, strict=True):
                mine = slice(*np.searchsorted(train.users, [user, user + 1]))
                found += self.of(train.items[mine], train.ratings[mine], listed)
            return found

        return texts

    def of(self, rated: Int32s, ratings: Float32s, listed: Int32s) -> list[str]:
        """A text for every item of a user's list.

        Args:
            rated: (n,) rows of the items that the user rated.
            ratings: (n,).
            listed: (m,) rows of the items of the list; -1 for none.

        Returns:
            For each of them, the ratings that speak most for it, with '|' between them.
        """
        rows = listed[listed >= 0]
        if by_exposure(self.rank_by):
            assert self.trained.exposure is not None, "open_run has read it"
            shares = [self.trained.exposure.why(rated, ratings, int(row)) for row in rows]
            return [self._text(rated, ratings, share, share / (share.clip(0).sum() or 1), "{:.0%}") for share in shares]
        added = contributions(self.trained.model, rated, ratings, rows)
        return [self._text(rated, ratings, points, points, "{:+.2f}") for points in added]

    def _text(self, rated: Int32s, ratings: Float32s, parts: Float64s, told: Float64s, form: str) -> str:
        best = [place for place in np.argsort(-parts, kind="stable")[:MOST] if parts[place] > 0]
        names = [self.items.titles[rated[place]] or str(self.items.ids[rated[place]]) for place in best]
        return "|".join(
            f"{name}: {ratings[place]:g} ({form.format(told[place])})" for name, place in zip(names, best, strict=True)
        )
