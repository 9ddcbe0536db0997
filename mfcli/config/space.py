"""What ``mfcli train --search`` may choose: a span or some values of each of some options."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mfcli.config.solvers import SOLVERS, Table
from mfcli.config.train import TrainConfig
from mfcli.errors import UsageError
from mfcli.option import Option, meant


@dataclass(frozen=True)
class Span:
    """All numbers from ``low`` to ``high``, of which ``log`` has each order of magnitude as often as the next."""

    low: float
    high: float
    log: bool = False

    def __contains__(self, value: Any) -> bool:
        return isinstance(value, int | float) and self.low <= value <= self.high


@dataclass(frozen=True)
class Choices:
    """Some values."""

    values: tuple[Any, ...]

    def __contains__(self, value: Any) -> bool:
        return value in self.values


Space = dict[str, Span | Choices]
"""Option -> what it may be."""


def plain(space: Space) -> dict[str, Any]:
    """A space as JSON can hold it, and :func:`check` takes it back."""
    spans = {name: vars(one) for name, one in space.items() if isinstance(one, Span)}
    return spans | {name: {"choices": list(one.values)} for name, one in space.items() if isinstance(one, Choices)}


def space_of(config: TrainConfig) -> Space:
    """The space that ``--space`` names, else that of the solver without the options that are given.

    Raises UsageError.
    """
    if config.space is not None:
        return check(_read(config.space), config, f"--space {config.space}")
    left = {name: told for name, told in SOLVERS[config.solver].space.items() if name not in config.explicit}
    if not left:
        raise UsageError("--search: all options that it would choose are given: leave one out, or say --space FILE")
    return check(left, config, "--search")


def check(table: Table, config: TrainConfig, source: str) -> Space:
    """The space that a table describes. Raises UsageError, which begins with the source."""
    options = {option.name: option for option in config.options() if _can_be_chosen(option, config)}
    space: Space = {}
    for key, told in table.items():
        name = key.replace("-", "_")
        if name not in options:
            raise UsageError(f"{source}: '{key}' is no option that a search can choose{meant(name, options)}")
        try:
            space[name] = _one(options[name], told)
        except UsageError as error:
            raise UsageError(f"{source}: {error}") from None
    if not space:
        raise UsageError(f"{source}: it names no option")
    return space


def _can_be_chosen(option: Option, config: TrainConfig) -> bool:
    """Whether it belongs to the model, holds one value, and has a use for the solver."""
    of_model = option.opt.recorded and not (option.opt.place or option.opt.shared or option.name == config.decider)
    return of_model and not option.several and option.name != "preset" and config.uses(option)


def _one(option: Option, told: Any) -> Span | Choices:
    if isinstance(told, Mapping) and told.keys() == {"choices"} and isinstance(told["choices"], list):
        for value in told["choices"]:
            option.check(value)
        return Choices(tuple(told["choices"]))
    number = option.kind in (int, float)
    if not number or not isinstance(told, Mapping) or not {"low", "high"} <= told.keys() <= {"low", "high", "log"}:
        span = "{low = ..., high = ..., log = true}" if number else ""
        raise UsageError(f"{option.name} is {' or '.join(filter(None, [span, '{choices = [...]}']))}")
    low, high, log = told["low"], told["high"], told.get("log", False)
    option.check(low)
    option.check(high)
    if not low < high or not isinstance(log, bool) or (log and low <= 0):
        raise UsageError(f"{option.name}: low is to be less than high, and with log = true above 0")
    return Span(low, high, log)


def _read(file: Path) -> Table:
    try:
        return tomllib.loads(file.read_text("utf-8-sig"))
    except OSError as error:
        raise UsageError(f"--space {file}: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"--space {file}: {error}") from None
