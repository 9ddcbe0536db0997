"""How runs learnt: learning curves of one, and of several compared."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mfcli.arrays import Float64s
from mfcli.figures.style import BLUE, GREY, HEIGHT, ORANGE, SHADE, legend, shortened
from mfcli.models.measures import RMSE, Measure

RUNS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000000", "#56b4e9", "#e69f00")  # Okabe and Ito, 2008
MARKERS = "os^Dv"
DOTTED: dict[str, Any] = {"linestyle": ":", "linewidth": 1.2, "alpha": 0.8}  # a burn-in among other curves
POINTS = 20_000  # of the batches' curve: more would not be seen


@dataclass(frozen=True)
class History:
    """How a run learnt.

    Attributes:
        run: its name.
        epoch_name: what its solver calls an epoch.
        averages_samples: whether the model is the average of all samples, so that the last epoch's is kept.
        train_measure, validation_measure: what its epochs are judged by.
        epochs: a record an epoch, as in history.jsonl.
    """

    run: str
    epoch_name: str
    averages_samples: bool
    train_measure: Measure
    validation_measure: Measure
    epochs: list[dict[str, Any]]

    def train(self) -> tuple[list[int], list[float]]:
        """The :meth:`curve` of the training part."""
        return self.curve(f"train_{self.train_measure.key}")

    def validation(self) -> tuple[list[int], list[float]]:
        """The :meth:`curve` of the validation part."""
        return self.curve(f"validation_{self.validation_measure.key}")

    def curve(self, key: str) -> tuple[list[int], list[float]]:
        """The epochs that have a number of that name, and these numbers."""
        points = [(epoch["epoch"], epoch[key]) for epoch in self.epochs if epoch.get(key) is not None]
        return [epoch for epoch, _ in points], [value for _, value in points]

    def batches(self) -> tuple[Float64s, Float64s]:
        """RMSE of the batches, where there are any, and when in the epochs each of them was done.

        Evenly thinned out to POINTS at most.
        """
        rmses = [np.asarray(epoch.get("batch_rmse", ()), np.float64) for epoch in self.epochs]
        whens = [
            epoch["epoch"] - 1 + np.arange(1, len(r) + 1) / max(1, len(r))
            for epoch, r in zip(self.epochs, rmses, strict=True)
        ]
        step = -(-sum(map(len, rmses)) // POINTS) or 1
        return np.concatenate(rmses)[::step], np.concatenate(whens)[::step]

    @property
    def burn_in(self) -> int:
        """How many epochs were before the first that counts."""
        return sum("phase" in epoch for epoch in self.epochs)

    def burn_in_text(self) -> str:
        """The burn-in in words."""
        rounds = sum(epoch.get("phase") == "als" for epoch in self.epochs)
        return f"burn-in, at first {rounds} rounds of als" if rounds else "burn-in"

    def kept(self) -> tuple[int, float] | None:
        """The epoch whose model is kept and how good that is on the validation part; None without it."""
        epochs, validation = self.validation()
        if not validation:
            return None
        best = np.argmax if self.validation_measure.rises else np.argmin
        place = -1 if self.averages_samples else int(best(validation))
        return epochs[place], validation[place]

    def kept_text(self, best: str) -> str:
        """:meth:`kept` in words; '' without validation. ``best`` is what to call the best epoch's."""
        kept = self.kept()
        word = "kept" if self.averages_samples else best
        return "" if kept is None else f"{word} {kept[1]:.4f} at {self.epoch_name} {kept[0]}"


def _epoch_axis(ax: Axes, histories: Sequence[History]) -> None:
    ax.set_xlabel(", ".join(dict.fromkeys(history.epoch_name for history in histories)))
    ax.set_ylabel(_axis_name(histories[0].train_measure))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def _axis_name(measure: Measure) -> str:
    return "RMSE (rating points)" if measure == RMSE else measure.name


def _validation_axes(ax: Axes, history: History) -> Axes:
    """Where validation is drawn: beside training if both are judged by the same, else on a scale at the right."""
    if history.train_measure == history.validation_measure or not history.validation()[0]:
        return ax
    right = ax.twinx()
    right.set_ylabel(f"validation {_axis_name(history.validation_measure)}")
    right.spines.right.set_visible(True)
    right.grid(visible=False)
    return right


