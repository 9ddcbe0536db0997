"""From the options to the solver that they name, if it can learn from such data."""

from dataclasses import replace

from mfcli.arrays import Int32s
from mfcli.config.train import TrainConfig
from mfcli.data.ratings import Ratings, Sides
from mfcli.data.shared import Chosen, SharedRatings
from mfcli.data.training import TrainingData
from mfcli.errors import DataError, UsageError
from mfcli.solvers.base import Solver
from mfcli.solvers.compute import Compute
from mfcli.solvers.scaled import Scaled, scale_of

WRITABLE = (2.0**-126, 2.0**127)
"""Standard deviations of ratings by which float32 can divide, and multiply again."""

SQUARABLE = (1e-15, 1e15)
"""Standard deviations of ratings whose squares, and what is made of them, float32 can hold."""


def create(config: TrainConfig, data: TrainingData, compute: Compute) -> Solver:
    """The solver of these options, ready for its first epoch, whatever unit the ratings have."""
    kind = solver_class(config.solver)
    if compute.world > 1 and isinstance(data.train, Ratings):
        data = replace(data, train=SharedRatings.of(data.train, own(config, data.train.counts, compute)))
    scale = 1.0 if kind.method.of_clicks else scale_of(data.train)
    if scale == 1:
        return kind(config, data, compute)
    return Scaled(kind(config, data.divided(scale), compute), scale)


def own(config: TrainConfig, counts: Sides[Int32s], compute: Compute) -> Chosen:
    """Which ratings of the training part the solver wants in this one of several processes.

    Args:
        config, compute: as the solver will be built with.
        counts: training ratings of every user and item.
    """
    return solver_class(config.solver).own(config, counts, compute)


def solver_class(name: str) -> type[Solver]:
    """The class of that name. No other solver's module is imported."""
    match name:
        case "adam":
            from mfcli.solvers.adam import Adam

            return Adam
        case "als":
            from mfcli.solvers.als import Als

            return Als
        case "gibbs":
            from mfcli.solvers.gibbs import Gibbs

            return Gibbs
        case "ials":
            from mfcli.solvers.ials import Ials

            return Ials
    raise ValueError(f"no solver is called '{name}'")


def check_fits(solver: str, feedback: str, train: Ratings | SharedRatings) -> None:
    """Raise UsageError or DataError unless the solver can learn from such data."""
    of_clicks = solver_class(solver).method.of_clicks
    if of_clicks and feedback == "ratings":
        raise UsageError(
            f"--solver {solver} learns from clicks, and the data are ratings: "
            "run `mfcli prepare` with --as-clicks, or train with --solver als"
        )
    if not of_clicks and feedback == "clicks":
        raise UsageError(f"--solver {solver} learns from ratings, and the data are clicks: train with --solver ials")
    if not of_clicks and train.summary.alike:
        raise DataError(
            f"all {len(train):,} training ratings are {train.summary.mean:g}, so there is nothing to predict: "
            "run `mfcli prepare` with --as-clicks, and train with --solver ials"
        )
    if of_clicks:
        return
    summary = train.summary
    ratings = f"the ratings are from {summary.minimum:g} to {summary.maximum:g}"
    if not WRITABLE[0] <= summary.std <= WRITABLE[1]:
        raise DataError(f"{ratings}, too large or too small to compute with: use another unit")
    if solver == "gibbs" and not SQUARABLE[0] <= summary.std <= SQUARABLE[1]:
        raise DataError(
            f"{ratings}, and gibbs keeps their variances, which are too large or too small to write down: "
            "use another unit, or train with --solver als"
        )
