"""``mfcli plot``: figures that say how a run learnt and how well it predicts. No display is needed."""

import json
import warnings
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mfcli.artifacts import Artifacts, Record
from mfcli.atomic import atomic_file
from mfcli.config import PlotConfig
from mfcli.errors import UsageError
from mfcli.models.metrics import rmse
from mfcli.models.run import TrainedRun, open_run

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
FEW = 20  # different ratings up to which each has a box of its own
HEIGHT = 4.8  # inches
POINTS = 20_000  # of the batches' curve: more would not be seen

Floats = npt.NDArray[np.float64]
History = list[dict[str, Any]]


@dataclass(frozen=True)
class Plotted:
    """The result: the files written, by the figure's name."""

    run: str
    files: dict[str, Path]


def plot(config: PlotConfig) -> Plotted:
    """Draw every figure of a run; with ``compare``, also the learning curves of several runs in one.

    Raises:
        ArtifactError: run or data are absent, damaged or not of each other.
        UsageError: the folder for the figures is a file.
    """
    artifacts = Artifacts(config.dir)
    trained = open_run(artifacts, config.run)
    history = _history(trained.record)
    predicted, actual = _predictions(config, trained)
    figures: dict[str, Callable[[Figure], None]] = {
        "learning-curves": lambda f: learning_curves(f.subplots(), config.run, history),
        "rating-histogram": lambda f: rating_histogram(f.subplots(), trained.prepared.record.results),
        "predicted-vs-actual": lambda f: predicted_against_actual(f.subplots(), actual, predicted, config.part),
        "error-by-rating": lambda f: error_by_rating(f.subplots(), actual, predicted, config.part),
    }
    if config.compare:
        names = list(dict.fromkeys([config.run, *config.compare]))
        records = {name: artifacts.run(name).record() for name in names}
        histories = {name: _history(record) for name, record in records.items()}
        others = {name for name, record in records.items() if record.inputs != trained.record.inputs}
        figures["compare"] = lambda f: compare_runs(f.subplots(), histories, others)
    if config.output is not None:
        return Plotted(config.run, _draw(config, figures, config.output))
    stage = artifacts.plots(config.run)
    inputs = {"model": trained.record.fingerprint, "data": trained.prepared.fingerprint}
    wait, libraries = config.lock_timeout, ("matplotlib",)
    with trained.locked(wait), stage.lock(wait), stage.replace(config, inputs, libraries=libraries) as draft:
        drawn = _draw(config, figures, draft.path)
    return Plotted(config.run, {name: stage.path / path.name for name, path in drawn.items()})


def _history(record: Record) -> History:
    return record.stage.consistent(
        lambda r: [json.loads(line) for line in r.read("history.jsonl").decode().splitlines()]
    )


def _predictions(config: PlotConfig, trained: TrainedRun) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    part = trained.prepared.part(config.part)
    return trained.model.predict(part.users, part.items), part.ratings


def _draw(config: PlotConfig, figures: dict[str, Callable[[Figure], None]], folder: Path) -> dict[str, Path]:
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--output {folder}: not a folder")
    files = {}
    with rc_context(cast(Any, STYLE)), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # a box in its place will do
        for name, draw in figures.items():
            figure = Figure(figsize=(7.5, HEIGHT), layout="constrained")
            draw(figure)
            files[name] = folder / f"{name}.{config.format}"
            # No dates in the file: the same figure, the same bytes.
            undated = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[config.format]
            with atomic_file(files[name]) as file:
                figure.savefig(file, format=config.format, dpi=config.dpi, metadata=undated)
    return files


def _curve(history: History, key: str) -> tuple[list[int], list[float]]:
    points = [(h["epoch"], h[key]) for h in history if h.get(key) is not None]
    return [epoch for epoch, _ in points], [value for _, value in points]


def _epoch_axis(ax: Axes) -> None:
    ax.set_xlabel("epoch")
    ax.set_ylabel("RMSE (rating points)")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def _legend(ax: Axes, columns: int) -> None:
    """Below the axes, where it covers no data; in one column if a label is long."""
    figure = cast(Figure, ax.figure)
    handles, labels = ax.get_legend_handles_labels()
    columns = columns if max(map(len, labels)) <= 50 else 1
    legend = figure.legend(handles, labels, loc="outside lower center", ncols=columns)
    for line in legend.get_lines():
        line.set_alpha(1)  # faint in the figure, legible here


def _short(name: str) -> str:
    return name if len(name) <= 32 else f"{name[:20]}…{name[-11:]}"


