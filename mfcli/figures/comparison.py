"""Runs beside each other: whose predictions are better, and whether beyond luck."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mfcli.arrays import Float64s
from mfcli.figures.style import BLUE, HEIGHT, ORANGE, PALE, legend, shortened
from mfcli.models.bootstrap import Estimate, Groups, difference, estimate, root_mean


@dataclass(frozen=True)
class Compared:
    """A run beside the first one.

    Attributes:
        run: its name.
        rmse: of its predictions.
        less: the RMSE less that of the first run; None for the first itself.
    """

    run: str
    rmse: Estimate
    less: Estimate | None

    @classmethod
    def of(cls, run: str, errors: Float64s, groups: Groups, first: Float64s | None) -> Self:
        """From (n,) errors of its predictions, and those of the first run of the same ratings."""
        rmse = groups.rmse(errors)
        if first is None:
            return cls(run, rmse, None)
        columns = [groups.totals(), *(groups.totals(np.square(one)) for one in (errors, first))]
        return cls(run, rmse, estimate(np.stack(columns, 1), difference(root_mean)))

    @property
    def name(self) -> str:
        """The run, and how much better or worse it is than the first."""
        if self.less is None:
            return shortened(self.run)
        interval = self.less.interval
        between = "" if interval is None else f"\n[{interval[0]:+.4f}, {interval[1]:+.4f}]"
        return f"{shortened(self.run)}\n{self.less.value:+.4f}{between}"


def comparison(ax: Axes, runs: Sequence[Compared], part: str) -> None:
    """Each run's RMSE with a 95 % interval, below one another; below its name, by how much it is more or less."""
    for place, one in enumerate(runs):
        low, high = one.rmse.interval or (one.rmse.value, one.rmse.value)
        ax.hlines(place, low, high, color=PALE, linewidth=7, label="" if place else "95 % interval, by user")
        ax.plot(one.rmse.value, place, "o", color=BLUE, label="" if place else "RMSE")
        ax.annotate(f"{one.rmse.value:.4f}", (one.rmse.value, place), (0, 6), textcoords="offset points", ha="center")
    ax.axvline(runs[0].rmse.value, color=ORANGE, linestyle=":", linewidth=1, label=f"RMSE of {shortened(runs[0].run)}")
    ax.set_yticks(range(len(runs)), [one.name for one in runs])
    ax.set_ylim(len(runs) - 0.4, -0.6)
    ax.grid(axis="y", visible=False)
    ax.set_title(f"Runs compared, {part} part")
    below = f"below a name: the difference\nfrom {shortened(runs[0].run)}, user by user"
    ax.set_xlabel(f"RMSE (rating points)\n{below}", loc="right")  # to its left there is room, below the names
    legend(ax, 3)
    cast(Figure, ax.figure).set_figheight(max(HEIGHT * 0.6, 1.6 + 0.55 * len(runs)))
