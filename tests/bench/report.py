"""What all tables need: a row's name taken apart, a fit made, Markdown printed."""

import sys
from collections.abc import Iterable
from pathlib import Path
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
