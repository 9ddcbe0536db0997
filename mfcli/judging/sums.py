"""What the measures of a run are made of, by groups of users: enough for intervals, and to compare it with another."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mfcli.arrays import Float64s
from mfcli.models.bootstrap import Estimate, OfTotals, difference, estimate, mean, root_mean

RATINGS, LISTS = "ratings", "lists"
DIGITS = 9  # of a total in a file


@dataclass(frozen=True)
class Sums:
    """Sums over the users of each of g groups, of one run on one part.

    Attributes:
        counts: how many ``ratings`` and ``lists`` there are: (g,) float64. Lists only where they were asked for.
        totals: by the measure's name, RMSE, MAE or one like NDCG@10, what it is the mean of, or the root of the mean:
            (g,) float64.
    """

    counts: Mapping[str, Float64s]
    totals: Mapping[str, Float64s]

    def __post_init__(self) -> None:
        if len({array.shape for array in (*self.counts.values(), *self.totals.values())}) > 1:
            raise ValueError("sums of different groups")

    def value(self, name: str) -> float:
        """The measure of that name; 0 if there is nothing that it is of."""
        counts, totals = self.counts[_counted(name)].sum(), self.totals[name].sum()
        return float(_of_totals(name)(np.array([counts, totals]))[0]) if counts else 0.0

    def of(self, name: str) -> Estimate:
        """The measure of that name, with its interval."""
        return estimate(np.stack([self.counts[_counted(name)], self.totals[name]], 1), _of_totals(name))

    def less(self, other: "Sums", name: str) -> Estimate:
        """The measure of that name less that of another run on the same part."""
        columns = np.stack([self.counts[_counted(name)], self.totals[name], other.totals[name]], 1)
        return estimate(columns, difference(_of_totals(name)))

    def in_common(self, other: "Sums") -> list[str]:
        """The measures that both have and that mean the same: their lists are for as many users of each group."""
        alike = {name for name in self.counts.keys() & other.counts.keys() if self._as_many(other, name)}
        return [name for name in self.totals if name in other.totals and _counted(name) in alike]

    def _as_many(self, other: "Sums", counted: str) -> bool:
        return bool(np.array_equal(self.counts[counted], other.counts[counted]) and self.counts[counted].any())

    def plain(self) -> dict[str, Any]:
        """What JSON can hold of it."""
        return {
            "counts": {name: counts.astype(int).tolist() for name, counts in self.counts.items()},
            "totals": {
                name: [float(f"{one:.{DIGITS}g}") for one in totals.tolist()] for name, totals in self.totals.items()
            },
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Sums":
        """What :meth:`plain` gave. Raises KeyError, TypeError, AttributeError or ValueError if it is not that."""
        counts, totals = (
            {name: np.array(values, np.float64) for name, values in plain[kind].items()}
            for kind in ("counts", "totals")
        )
        return cls(counts, totals)


def rises(name: str) -> bool:
    """Whether more of the measure is better."""
    return "@" in name


def _counted(name: str) -> str:
    return LISTS if rises(name) else RATINGS


def _of_totals(name: str) -> OfTotals:
    return root_mean if name == "RMSE" else mean
