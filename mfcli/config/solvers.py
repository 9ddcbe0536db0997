"""What the solvers differ in, as far as options go: defaults, warm starts, side information; and the preset."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class SolverOptions:
    """What holds of the options of ``mfcli train`` with one solver.

    Attributes:
        warm: the most that a warm start does, where nothing is given; the run that it begins with may have less.
        defaults: in the place of TrainConfig's.
        side: the kinds of side information that it can use.
    """

    warm: dict[str, int]
    defaults: dict[str, Any] = field(default_factory=dict)
    side: tuple[str, ...] = ()


SOLVERS = {
    "adam": SolverOptions(warm={"epochs": 3}, side=("exposure", "items", "users")),
    "als": SolverOptions(warm={"epochs": 3}, defaults={"epochs": 15}, side=("exposure", "items", "users")),
    "gibbs": SolverOptions(warm={"burn_in": 1, "samples": 28}, side=("exposure", "items", "users", "time")),
    "ials": SolverOptions(warm={"epochs": 4}, defaults={"biases": False, "l2": 0.01, "factors": 64, "epochs": 30}),
}
"""Every solver by the name that ``--solver`` gives it."""

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
