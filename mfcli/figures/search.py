"""What a search tried, and what it came to."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from mfcli.figures.style import BLUE, GREY, ORANGE, PALE, legend
from mfcli.models.measures import Measure


@dataclass(frozen=True)
class Tried:
    """A trial, as a line of search.csv has it.

    Attributes:
        number: from 1.
        state: done, pruned or diverged.
        value: by the measure of the validation part; None if it diverged.
        settings: option -> value, as texts.
    """

    number: int
    state: str
    value: float | None
    settings: dict[str, str]


def read_trials(text: str, measure: Measure) -> list[Tried]:
    """The trials in a search.csv."""
    column = f"validation_{measure.key}"
    return [
        Tried(
            int(row.pop("trial")),
            row.pop("state"),
            float(value) if (value := row.pop(column)) else None,
            {name: told for name, told in row.items() if name != "epochs"},
        )
        for row in csv.DictReader(text.splitlines())
    ]


def search(ax: Axes, trials: Sequence[Tried], measure: Measure) -> None:
    """Every trial in its order, the best until then, and the settings of the best."""
    done = [trial for trial in trials if trial.state == "done"]
    pruned = [trial for trial in trials if trial.state == "pruned"]
    values = np.array([trial.value for trial in done], np.float64)
    if pruned:
        so_far = np.array([t.value for t in pruned], np.float64)
        ax.plot([t.number for t in pruned], so_far, "x", color=GREY, alpha=0.6, label="broken off")
    ax.plot([t.number for t in done], values, "o", color=BLUE, markeredgecolor=PALE, label="run to the end")
    best = np.maximum.accumulate(values) if measure.rises else np.minimum.accumulate(values)
    numbers = [trial.number for trial in done] + [len(trials)]
    ax.step(numbers, [*best, best[-1]], where="post", color=ORANGE, linewidth=1, label="best until then")
    place = int((np.argmax if measure.rises else np.argmin)(values))
    found = done[place]
    settings = ", ".join(f"{name} {_short(value)}" for name, value in found.settings.items())
    ax.plot(found.number, values[place], "*", color=ORANGE, markersize=15, markeredgecolor="white", label=settings)
    spread = np.ptp(values) or 0.01
    # Those that were broken off early may be far away, and tell nothing of how far.
    ax.set_ylim(values.min() - 0.1 * spread, values.max() + 0.5 * spread)
    if measure.rises:
        ax.set_ylim(values.min() - 0.5 * spread, values.max() + 0.1 * spread)
    ax.set_title(f"Search: {len(trials)} trials, best {values[place]:.4f}")
    ax.set_xlabel("trial")
    ax.set_ylabel(f"validation {measure.name}")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    legend(ax, 2)


def _short(value: str) -> str:
    try:
        return f"{float(value):.3g}"
    except ValueError:
        return value
