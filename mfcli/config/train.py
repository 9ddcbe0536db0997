"""Options of ``mfcli train``."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from mfcli.config.common import SEEDS, Config
from mfcli.config.solvers import PRESETS, SOLVERS
from mfcli.errors import UsageError
from mfcli.option import Opt

BATCH, LARGE_BATCH = 2048, 8192
"""A mini-batch by default: a thirtieth of the training part up to the first, a hundredth up to the second."""

SHAPE = ("solver", "factors", "biases")
"""What must be as it was where vectors are taken over."""

MACHINE = ("device", "threads", "seed")
"""What may be another beside --refit: where it is computed, and from which draws."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Config):
    """Options of ``mfcli train``. The defaults serve MovieLens of every size without tuning."""

    command: ClassVar[str] = "train"
    decider: ClassVar[str] = "solver"
    for_several: ClassVar[bool] = True
    panels: ClassVar = {
        "How it fits": (
            *("biases", "patience", "tolerance", "burn_in", "samples", "batch", "lr", "schedule", "loss"),
            *("l2", "bias_l2", "unclicked", "init_std"),
        ),
        "Search": ("search", "space"),
        "Machine and seed": MACHINE,
    }

    run: Annotated[
        str,
        Opt("Name of the run, to keep several side by side.", is_name=True, place=True, shared=True, metavar="RUN"),
    ] = "default"
    solver: Annotated[
        Literal["adam", "als", "gibbs", "ials"],
        Opt(
            "adam: mini-batches, as in the article. als: alternating least squares, the fastest to a good fit. "
            "gibbs: Bayesian, the most accurate; it tells how sure it is. Both have nothing to tune. "
            "ials: for clicks, plays and purchases."
        ),
    ] = "adam"
    factors: Annotated[int, Opt("Length of a user's and an item's factor vector.", short="-k", range="[1, 4096]")] = 32
    epochs: Annotated[
        int,
        Opt(
            "Passes over the training part at the most; als and ials, defaults "
            f"{SOLVERS['als'].defaults['epochs']} and {SOLVERS['ials'].defaults['epochs']}, stop where more would "
            "change nothing.",
            short="-e",
            range="[1, 1e6]",
            only=("adam", "als", "ials"),
        ),
    ] = 10
    side: Annotated[
        tuple[Literal["auto", "none", "exposure", "items", "users", "time"], ...],
        Opt(
            "Side information, separated by commas: who rated what (exposure), features of items and of users, "
            "days (time, gibbs alone). auto: all there is that the solver can use; ials uses none."
        ),
    ] = ("auto",)
    preset: Annotated[
        Literal["article"] | None,
        Opt("Other defaults: 'article' is the model and the loop of the article, exactly.", only=("adam",)),
    ] = None
    biases: Annotated[
        bool,
        Opt("Model the mean and the biases of users and items beside the factors.", only=("adam", "als", "gibbs")),
    ] = True
    burn_in: Annotated[int, Opt("Sweeps before the first sample that counts.", range="[0, 1e6]", only=("gibbs",))] = 10
    samples: Annotated[int, Opt("Sweeps whose samples are averaged.", range="[1, 1e6]", only=("gibbs",))] = 90
    batch: Annotated[
        int,
        Opt(
            f"Ratings in a mini-batch; 0: a thirtieth of the training part, at most {BATCH}; or a hundredth, at most "
            f"{LARGE_BATCH}; or a thousandth: the most of these.",
            short="-b",
            range="[0, 16777216]",
            only=("adam",),
        ),
    ] = 0
    lr: Annotated[
        float | None,
        Opt(
            f"Learning rate, at the schedule's peak. Default: 0.02 for a batch of {BATCH}, less for smaller ones, "
            "up to 0.06 for larger ones.",
            short="-l",
            range="(0, inf)",
            only=("adam",),
        ),
    ] = None
    schedule: Annotated[
        Literal["one-cycle", "constant"],
        Opt("Learning rate over the run: rise and anneal, or constant.", only=("adam",)),
    ] = "one-cycle"
    loss: Annotated[Literal["mse", "rmse"], Opt("What a batch minimizes, beside L2.", only=("adam",))] = "mse"
    l2: Annotated[
        float,
        Opt(
            "L2 of the factors, λ; a row of n ratings pays λ√n‖p‖². "
            f"ials, default {SOLVERS['ials'].defaults['l2']}: a row whose pairs weigh w in all pays λw‖p‖².",
            range="[0, inf)",
            only=("adam", "ials"),
        ),
    ] = 1.0
    unclicked: Annotated[
        float,
        Opt(
            "Weight, α₀, of each pair of a user and an item; a click weighs 1 more.",
            range="(0, inf)",
            only=("ials",),
        ),
    ] = 0.3
    bias_l2: Annotated[float, Opt("L2 of the biases, scaled likewise.", range="[0, inf)", only=("adam",))] = 0.3
    init_std: Annotated[
        float,
        Opt("Standard deviation of the initial factors.", range="[0, inf)", only=("adam",)),
    ] = 0.05
    tolerance: Annotated[
        float,
        Opt(
            "Stop when a round lowers the objective by less than this share of it.",
            range="[0, 1)",
            only=("als", "ials"),
        ),
    ] = 1e-4
    patience: Annotated[
        int,
        Opt(
            "Epochs without a better validation RMSE (ials: NDCG@10) before stopping early; 0: never stop early.",
            range="[0, inf)",
            only=("adam", "als", "ials"),
        ),
    ] = 5
    warm_start: Annotated[
        str | None,
        Opt(
            "After new ratings: begin with the vectors of RUN, those of new users and items folded in, and train for "
            "a few epochs. Options that are not given are those of RUN.",
            is_name=True,
            metavar="RUN",
        ),
    ] = None
    refit: Annotated[
        str | None,
        Opt(
            "Train with the options of RUN, for as many epochs as were best there, on all ratings, those held out too: "
            "the model to serve.",
            is_name=True,
            metavar="RUN",
        ),
    ] = None
    resume: Annotated[
        bool,
        Opt(
            "Go on from the run's checkpoint, if there is one. It is written after every epoch, but no more than once "
            "a second, and less often, down to once a minute, where writing it takes long.",
            recorded=False,
        ),
    ] = False
    search: Annotated[
        int,
        Opt(
            "Try so many settings, and train with those that predict the validation part best (needs Optuna, which "
            "mfcli's extra 'search' installs). 0: train with the settings as they are.",
            range="[0, 100000]",
            metavar="N",
            recorded=False,
        ),
    ] = 0
    space: Annotated[
        Path | None,
        Opt(
            "What --search chooses, a TOML file: l2 = {low = 0.1, high = 10, log = true} or loss = "
            "{choices = ['mse', 'rmse']}. Default: factors and L2 (ials: --unclicked too) that are not given.",
            metavar="FILE",
            recorded=False,
        ),
    ] = None
    device: Annotated[str, Opt("Where to compute: auto, cpu, cuda or cuda:N.", shared=True, metavar="DEVICE")] = "auto"
    threads: Annotated[int, Opt("CPU threads; 0: as many cores as pay off.", range="[0, 1024]", shared=True)] = 0
    seed: Annotated[
        int,
        Opt("Seed of the initial factors, of the shuffling and of samples.", range=SEEDS, shared=True),
    ] = 1234

    def defaults(self) -> dict[str, Any]:
        return super().defaults() | SOLVERS[self.solver].defaults | PRESETS.get(self.preset or "", {})

    @property
    def lender(self) -> str | None:
        """The run whose options are taken where none are given."""
        return self.refit or self.warm_start

    def check_use(self, insisted: Collection[str] = ()) -> None:
        if not self.resume and self.lender is None:  # else the solver is that of the checkpoint, or of the lender
            self._check_together(insisted)

    def _check_together(self, insisted: Collection[str] = ()) -> None:
        super().check_use(insisted)
        self._check_side()

    def with_options_of(self, lender: Mapping[str, Any]) -> Self:
        """These options, and where none are given those recorded of the lender.

        Raises:
            UsageError: one is given that must be as it is there, or that has no meaning beside the others.
        """
        if self.refit and "warm_start" in self.explicit:
            raise UsageError("--refit and --warm-start exclude each other")
        given = {name: value for name, value in self.recorded().items() if name in self.explicit}
        for name, value in given.items():
            bound = name in SHAPE or (self.refit and name not in ("refit", *MACHINE))
            if bound and value != lender[name]:
                how, flag = "--refit" if self.refit else "--warm-start", self.option(name).flag
                raise UsageError(f"{flag}: {how} goes on from run '{self.lender}', where it is {lender[name]}")
        few = {name: min(value, lender[name]) for name, value in SOLVERS[lender["solver"]].warm.items()}
        # A run that began warm is refitted so, from its own vectors.
        own = {"refit": None, "warm_start": lender["warm_start"] and self.refit}
        found = self.again({**lender, **own, **({} if self.refit else few), **given})
        found._check_together()
        return found

    def check(self) -> None:
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", self.device):
            raise UsageError(f"--device: '{self.device}' is not one of auto, cpu, cuda, cuda:N")
        if self.refit == self.run:
            raise UsageError(f"--refit {self.refit}: name the new run by --run, or nothing is left to compare with")
        if self.search and self.lender is not None:
            raise UsageError("--search chooses settings, and those of --refit and --warm-start are the other run's")
        if self.space is not None and not self.search:
            raise UsageError("--space goes with --search N")

    def _check_side(self) -> None:
        """Either auto or none alone, or kinds that the solver can use."""
        if not self.side:
            raise UsageError("--side: say which, or none")
        for whole in ("auto", "none"):
            if whole in self.side and len(self.side) > 1:
                raise UsageError(f"--side {whole} stands alone")
        for kind in self.side:
            takers = [name for name, solver in SOLVERS.items() if kind in solver.side]
            if takers and self.solver not in takers:
                raise UsageError(f"--side {kind} is for --solver {' or '.join(takers)}, not for {self.solver}")

    @property
    def side_kinds(self) -> tuple[str, ...]:
        """The kinds of side information to be used where there are any."""
        if self.side == ("auto",):
            return SOLVERS[self.solver].side
        return () if self.side == ("none",) else self.side

    @property
    def uses_time(self) -> bool:
        """Whether it matters when ratings were given."""
        return "time" in self.side_kinds

    def batch_for(self, ratings: int) -> int:
        """Ratings in a mini-batch of a training part of that size."""
        return self.batch or max(min(ratings // 30, BATCH), min(ratings // 100, LARGE_BATCH), ratings // 1000, 32)

    def rate_for(self, batch: int) -> float:
        """The schedule's highest learning rate for mini-batches of that size.

        The larger the batch, the fewer the steps and the less their noise. Above 0.06 Adam began to go astray.
        """
        size = batch / BATCH
        return self.lr or 0.02 * (min(size, 4) ** 0.8 if size > 1 else size**0.25)
