"""Every run of an artifact directory in a line each."""

import time
from dataclasses import dataclass
from typing import Any

from mfcli.atomic import from_json, open_regular
from mfcli.config.train import TrainConfig
from mfcli.errors import UsageError
from mfcli.judging.evaluation_file import Evaluated
from mfcli.models.bootstrap import Interval
from mfcli.models.run import TIMING
from mfcli.record import Record
from mfcli.typed import typed


@dataclass(frozen=True)
class Line:
    """A run, and how good it is.

    Attributes:
        run: its name.
        solver: that fitted it.
        settings: its options that are not at their defaults, in short; ``defaults`` if all are.
        ratings: how many it is judged by; None, as the next are, if nothing is held out.
        rmse, rmse_interval: None of clicks too.
        ndcg: length of its lists -> NDCG, where an evaluation had lists.
        others: whether it is judged by other ratings than the first run of the table, so that the two do not compare.
        seconds: that training took; None if that is not known.
        age: seconds since it was trained.
    """

    run: str
    solver: str
    settings: str
    ratings: int | None
    rmse: float | None
    rmse_interval: Interval | None
    ndcg: dict[int, float]
    others: bool
    seconds: float | None
    age: float


@dataclass(frozen=True)
class Roster:
    """The result of ``evaluate --all``.

    Attributes:
        part: of the ratings that the runs are judged by.
        runs: the finished ones, the latest last.
    """

    part: str
    runs: list[Line]


def line(record: Record, evaluated: Evaluated | None, seconds: float | None, first: str | None) -> Line:
    """The line of a run.

    Args:
        record: of the run.
        evaluated: what its evaluation.json holds, or None if nothing is held out.
        seconds: as :func:`training_seconds` has them.
        first: digest of the part that the first run of the table is judged by.
    """
    evaluation = {} if evaluated is None else evaluated.result
    ranking, interval = evaluation.get("ranking"), evaluation.get("rmse_interval")
    return Line(
        run=record.name,
        solver=str(record.config.get("solver")),
        settings=in_short(record.config),
        ratings=evaluation.get("ratings"),
        rmse=evaluation.get("rmse"),
        rmse_interval=None if interval is None else (interval[0], interval[1]),
        ndcg={one["n"]: one["run"]["NDCG"] for one in ranking["lists"]} if ranking else {},
        others=evaluated is not None and evaluated.inputs["part"] != first,
        seconds=seconds,
        age=time.time() - record.made_at,
    )


def in_short(recorded: dict[str, Any]) -> str:
    """The options of a run that are not at their defaults: ``factors 8, l2 1.5``; ``defaults`` if there are none."""
    refit = recorded.get("refit")  # of whatever name the run is: it may have been promoted to that one's place
    try:
        config = TrainConfig.from_mapping(recorded | {"refit": None})
    except UsageError:  # made by a version of mfcli that has other options
        return "?"
    defaults = config.defaults()
    changed = {
        option.name.replace("_", "-"): getattr(config, option.name)
        for option in config.options()
        if option.name in recorded and option.name != "solver" and getattr(config, option.name) != defaults[option.name]
    }
    changed |= {} if refit is None else {"refit": refit}
    return ", ".join(f"{name} {_text(value)}" for name, value in changed.items()) or "defaults"


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return "+".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value).lower()


def training_seconds(record: Record) -> float | None:
    """How long the training of the run that lies there took; None if that is not known."""
    try:
        with open_regular(record.path / TIMING) as file:
            return float(typed(dict[str, float], from_json(file.read()))["seconds"])
    except (OSError, ValueError, KeyError, RecursionError):  # a run of an earlier mfcli
        return None
