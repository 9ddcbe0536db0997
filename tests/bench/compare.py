"""The tables of whole fits: our solvers beside others', and our ``adam`` beside the article's loop."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.bench import data
from tests.bench.process import BenchError
from tests.bench.report import all_fitted, fitted, parsed, say, table

OURS = ("adam", "als", "gibbs")
MINE = ("adam", "als", "gibbs", "biases")
ROWS = {
    "ml-latest-small": (*MINE, "surprise", "lenskit:reg=0.15", "cornac", "cmfrec:reg=0.13", "libmf:reg=0.1", "myfm"),
    "ml-1m": (*MINE, "als:until=0.85", "surprise", "lenskit", "cornac", "cmfrec", "libmf", "myfm"),
}
"""What is compared where: ours at their defaults, each peer with the best by test RMSE of a few settings tried."""

SIDE_ROWS = {
    "ml-latest-small": ("adam", "gibbs", "gibbs:side=exposure+items", "myfm_blocks"),
    "ml-1m": ("adam", "gibbs", "myfm_blocks:factors=32"),
}
"""The same of those that take side information. myFM is not told of days."""
HEADS = ["solver", "version, settings", "fit, s", "peak MB (before the fit)", "test RMSE"]


def solvers(options: Any) -> Iterator[str]:
    """Fit seconds, peak memory and test RMSE of every row, and how many times ours it took."""
    for name in options.data:
        rows = options.rows or ROWS[name]
        with tempfile.TemporaryDirectory() as work:
            split = data.prepare_real(name, Path(work))
            say(f"{name}, {split}")
            answers = all_fitted(rows, Path(work), options)
        rulers = {row: a["seconds"] for row, a in answers.items() if _is_ruler(row) and "error" not in a}
        yield f"{name}, {split}, {options.threads} threads, median of {options.repeat}:"
        yield ""
        heads = HEADS + [f"time ÷ {row}" for row in rulers]
        yield from table(heads, [_cells(row, a, list(rulers.values())) for row, a in answers.items()], 2)
        yield ""


def side(options: Any) -> Iterator[str]:
    """Processor seconds, peak memory and test RMSE of those that take side information, all of it."""
    for name in options.data:
        with tempfile.TemporaryDirectory() as work:
            split = data.prepare_real(name, Path(work))
            say(f"{name}, {split}")
            answers = all_fitted(SIDE_ROWS[name], Path(work), options, side=True)
        yield f"{name}, {split}, {options.threads} threads, with side information, median of {options.repeat}:"
        yield ""
        yield from table([*HEADS, "processor, s"], [_with_cpu(row, answer) for row, answer in answers.items()], 2)
        yield ""


def _with_cpu(row: str, answer: dict[str, Any]) -> list[str]:
    return [*_cells(row, answer, []), "" if "error" in answer else f"{answer['cpu']:.1f}"]


def _is_ruler(row: str) -> bool:
    name, settings = parsed(row)
    return name in OURS and "until" not in settings


def _cells(row: str, answer: dict[str, Any], rulers: list[float]) -> list[str]:
    name, _ = parsed(row)
    if "error" in answer:
        return [name, answer["error"], *[""] * (3 + len(rulers))]
    settings = [f"{key} {value}" for key, value in answer["settings"].items()]
    return [
        name,
        ", ".join(filter(None, answer["about"] + settings)),
        f"{answer['seconds']:.2f}",
        f"{answer['peak']:.0f} ({answer['before']:.0f})",
        f"{answer['rmse']:.4f}",
        *(f"{answer['seconds'] / seconds:.2f}" for seconds in rulers),
    ]


def article(options: Any) -> Iterator[str]:
    """The article's loop and our adam: ratings a second and what each ends with."""
    with tempfile.TemporaryDirectory() as work:
        split = data.prepare_real("ml-latest-small", Path(work))
        rows = {"the article's loop": f"article:epochs={options.epochs}", "`mfcli train`, defaults": "adam"}
        answers = {title: fitted(row, Path(work), options) for title, row in rows.items()}
    for answer in answers.values():
        if "error" in answer:
            raise BenchError(answer["error"])
    slowest = answers["the article's loop"]["ratings_per_second"]
    cells = [
        [
            title,
            str(a["settings"]["epochs"]),
            f"{a['seconds']:.1f}",
            f"{a['ratings_per_second']:,.0f}",
            f"{a['ratings_per_second'] / slowest:.1f}",
            f"{a['rmse']:.4f}",
            f"{a['rmse_unclipped']:.4f}",
        ]
        for title, a in answers.items()
    ]
    yield f"ml-latest-small, {split}, {options.threads} threads:"
    yield ""
    heads = ["loop", "epochs", "seconds", "ratings/s", "speed ÷ the article's", "test RMSE", "not clipped"]
    yield from table(heads, cells, 1)
