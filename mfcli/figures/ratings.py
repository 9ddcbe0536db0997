"""Ratings, and how well they are predicted."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from mfcli.arrays import Float64s
from mfcli.data.facts import Facts
from mfcli.figures.style import BLUE, GREY, ORANGE, PALE, legend, shortened
from mfcli.models.metrics import errors, rmse

FEW = 20  # different ratings up to which each has a box of its own


def _rating_axis(ax: Axes, values: Sequence[float], binned: bool, name: str) -> Float64s:
    """Name the places of ratings, one beside the other however far they are apart, and return them."""
    places = np.arange(len(values), dtype=np.float64)
    enough = range(4 if binned else 7, 9)
    digits = next((d for d in enough if len({f"{v:.{d}g}" for v in values}) == len(values)), 9)
    labels = [f"{v:.{digits}g}" for v in values]
    ax.set_xticks(places, labels, rotation=45 if sum(map(len, labels)) > 75 else 0)
    ax.set_xlim(-0.6, len(values) - 0.4)
    ax.set_xlabel(f"{name} (middle of its bin)" if binned else name)
    ax.grid(axis="x", visible=False)
    return places


def rating_histogram(ax: Axes, facts: Facts) -> None:
    """How often each rating was given, in all parts together."""
    values = [float(v) for v in facts.histogram]
    binned = values[0] > facts.minimum + 1e-5 * abs(facts.minimum)
    places = _rating_axis(ax, values, binned, "rating")
    ax.bar(places, list(facts.histogram.values()), width=0.85, color=BLUE)
    mean = facts.mean
    ax.axvline(float(np.interp(mean, values, places)), color=ORANGE, linestyle="--", label=f"mean {mean:.4g}")
    ax.set_title(f"{facts.ratings:,} ratings of {shortened(facts.dataset)}")
    ax.set_ylabel("how many")
    ax.yaxis.set_major_formatter(lambda count, _: f"{count:,.0f}")
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    legend(ax, 1)


def _groups(actual: npt.NDArray[Any]) -> tuple[list[float], npt.NDArray[np.intp], bool]:
    """The different ratings, or the middles of ten bins where there are many; which each is in; whether in bins."""
    values, which = np.unique(actual, return_inverse=True)
    if len(values) <= FEW:
        return values.astype(np.float64).tolist(), which, False
    edges = np.linspace(values[0], values[-1], 11, dtype=np.float64)
    which = np.clip(np.searchsorted(edges, actual, side="right") - 1, 0, 9)
    used, which = np.unique(which, return_inverse=True)
    return ((edges[:-1] + edges[1:]) / 2)[used].tolist(), which, True


def predicted_against_actual(ax: Axes, actual: npt.NDArray[Any], predicted: npt.NDArray[Any], part: str) -> None:
    """For each actual rating the spread of what was predicted; both are (n,)."""
    values, which, binned = _groups(actual)
    places = _rating_axis(ax, values, binned, "actual rating")
    # Not ax.boxplot, which imports pyplot and asks for a display.
    spread = [np.percentile(predicted[which == group], (5, 25, 50, 75, 95)) for group in range(len(values))]
    low, lower, median, upper, high = np.transpose(spread)
    ax.vlines(places, low, high, color=BLUE, linewidth=1.5, label="middle 90 % of the predictions")
    ax.bar(places, upper - lower, 0.6, lower, color=PALE, edgecolor=BLUE, zorder=2, label="middle half")
    ax.hlines(median, places - 0.3, places + 0.3, color=BLUE, linewidth=2.5, zorder=3, label="median")
    ax.plot(places, values, color=ORANGE, linestyle="--", marker=".", zorder=4, label="perfect prediction")
    ax.set_title(f"Predicted against actual, {part} part (RMSE {rmse(actual, predicted):.4f})")
    ax.set_ylabel("predicted rating")
    legend(ax, 2)


def error_by_rating(ax: Axes, actual: npt.NDArray[Any], predicted: npt.NDArray[Any], part: str) -> None:
    """For each actual rating the RMSE, and by how much predictions, likewise (n,), are too high or too low."""
    values, which, binned = _groups(actual)
    places = _rating_axis(ax, values, binned, "actual rating")
    off = errors(actual, predicted)
    counts = np.bincount(which)
    means = np.bincount(which, off) / counts
    roots = np.sqrt(np.bincount(which, off**2) / counts)
    ax.bar(places, roots, width=0.7, color=PALE, edgecolor=BLUE, label="RMSE")
    ax.plot(places, means, color=ORANGE, marker="o", label="mean error (above 0: predicted too high; below: too low)")
    ax.axhline(0, color=GREY, linewidth=1)
    for place, root, count in zip(places, roots, counts, strict=True):
        ax.annotate(
            f"{count:,}",
            (place, root),
            xytext=(0, 2),
            textcoords="offset points",
            ha="center",
            fontsize=8 if len(values) <= 12 else 6,
            color=GREY,
        )
    ax.set_title(f"Error by rating, {part} part (above each bar, how many ratings)")
    ax.set_ylabel("error (rating points)")
    legend(ax, 2)
