"""How a run learnt: what it records of itself, and the lines of its history.jsonl."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mfcli.models.measures import MEASURES, Key
from mfcli.typed import typed

FILE = "history.jsonl"
LARGEST = 1e100  # number of a history; no training comes near, and figures cannot show much more
EPOCH = dict[str, bool | float | str | list[float] | None]


@dataclass(frozen=True)
class Learnt:
    """What a run records of how it learnt. The fields are those of :class:`mfcli.training.Trained`, the result."""

    epoch_name: str
    averages_samples: bool
    train_measure: Key
    validation_measure: Key
    epochs: int
    best_epoch: int
    factors: int
    explained: dict[str, float]
    train_rmse: float | None = None
    train_loss: float | None = None
    validation_rmse: float | None = None
    validation_ndcg: float | None = None

    @property
    def in_words(self) -> str:
        """How good it is, in words: on the validation part, without that on the training part."""
        part, key = "validation", self.validation_measure
        value = getattr(self, f"validation_{key}", None)
        if value is None:
            part, key = "train", self.train_measure
            value = getattr(self, f"train_{key}", None)
        return f"{part} {MEASURES[key].name} {'unknown' if value is None else format(value, '.4f')}"


def explanations(explained: Mapping[str, float]) -> dict[str, str]:
    """What side information explains, in words: ``exposure``, ``features`` or ``time`` -> of what, and how much.

    Args:
        explained: kind -> share, as :meth:`mfcli.solvers.base.Solver.explained` has it.
    """
    told = dict[str, list[str]]()
    for kind, share in explained.items():
        if kind == "time":
            name, of = kind, "ratings"
        else:
            name, _, of = kind.rpartition(" of ")
        told.setdefault(name or "features", []).append(f"{share:.0%} of how {of} differ")
    return {name: " and ".join(shares) for name, shares in told.items()}


def read_epochs(content: bytes, measure: str) -> list[dict[str, Any]]:
    """The lines of a history, an epoch each, at least one. Raises ValueError as :func:`checked_epochs` does."""
    try:
        epochs = checked_epochs([json.loads(line) for line in content.decode().splitlines()], measure)
    except RecursionError:
        raise ValueError("a line is nested too deep") from None
    if not epochs:
        raise ValueError("there are no epochs")
    return epochs


def checked_epochs(epochs: list[Any], measure: str) -> list[dict[str, Any]]:
    """Records of epochs as they are. Raises ValueError if one is not what an epoch comes to.

    Args:
        epochs: any number.
        measure: by which the training part is judged; as ``train_rmse``.
    """
    for number, epoch in enumerate(typed(list[EPOCH], epochs, "epochs"), 1):
        rmses = epoch.get("batch_rmse", [])
        if epoch.get("epoch") != number or not isinstance(epoch.get(measure), float) or not isinstance(rmses, list):
            raise ValueError(f"epoch {number} has not its number, {measure} or batch_rmse")
        numbers = [value for name, value in epoch.items() if name not in ("batch_rmse", "phase", "converged")]
        if any(isinstance(value, str | bool | list) or abs(value or 0) > LARGEST for value in (*numbers, *rmses)):
            raise ValueError(f"epoch {number} has what is no number, or too large a one")
    return epochs
