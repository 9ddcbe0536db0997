"""Whether a model that tells how sure it is is right about that."""

import numpy as np
from matplotlib.axes import Axes

from mfcli.arrays import Floats
from mfcli.figures.style import BLUE, GREY, ORANGE, PALE, legend
from mfcli.models.metrics import coverage, errors

GROUPS, SMALLEST = 10, 20  # ratings are put into so many groups at the most, of so many at the least


def calibration(
    ax: Axes,
    actual: Floats,
    predicted: Floats,
    deviations: Floats,
    part: str,
) -> None:
    """How wrong the predictions are beside how wrong they were expected to be, from the surest to the least sure.

    Args:
        ax: where.
        actual, predicted: (n,) ratings.
        deviations: (n,) predictive standard deviations.
        part: name of the part that the ratings are of.
    """
    order = np.argsort(deviations, kind="stable")
    groups = np.array_split(order, np.clip(len(order) // SMALLEST, 1, GROUPS))
    squares = errors(actual, predicted) ** 2
    expected = np.array([np.sqrt((deviations[group].astype(np.float64) ** 2).mean()) for group in groups])
    found = np.array([np.sqrt(squares[group].mean()) for group in groups])
    # The standard error of a root mean square of n, by the delta method, twice.
    doubt = [
        2 * squares[group].std() / np.sqrt(len(group)) / (2 * max(f, 1e-12))
        for group, f in zip(groups, found, strict=True)
    ]
    ax.errorbar(
        expected,
        found,
        doubt,
        color=BLUE,
        ecolor=PALE,
        elinewidth=5,
        marker="o",
        label="RMSE of a group, ± 2 standard errors",
    )
    low, high = min(expected.min(), found.min()), max(expected.max(), found.max())
    ax.plot([low, high], [low, high], color=ORANGE, linestyle="--", label="as expected")
    ax.axhline(np.sqrt(squares.mean()), color=GREY, linestyle=":", linewidth=1, label="RMSE of all")
    within_1, within_2 = (coverage(actual, predicted, deviations, times) for times in (1, 2))
    ax.set_title(f"How sure and how right, {part} part")
    ax.set_xlabel(
        "error expected (standard deviation, rating points)\n"
        f"within ±1 standard deviation {within_1:.1%} (68.3% if normal),\nwithin ±2 {within_2:.1%} (95.4% if normal)"
    )
    ax.set_ylabel("error found (RMSE, rating points)")
    legend(ax, 2)
