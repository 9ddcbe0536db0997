"""What the solvers differ in, as far as options go, a line each; and the preset."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Table = Mapping[str, Mapping[str, Any]]
"""A space as a file has it: ``l2 = {low = 0.1, high = 10, log = true}``, ``loss = {choices = ["mse", "rmse"]}``."""

FACTORS = {"low": 8, "high": 128, "log": True}


@dataclass(frozen=True)
class SolverOptions:
    """What holds of the options of ``mfcli train`` with one solver.

    Attributes:
        warm: the most that a warm start does, where nothing is given; the run that it begins with may have less.
        space: what ``--search`` chooses where no file says otherwise: about the defaults, up to a factor of ten to both
            sides.
        side: the kinds of side information that it can use.
        defaults: in the place of TrainConfig's.
    """

    warm: dict[str, int]
    space: Table
    side: tuple[str, ...] = ()
    defaults: dict[str, Any] = field(default_factory=dict)


SOLVERS = {
    "adam": SolverOptions(
        warm={"epochs": 3},
        space={
            "factors": FACTORS,
            "l2": {"low": 0.1, "high": 10.0, "log": True},
            "bias_l2": {"low": 0.03, "high": 3.0, "log": True},
        },
        side=("exposure", "items", "users"),
    ),
    "als": SolverOptions(
        warm={"epochs": 3},
        space={"factors": FACTORS},
        side=("exposure", "items", "users"),
        defaults={"epochs": 15},
    ),
    "gibbs": SolverOptions(
        warm={"burn_in": 4, "samples": 25},
        space={"factors": FACTORS},
        side=("exposure", "items", "users", "time"),
    ),
    "ials": SolverOptions(
        warm={"epochs": 4},
        space={
            "factors": {"low": 16, "high": 256, "log": True},
            "l2": {"low": 0.001, "high": 0.1, "log": True},
            "unclicked": {"low": 0.03, "high": 3.0, "log": True},
        },
        defaults={"biases": False, "l2": 0.01, "factors": 64, "epochs": 30},
    ),
}
"""Every solver by the name that ``--solver`` gives it; the choices of that option are these (a test compares them)."""

PRESETS: dict[str, dict[str, Any]] = {
    "article": {
        "side": ("none",),
        "biases": False,
        "factors": 100,
        "epochs": 30,
        "batch": 32,
        "lr": 1e-3,
        "schedule": "constant",
        "loss": "rmse",
        "l2": 0.0,
        "bias_l2": 0.0,
        "init_std": 1.0,
        "patience": 0,
    },
}
"""The defaults that ``preset`` puts in the place of TrainConfig's."""
