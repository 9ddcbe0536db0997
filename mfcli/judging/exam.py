"""An exam: one part of the ratings, on which models and lists are judged."""

from collections.abc import Callable, Sequence

import numpy as np

from mfcli.arrays import Float64s
from mfcli.data.ratings import Ratings
from mfcli.judging.sums import LISTS, RATINGS, Sums
from mfcli.models import metrics
from mfcli.models.bootstrap import Groups
from mfcli.models.judge import Judge, Judged
from mfcli.models.model import FactorModel
from mfcli.models.ranking import Scorer


class Exam:
    """One part of the ratings, and who is in which group when sums over users are made.

    Args:
        part: the ratings to be predicted, at least one.
        train: those that were learnt from; no list has their items.
        sizes: of the lists, ascending; empty for none.
        relevant_from: rating from which an item of the part is relevant; None if all are.
        hide: whether lists leave out what the user has training ratings of.
    """

    def __init__(
        self, part: Ratings, train: Ratings, sizes: Sequence[int], relevant_from: float | None, *, hide: bool = True
    ) -> None:
        self.part, self.sizes, self.relevant_from = part, sizes, relevant_from
        self.groups = Groups.of(part.users)
        self.judge: Judge | None = None
        if sizes:
            relevant = part if relevant_from is None else part.take(part.ratings >= relevant_from)
            self.judge = Judge(relevant, train.by_user() if hide else None, train.item_counts())
            groups = np.zeros(part.n_users, np.int64)
            groups[part.users] = self.groups.of_entry
            self.lists = Groups(groups[self.judge.users], self.groups.number)

    def errors(self, model: FactorModel) -> Float64s:
        """(n,) float64 predicted less actual ratings, in rating points."""
        predicted = model.predict(self.part.users, self.part.items, self.part.timestamps)
        return metrics.errors(self.part.ratings, predicted)

    def judged(self, scorer: Scorer, advance: Callable[[float], None] = lambda _: None) -> dict[int, Judged]:
        """The lists that the scorer makes, by their size."""
        return {} if self.judge is None else self.judge.judged(scorer, self.sizes, advance)

    def sums(self, errors: Float64s | None, judged: dict[int, Judged]) -> Sums:
        """Sums of :meth:`errors`, if ratings were predicted, and of :meth:`judged`."""
        counts: dict[str, Float64s] = {}
        totals: dict[str, Float64s] = {}
        if errors is not None:
            counts[RATINGS] = self.groups.totals()
            totals |= {"RMSE": self.groups.totals(np.square(errors)), "MAE": self.groups.totals(np.abs(errors))}
        for size, lists in judged.items():
            counts[LISTS] = self.lists.totals()
            for place, name in enumerate(metrics.OF_LISTS):
                totals[f"{name}@{size}"] = self.lists.totals(lists.of_users[:, place])
        return Sums(counts, totals)
