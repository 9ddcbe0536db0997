"""The figures of a run, each drawn on the axes it is given. No display is needed: pyplot is never imported."""

import itertools
import warnings
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import IO, Any, cast

import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mfcli.models.measures import RMSE, Measure
from mfcli.models.metrics import rmse

BLUE, PALE, ORANGE, GREY = "#2b6cb0", "#bee3f8", "#dd6b20", "#4a5568"
RUNS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000000", "#56b4e9", "#e69f00")  # Okabe and Ito, 2008
MARKERS = "os^Dv"
STYLE: dict[str, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e2e8f0",
    "axes.axisbelow": True,
    "axes.titleweight": "bold",
    "axes.titlesize": 12,
    "font.size": 10,
    "legend.frameon": False,
    "text.parse_math": False,  # a file called a$b$.csv is called that
    "svg.hashsalt": "mfcli",  # the same figure, the same bytes
}
# No dates in the file: the same figure, the same bytes.
UNDATED: dict[str, dict[str, None]] = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
FEW = 20  # different ratings up to which each has a box of its own
HEIGHT = 4.8  # inches
POINTS = 20_000  # of the batches' curve: more would not be seen

Floats = npt.NDArray[np.float64]


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

    def batches(self) -> tuple[Floats, Floats]:
        """RMSE of the batches, evenly thinned out to POINTS at most, and when in the epochs each of them was done."""
        rmses = [np.asarray(epoch["batch_rmse"], np.float64) for epoch in self.epochs]
        whens = [
            epoch["epoch"] - 1 + np.arange(1, len(r) + 1) / max(1, len(r))
            for epoch, r in zip(self.epochs, rmses, strict=True)
        ]
        step = -(-sum(map(len, rmses)) // POINTS) or 1
        return np.concatenate(rmses)[::step], np.concatenate(whens)[::step]

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


def write_figure(draw: Callable[[Axes], None], file: IO[bytes], kind: str, dpi: int) -> None:
    """Draw one figure and write it as png, svg or pdf: the same figure, the same bytes."""
    with rc_context(cast(Any, STYLE)), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # a box in its place will do
        figure = Figure(figsize=(7.5, HEIGHT), layout="constrained")
        draw(figure.subplots())
        figure.savefig(file, format=kind, dpi=dpi, metadata=UNDATED[kind])


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


def _legend(ax: Axes, columns: int) -> None:
    """Below the axes, where it covers no data; in one column if a label is long."""
    figure = cast(Figure, ax.figure)
    pairs = [axes.get_legend_handles_labels() for axes in figure.axes]
    handles, labels = (list(itertools.chain(*several)) for several in zip(*pairs, strict=True))
    columns = columns if max(map(len, labels)) <= 50 else 1
    legend = figure.legend(handles, labels, loc="outside lower center", ncols=columns)
    for line in legend.get_lines():
        line.set_alpha(1)  # faint in the figure, legible here


def _short(name: str) -> str:
    return name if len(name) <= 32 else f"{name[:20]}…{name[-11:]}"


def learning_curves(ax: Axes, history: History) -> None:
    """How good each epoch is: training, validation with the kept epoch marked, every batch's RMSE faint behind."""
    batches, at = history.batches()
    marker = "o" if len(history.epochs) <= 40 else ""
    epochs, train = history.train()
    levels = train
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
    ax.set_title(f"Learning curves of run '{_short(history.run)}'")
    _epoch_axis(ax, [history])
    _legend(ax, 2)


def compare_runs(ax: Axes, histories: Sequence[History], others: Collection[str] = ()) -> None:
    """Learning curves of several runs: a colour and a marker each, validation drawn through, training dashed.

    All are judged by the same measures. ``others`` are those trained on other data, where these cannot be compared;
    the legend says so.
    """
    right = _validation_axes(ax, histories[0])
    for number, history in enumerate(histories):
        look: dict[str, Any] = {
            "color": RUNS[number % len(RUNS)],
            "marker": MARKERS[number % len(MARKERS)],
            "markevery": -(-len(history.epochs) // 15),
            "markersize": 5,
        }
        ax.plot(*history.train(), **look, linestyle="--", linewidth=1, alpha=0.6)
        right.plot(*history.validation(), **look)
        name = f"{_short(history.run)}{' (other data)' if history.run in others else ''}"
        label = ": ".join(filter(None, [name, history.kept_text("best")]))
        ax.plot([], [], color=look["color"], marker=look["marker"], label=label)
    ax.plot([], [], color=GREY, label="validation")
    ax.plot([], [], color=GREY, linestyle="--", linewidth=1, label="training")
    ax.set_title("Learning curves compared")
    _epoch_axis(ax, histories)
    _legend(ax, 2)
    cast(Figure, ax.figure).set_figheight(HEIGHT + 0.2 * max(0, len(histories) - 2))


def _rating_axis(ax: Axes, values: Sequence[float], binned: bool, name: str) -> Floats:
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


def rating_histogram(ax: Axes, results: dict[str, Any]) -> None:
    """How often each rating was given, in all parts together: from the results of ``prepare``."""
    values = [float(v) for v in results["histogram"]]
    binned = values[0] > results["minimum"] + 1e-5 * abs(results["minimum"])
    places = _rating_axis(ax, values, binned, "rating")
    ax.bar(places, list(results["histogram"].values()), width=0.85, color=BLUE)
    mean = results["mean"]
    ax.axvline(float(np.interp(mean, values, places)), color=ORANGE, linestyle="--", label=f"mean {mean:.4g}")
    ax.set_title(f"{results['ratings']:,} ratings of {_short(results['dataset'])}")
    ax.set_ylabel("how many")
    ax.yaxis.set_major_formatter(lambda count, _: f"{count:,.0f}")
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    _legend(ax, 1)


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
    """For each actual rating the spread of what was predicted."""
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
    _legend(ax, 2)


def error_by_rating(ax: Axes, actual: npt.NDArray[Any], predicted: npt.NDArray[Any], part: str) -> None:
    """For each actual rating the RMSE, and by how much predictions are too high or too low on average."""
    values, which, binned = _groups(actual)
    places = _rating_axis(ax, values, binned, "actual rating")
    errors = predicted.astype(np.float64) - actual
    counts = np.bincount(which)
    means = np.bincount(which, errors) / counts
    roots = np.sqrt(np.bincount(which, errors**2) / counts)
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
    _legend(ax, 2)
