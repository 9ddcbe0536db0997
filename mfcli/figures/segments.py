"""How good predictions are for users, items and ratings of one kind."""

from collections.abc import Sequence
from typing import cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mfcli.figures.style import BLUE, GREY, HEIGHT, ORANGE, PALE, legend, shortened
from mfcli.models.segments import Segment

LINE = 0.19  # inches


def segments(ax: Axes, found: Sequence[Segment], rmse: float, part: str) -> None:
    """A point for the RMSE of every segment, with its interval, below one another; beside it how many ratings it has.

    Args:
        ax: where.
        found: the segments, those by the same one after the other.
        rmse: of all ratings.
        part: name of the part that the ratings are of.
    """
    names: list[str] = []
    places: list[int] = []
    for segment, before in zip(found, [None, *found], strict=False):
        if before is None or segment.by != before.by:
            names.append(f"by {segment.by}")
            ax.axhspan(len(names) - 1.5, len(names) - 0.5, color="#f7fafc", zorder=0)
        names.append(f"{shortened(segment.name)} ({segment.ratings:,})")
        places.append(len(names) - 1)
    ends = np.array([one.rmse_interval or (one.rmse, one.rmse) for one in found])
    ax.hlines(places, ends[:, 0], ends[:, 1], color=PALE, linewidth=5, label="95 % interval, by user")
    ax.plot([one.rmse for one in found], places, color=BLUE, marker="o", markersize=5, linestyle="", label="RMSE")
    errors = [one.mean_error for one in found]
    ax.plot(errors, places, color=ORANGE, marker="|", markersize=8, linestyle="", label="mean error (right: too high)")
    ax.axvline(rmse, color=GREY, linestyle=":", linewidth=1, label="RMSE of all")
    ax.axvline(0, color=GREY, linewidth=0.5)
    _axis(ax, names, set(places))
    ax.set_title(f"Where predictions are good, {part} part")
    ax.set_xlabel("rating points (in brackets how many ratings)")
    legend(ax, 2)
    cast(Figure, ax.figure).set_figheight(max(HEIGHT, 1.5 + LINE * len(names)))


def _axis(ax: Axes, names: Sequence[str], places: set[int]) -> None:
    """The names, from the top; those that head others stand out."""
    ax.set_yticks(range(len(names)), names, fontsize=8)
    for place, label in enumerate(ax.get_yticklabels()):
        if place not in places:
            label.set_fontweight("bold")
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="y", visible=False)
