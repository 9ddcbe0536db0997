"""The figure of time to a given RMSE: every method after a few passes and after more of them, ours and others'."""

import tempfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from tests.bench import data
from tests.bench.report import all_fitted, parsed, say, table

DATA = "ml-1m"
POINTS = {
    "adam": [f"adam:epochs={n}" for n in (2, 4, 7, 10)],
    "als": [f"als:epochs={n},tolerance=0" for n in (1, 2, 3, 5, 10)],
    "gibbs": [f"gibbs:burn_in={n // 3},samples={n}" for n in (3, 12, 30, 90)],
    "libmf": [f"libmf:epochs={n}" for n in (5, 10, 20, 30)],
    "cmfrec": [f"cmfrec:epochs={n}" for n in (2, 5, 15)],
    "cornac": [f"cornac:epochs={n}" for n in (5, 10, 20, 40)],
    "lenskit": [f"lenskit:epochs={n}" for n in (2, 5, 10, 20)],
    "surprise": [f"surprise:epochs={n}" for n in (10, 20, 40)],
    "myfm": [f"myfm:epochs={n}" for n in (10, 30, 100)],
}
"""Rows of :mod:`tests.bench.compare`, the fewest passes first. A learning rate that anneals does so within each."""
OURS = ("adam", "als", "gibbs")


def frontier(options: Any) -> Iterator[str]:
    """Seconds and test RMSE of every point as a table, and in ``options.figure`` as a picture."""
    rows = [row for name in options.methods for row in POINTS[name]]
    with tempfile.TemporaryDirectory() as work:
        split = data.prepare_real(DATA, Path(work))
        say(f"{DATA}, {split}")
        answers = list(all_fitted(rows, Path(work), options).items())
    found = [(row, answer) for row, answer in answers if "error" not in answer]
    draw({name: list(group) for name, group in groupby(found, lambda one: parsed(one[0])[0])}, options.figure, split)
    yield f"{DATA}, {split}, {options.threads} threads, ratings alone, median of {options.repeat}:"
    yield ""
    yield from table(["row", "fit, s", "test RMSE"], [[row, *_measured(answer)] for row, answer in answers], 1)


def _measured(answer: dict[str, Any]) -> list[str]:
    return [answer["error"], ""] if "error" in answer else [f"{answer['seconds']:.2f}", f"{answer['rmse']:.4f}"]


def draw(lines: dict[str, list[tuple[str, dict[str, Any]]]], path: Path, split: str) -> None:
    """A line for every method, ours in colour and heavy; seconds on a log scale."""
    from matplotlib.figure import Figure
    from matplotlib.patheffects import withStroke

    figure = Figure(figsize=(7.5, 4.5), layout="constrained")
    axes = figure.subplots()
    for name, points in lines.items():
        seconds, errors = [one["seconds"] for _, one in points], [one["rmse"] for _, one in points]
        ours = name in OURS
        style = {"linewidth": 2.2, "zorder": 3} if ours else {"linewidth": 1, "color": "0.6"}
        (line,) = axes.plot(seconds, errors, marker="o", markersize=5 if ours else 4, **style)
        # Ours below the end of a line, others above its beginning, where there is room.
        axes.annotate(
            f"mfcli {name}" if ours else name,
            (seconds[-1], errors[-1]) if ours else (seconds[0], errors[0]),
            (0, -7) if ours else (0, 6),
            textcoords="offset points",
            va="top" if ours else "bottom",
            ha="center",
            color=line.get_color() if ours else "0.35",
            fontsize=9,
            path_effects=[withStroke(linewidth=3, foreground="white")],  # lines may cross it
        )
    axes.set(xscale="log", xlabel="seconds to fit (log scale)", ylabel="test RMSE")
    axes.set_title(f"{DATA}, {split}: time to a given error", fontsize=10)
    axes.margins(x=0.1, y=0.1)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
