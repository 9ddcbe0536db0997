"""Reasons: which of the items that a user liked speak most for an item."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

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

    A low rating too may add to an exposure or a prediction, but nobody wants an item because of what they disliked: of
    ratings, those below the user's mean are left out. Of clicks all count, and are told without their weights. Shares
    are of all that speaks for the item, with what is left out.

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
            For each of them, the ratings that speak most for it, with '|' between them, which a title then has as '/';
            '' if none is to be told.
        """
        rows = listed[listed >= 0]
        if not len(rated):
            return [""] * len(rows)
        if by_exposure(self.rank_by):
            assert self.trained.exposure is not None, "open_run has read it"
            added = [self.trained.exposure.why(rated, ratings, int(row)) for row in rows]
            return [self._text(rated, ratings, parts / (parts.clip(0).sum() or 1), "{:.0%}") for parts in added]
        points = contributions(self.trained.model, rated, ratings, rows)
        return [self._text(rated, ratings, parts, "{:+.2f}") for parts in points]

    def _text(self, rated: Int32s, ratings: Float32s, parts: Float64s, form: str) -> str:
        clicks = self.trained.model.of_clicks
        speaks = parts if clicks else np.where(_liked(ratings), parts, 0)
        best = [place for place in np.argsort(-speaks, kind="stable")[:MOST] if speaks[place] > 0]
        items = rated[best]
        names = [(self.items.titles[row] or str(self.items.ids[row])).replace("|", "/") for row in items]
        given = ["" if clicks else f": {ratings[place]:g}" for place in best]
        return "|".join(
            f"{name}{rating} ({form.format(parts[place])})"
            for name, rating, place in zip(names, given, best, strict=True)
        )


def _liked(ratings: Float32s) -> npt.NDArray[np.bool_]:
    """(n,) whether each of a user's (n,) ratings is at least their mean."""
    liked: npt.NDArray[np.bool_] = ratings >= np.float32(ratings.mean(dtype=np.float64))
    return liked