def learning_curves(ax: Axes, history: History) -> None:
    """How good each epoch is: training, validation with the kept epoch marked, every batch's RMSE faint behind."""
    batches, at = history.batches()
    marker = "o" if len(history.epochs) <= 40 else ""
    epochs, train = history.train()
    levels = train
    if history.burn_in:
        ax.axvspan(0.5, history.burn_in + 0.5, color=SHADE, zorder=0, label=history.burn_in_text())
    if len(batches) > len(history.epochs) and history.train_measure == RMSE:
        ax.plot(at, batches, color=BLUE, alpha=0.2, linewidth=0.7, label="training, each batch")
        # The first batches and a few outliers must not flatten the curves.
        levels = [*levels, float(np.quantile(batches, 0.01)), float(np.quantile(batches, 0.99))]
    ax.plot(epochs, train, color=BLUE, marker=marker, markersize=4, label=f"training, whole {history.epoch_name}")
    epochs, validation = history.validation()
    kept, right = history.kept(), _validation_axes(ax, history)
    if kept is not None:
        right.plot(epochs, validation, color=ORANGE, marker=marker, markersize=4, label="validation")
        if history.averages_samples:
            alone, sample = history.curve("sample_rmse")
            ax.plot(alone, sample, color=ORANGE, alpha=0.4, linewidth=1, label="validation, each sample alone")
        ax.axvline(kept[0], color=GREY, linestyle=":", linewidth=1)
        star: dict[str, Any] = {
            "marker": "*",
            "markersize": 15,
            "markeredgecolor": "white",
            "linestyle": "",
            "zorder": 3,
        }
        right.plot(*kept, color=ORANGE, label=history.kept_text("best, and kept:"), **star)
    levels = levels if right is not ax else [*levels, *validation]
    low, high = min(levels), max(levels)
    margin = 0.05 * (high - low) or 0.05
    ax.set_ylim(low - margin, high + margin)
    ax.set_title(f"Learning curves of run '{shortened(history.run)}'")
    _epoch_axis(ax, [history])
    legend(ax, 2)


def compare_runs(ax: Axes, histories: Sequence[History], others: Collection[str] = ()) -> None:
    """Learning curves of several runs: a colour and a marker each, validation drawn through, training dashed.

    Args:
        ax: where.
        histories: of the runs, which are judged by the same measures. A burn-in is dotted, in each one's own curves.
        others: names of those trained on other data, where these cannot be compared; the legend says so.
    """
    right = _validation_axes(ax, histories[0])
    for number, history in enumerate(histories):
        look: dict[str, Any] = {
            "color": RUNS[number % len(RUNS)],
            "marker": MARKERS[number % len(MARKERS)],
            "markevery": -(-len(history.epochs) // 15),
            "markersize": 5,
        }
        dashed: dict[str, Any] = {"linestyle": "--", "linewidth": 1, "alpha": 0.6}
        for axes, (epochs, values), line in ((ax, history.train(), dashed), (right, history.validation(), {})):
            first = sum(epoch <= history.burn_in for epoch in epochs)
            axes.plot(epochs[first:], values[first:], **look, **line)
            if first:
                axes.plot(epochs[: first + 1], values[: first + 1], color=look["color"], **DOTTED)
        name = f"{shortened(history.run)}{' (other data)' if history.run in others else ''}"
        label = ": ".join(filter(None, [name, history.kept_text("best")]))
        ax.plot([], [], color=look["color"], marker=look["marker"], label=label)
    ax.plot([], [], color=GREY, label="validation")
    ax.plot([], [], color=GREY, linestyle="--", linewidth=1, label="training")
    if any(history.burn_in for history in histories):
        ax.plot([], [], color=GREY, **DOTTED, label="burn-in")
    ax.set_title("Learning curves compared")
    _epoch_axis(ax, histories)
    legend(ax, 2)
    cast(Figure, ax.figure).set_figheight(HEIGHT + 0.2 * max(0, len(histories) - 2))
