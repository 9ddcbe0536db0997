"""What all tables need: a row's name taken apart, a fit made, Markdown printed."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.process import BenchError, call


def table(heads: list[str], rows: Iterable[list[str]], texts: int) -> list[str]:
    """A Markdown table, whose columns after the first ``texts`` are numbers."""
    rule = ["---"] * texts + ["--:"] * (len(heads) - texts)
    return ["| " + " | ".join(row) + " |" for row in (heads, rule, *rows)]


def say(what: str) -> None:
    """Where we are, on standard error."""
    sys.stderr.write(f"{what}\n")
    sys.stderr.flush()


def parsed(row: str) -> tuple[str, dict[str, Any]]:
    """NAME:key=value,... as a name and its settings; a value with + in it is several."""
    name, _, text = row.partition(":")
    return name, {key: _value(value) for key, _, value in (pair.partition("=") for pair in text.split(",") if pair)}


def _value(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text.split("+") if "+" in text else {"true": True, "false": False}.get(text, text)


def fitted(row: str, folder: Path, options: Any, *, side: bool = False) -> dict[str, Any]:
    """Fit a row on the data prepared in ``folder``: what :func:`tests.bench.child.fit` says, or ``error``.

    With ``side`` it learns from side information too.
    """
    name, settings = parsed(row)
    job = {"do": "fit", "name": name, "settings": settings, "dir": str(folder), "side": side}
    try:
        answer = call(job, options.threads, options.python.get(name, sys.executable))
        say(f"  {row}: {answer['seconds']:.2f} s, RMSE {answer['rmse']:.4f}")
        return answer
    except BenchError as error:
        say(f"  {row}: {error}")
        return {"error": str(error)}


def all_fitted(rows: Sequence[str], folder: Path, options: Any, *, side: bool = False) -> dict[str, dict[str, Any]]:
    """Row -> what :func:`fitted` says, as medians of ``options.repeat`` fits.

    They are made round after round, so that a slow minute of the machine hits all alike.
    """
    rounds = [[fitted(row, folder, options, side=side) for row in rows] for _ in range(options.repeat)]
    return {row: _median(several) for row, *several in zip(rows, *rounds, strict=True)}


def _median(answers: list[dict[str, Any]]) -> dict[str, Any]:
    """The first answer with the median of every measurement of all; or the first that failed."""
    failed = [one for one in answers if "error" in one]
    measured = () if failed else ("seconds", "cpu", "before", "peak", "rmse")
    return (failed or answers)[0] | {key: median(one[key] for one in answers) for key in measured}