def learning_curves(ax: Axes, run: str, history: History) -> None:
    """RMSE by epoch: training, validation with the kept epoch marked, every batch faint behind.

    Kept is the best epoch, or, where validation is of an average of samples, the last.
    """
    batches, at = _batches(history)
    marker = "o" if len(history) <= 40 else ""
    epochs, train = _curve(history, "train_rmse")
    levels = train
    if len(batches) > len(history):
        ax.plot(at, batches, color=BLUE, alpha=0.2, linewidth=0.7, label="training, each batch")
        # The first batches and a few outliers must not flatten the curves.
        levels = [*levels, float(np.quantile(batches, 0.01)), float(np.quantile(batches, 0.99))]
    ax.plot(epochs, train, color=BLUE, marker=marker, markersize=4, label="training, whole epoch")
    epochs, validation = _curve(history, "validation_rmse")
    if validation:
        ax.plot(epochs, validation, color=ORANGE, marker=marker, markersize=4, label="validation")
        alone, sample = _curve(history, "sample_rmse")
        if sample:
            ax.plot(alone, sample, color=ORANGE, alpha=0.4, linewidth=1, label="validation, each sample alone")
        best, word = _kept(history, validation) or (0, "")
        ax.axvline(epochs[best], color=GREY, linestyle=":", linewidth=1)
        star: dict[str, Any] = {
            "marker": "*",
            "markersize": 15,
            "markeredgecolor": "white",
            "linestyle": "",
            "zorder": 3,
        }
        label = f"{word}{', and kept' if word == 'best' else ''}: {validation[best]:.4f} at epoch {epochs[best]}"
        ax.plot(epochs[best], validation[best], color=ORANGE, label=label, **star)
    low, high = min([*levels, *validation]), max([*levels, *validation])
    margin = 0.05 * (high - low) or 0.05
    ax.set_ylim(low - margin, high + margin)
    ax.set_title(f"Learning curves of run '{_short(run)}'")
    _epoch_axis(ax)
    _legend(ax, 2)


def _kept(history: History, validation: list[float]) -> tuple[int, str] | None:
    """Which of the validation RMSEs is of the model that is kept, and what it is: the best, or the last of averages."""
    if not validation:
        return None
    if any(h.get("sample_rmse") is not None for h in history):
        return len(validation) - 1, "kept"
    return int(np.argmin(validation)), "best"


def _batches(history: History) -> tuple[Floats, Floats]:
    """RMSE of the batches, evenly thinned out to POINTS at most, and when in the epochs each of them was done."""
    rmses = [np.asarray(h["batch_rmse"], np.float64) for h in history]
    whens = [h["epoch"] - 1 + np.arange(1, len(r) + 1) / max(1, len(r)) for h, r in zip(history, rmses, strict=True)]
    step = -(-sum(map(len, rmses)) // POINTS) or 1
    return np.concatenate(rmses)[::step], np.concatenate(whens)[::step]


def compare_runs(ax: Axes, histories: dict[str, History], others: Collection[str] = ()) -> None:
    """Learning curves of several runs: a colour and a marker each, validation drawn through, training dashed.

    ``others`` are those trained on other data, where RMSEs cannot be compared; the legend says so.
    """
    for number, (name, history) in enumerate(histories.items()):
        epochs, validation = _curve(history, "validation_rmse")
        look: dict[str, Any] = {
            "color": RUNS[number % len(RUNS)],
            "marker": MARKERS[number % len(MARKERS)],
            "markevery": -(-len(history) // 15),
            "markersize": 5,
        }
        kept = _kept(history, validation)
        best = f": {kept[1]} {validation[kept[0]]:.4f} at epoch {epochs[kept[0]]}" if kept else ""
        ax.plot(*_curve(history, "train_rmse"), **look, linestyle="--", linewidth=1, alpha=0.6)
        ax.plot(epochs, validation, **look)
        label = f"{_short(name)}{' (other data)' if name in others else ''}{best}"
        ax.plot([], [], color=look["color"], marker=look["marker"], label=label)
    ax.plot([], [], color=GREY, label="validation")
    ax.plot([], [], color=GREY, linestyle="--", linewidth=1, label="training")
    ax.set_title("Learning curves compared")
    _epoch_axis(ax)
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


def rating_histogram(ax: Axes, figures: dict[str, Any]) -> None:
    """How often each rating was given, in all parts together."""
    values = [float(v) for v in figures["histogram"]]
    binned = values[0] > figures["minimum"] + 1e-5 * abs(figures["minimum"])
    places = _rating_axis(ax, values, binned, "rating")
    ax.bar(places, list(figures["histogram"].values()), width=0.85, color=BLUE)
    mean = figures["mean"]
    ax.axvline(float(np.interp(mean, values, places)), color=ORANGE, linestyle="--", label=f"mean {mean:.4g}")
    ax.set_title(f"{figures['ratings']:,} ratings of {_short(figures['dataset'])}")
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


def predicted_against_actual(ax: Axes, actual: npt.NDArray[Any], predicted: npt.NDArray[Any], split: str) -> None:
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
    ax.set_title(f"Predicted against actual, {split} part (RMSE {rmse(actual, predicted):.4f})")
    ax.set_ylabel("predicted rating")
    _legend(ax, 2)


def error_by_rating(ax: Axes, actual: npt.NDArray[Any], predicted: npt.NDArray[Any], split: str) -> None:
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
    ax.set_title(f"Error by rating, {split} part (above each bar, how many ratings)")
    ax.set_ylabel("error (rating points)")
    _legend(ax, 2)
