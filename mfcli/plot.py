"""``mfcli plot``: figures that say how a run learnt and how well it predicts. No display is needed."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mfcli.artifacts import Artifacts, Record, atomic_file
from mfcli.config import PlotConfig
from mfcli.dataset import TrainedRun, open_run
from mfcli.errors import UsageError
from mfcli.metrics import rmse

BLUE, ORANGE, GREY, GREEN = "#2b6cb0", "#dd6b20", "#718096", "#2f855a"
STYLE: dict[str, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e2e8f0",
    "axes.axisbelow": True,
    "axes.titleweight": "bold",
    "axes.titlesize": 12,
    "font.size": 10,
    "svg.hashsalt": "mfcli",  # the same figure, the same bytes
}
FEW = 20  # different ratings up to which each has a box of its own

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
        "rating-histogram": lambda f: rating_histogram(f.subplots(), trained.prepared.record.figures),
        "predicted-vs-actual": lambda f: predicted_against_actual(f.subplots(), actual, predicted, config.split),
        "error-by-rating": lambda f: error_by_rating(f, actual, predicted, config.split),
    }
    if config.compare:
        names = list(dict.fromkeys([config.run, *config.compare]))
        histories = {name: _history(artifacts.run(name).record()) for name in names}
        figures["compare"] = lambda f: compare_runs(f.subplots(), histories)
    if config.output is not None:
        return Plotted(config.run, _draw(config, figures, config.output))
    stage = artifacts.plots(config.run)
    inputs = {"model": trained.record.fingerprint, "data": trained.prepared.fingerprint}
    with stage.lock(config.lock_timeout), stage.replace(config, inputs, libraries=("matplotlib",)) as draft:
        drawn = _draw(config, figures, draft.path)
    return Plotted(config.run, {name: stage.path / path.name for name, path in drawn.items()})


def _history(record: Record) -> History:
    return record.stage.consistent(
        lambda r: [json.loads(line) for line in r.read("history.jsonl").decode().splitlines()]
    )


def _predictions(config: PlotConfig, trained: TrainedRun) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    part = trained.prepared.part(config.split)
    return trained.model.predict(part.users, part.items), part.ratings


def _draw(config: PlotConfig, figures: dict[str, Callable[[Figure], None]], folder: Path) -> dict[str, Path]:
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--output {folder}: not a folder")
    files = {}
    with rc_context(cast(Any, STYLE)):
        for name, draw in figures.items():
            figure = Figure(figsize=(7.5, 4.5), layout="constrained")
            draw(figure)
            files[name] = folder / f"{name}.{config.format}"
            # No dates in the file: the same figure, the same bytes.
            undated = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[config.format]
            with atomic_file(files[name]) as file:
                figure.savefig(file, format=config.format, dpi=config.dpi, metadata=undated)
    return files


def _curve(history: History, key: str) -> tuple[list[int], list[float]]:
    points = [(h["epoch"], h[key]) for h in history if h[key] is not None]
    return [epoch for epoch, _ in points], [value for _, value in points]


def _epoch_axis(ax: Axes) -> None:
    ax.set_xlabel("epoch")
    ax.set_ylabel("RMSE (rating points)")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))


def learning_curves(ax: Axes, run: str, history: History) -> None:
    """RMSE by epoch: training, validation with the best epoch marked, every batch faint behind."""
    batches = np.concatenate([h["batch_rmse"] for h in history])
    at = np.concatenate(
        [h["epoch"] - 1 + np.arange(1, len(h["batch_rmse"]) + 1) / len(h["batch_rmse"]) for h in history]
    )
    ax.plot(at, batches, color=BLUE, alpha=0.18, linewidth=0.6, label="training, each batch")
    marker = "o" if len(history) <= 40 else ""
    epochs, train = _curve(history, "train_rmse")
    ax.plot(epochs, train, color=BLUE, marker=marker, markersize=4, label="training, whole epoch")
    epochs, validation = _curve(history, "validation_rmse")
    levels = train + validation
    if validation:
        ax.plot(epochs, validation, color=ORANGE, marker=marker, markersize=4, label="validation")
        best = int(np.argmin(validation))
        ax.axvline(epochs[best], color=GREY, linestyle=":", linewidth=1)
        ax.plot(epochs[best], validation[best], marker="*", markersize=15, color=ORANGE, markeredgecolor="white", linestyle="",
                label=f"best: {validation[best]:.4f} at epoch {epochs[best]}")  # fmt: skip
    # The first batches and a few outliers must not flatten the curves.
    low, high = min(min(levels), float(np.quantile(batches, 0.01))), max(max(levels), float(np.quantile(batches, 0.99)))
    ax.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low) + 1e-9)
    ax.set_title(f"Learning curves of run '{run}'")
    _epoch_axis(ax)
    ax.legend(frameon=False)


def compare_runs(ax: Axes, histories: dict[str, History]) -> None:
    """Learning curves of several runs: validation drawn through, training dashed."""
    for number, (name, history) in enumerate(histories.items()):
        color = f"C{number % 10}"
        epochs, validation = _curve(history, "validation_rmse")
        best = f" (best {min(validation):.4f})" if validation else ""
        ax.plot(*_curve(history, "train_rmse"), color=color, linestyle="--", alpha=0.7, label=f"{name}: training")
        if validation:
            ax.plot(epochs, validation, color=color, label=f"{name}: validation{best}")
    ax.set_title("Learning curves compared")
    _epoch_axis(ax)
    ax.legend(frameon=False)


def rating_histogram(ax: Axes, figures: dict[str, Any]) -> None:
    """How often each rating was given, in all parts together."""
    values = [float(v) for v in figures["histogram"]]
    counts = list(figures["histogram"].values())
    step = min(np.diff(values)) if len(values) > 1 else 1.0
    ax.bar(values, counts, width=0.85 * step, color=BLUE)
    ax.axvline(figures["mean"], color=ORANGE, linestyle="--", label=f"mean {figures['mean']:.2f}")
    ax.set_title(f"{figures['ratings']:,} ratings of {figures['dataset']}")
    ax.set_xlabel("rating")
    ax.set_ylabel("ratings given")
    ax.set_xticks(values)
    ax.yaxis.set_major_formatter(lambda count, _: f"{count:,.0f}")
    ax.grid(axis="x", visible=False)
    ax.legend(frameon=False)


def _groups(actual: npt.NDArray[Any]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.intp]]:
    """The different ratings, or the middles of ten bins where there are many, and which of them each rating is in."""
    values, which = np.unique(actual, return_inverse=True)
    if len(values) <= FEW:
        return values.astype(np.float64), which
    edges = np.linspace(values[0], values[-1], 11)
    which = np.clip(np.searchsorted(edges, actual, side="right") - 1, 0, 9)
    used, which = np.unique(which, return_inverse=True)
    return ((edges[:-1] + edges[1:]) / 2)[used], which


def predicted_against_actual(ax: Axes, actual: npt.NDArray[Any], predicted: npt.NDArray[Any], split: str) -> None:
    """For each actual rating the spread of what was predicted."""
    values, which = _groups(actual)
    step = min(np.diff(values)) if len(values) > 1 else 1.0
    ax.boxplot(
        [predicted[which == g] for g in range(len(values))],
        positions=values,
        widths=0.6 * step,
        whis=(5, 95),
        showfliers=False,
        manage_ticks=False,
        patch_artist=True,
        boxprops={"facecolor": "#bee3f8", "edgecolor": BLUE},
        medianprops={"color": BLUE, "linewidth": 2},
        whiskerprops={"color": BLUE},
        capprops={"color": BLUE},
    )
    ax.axline((values[0], values[0]), slope=1, color=ORANGE, linestyle="--", label="perfect")
    ax.plot([], [], color=BLUE, linewidth=2, label="predicted: median, half of them (box), 90 % (whiskers)")
    ax.set_title(f"Predicted against actual, {split} part (RMSE {rmse(actual, predicted):.4f})")
    ax.set_xlabel("actual rating")
    ax.set_ylabel("predicted rating")
    ax.set_xticks(values, [f"{v:g}" for v in values])
    ax.legend(frameon=False)


def error_by_rating(figure: Figure, actual: npt.NDArray[Any], predicted: npt.NDArray[Any], split: str) -> None:
    """For each actual rating the RMSE, and by how much predictions are too high or too low on average."""
    values, which = _groups(actual)
    errors = predicted.astype(np.float64) - actual
    counts = np.bincount(which)
    means = np.bincount(which, errors) / counts
    roots = np.sqrt(np.bincount(which, errors**2) / counts)
    ax = figure.subplots()
    step = min(np.diff(values)) if len(values) > 1 else 1.0
    ax.bar(values, roots, width=0.6 * step, color="#bee3f8", edgecolor=BLUE, label="RMSE")
    ax.plot(values, means, color=ORANGE, marker="o", label="mean error (above 0: predicted too high)")
    ax.axhline(0, color=GREY, linewidth=1)
    for value, root, count in zip(values, roots, counts, strict=True):
        ax.annotate(
            f"{count:,}", (value, root), xytext=(0, 2), textcoords="offset points", ha="center", fontsize=8, color=GREY
        )
    ax.plot([], [], linestyle="", label="small figures: how many ratings")
    ax.set_title(f"Error by rating, {split} part")
    ax.set_xlabel("actual rating")
    ax.set_ylabel("error (rating points)")
    ax.set_xticks(values, [f"{v:g}" for v in values])
    ax.grid(axis="x", visible=False)
    ax.legend(frameon=False)
