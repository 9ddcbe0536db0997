"""Options of ``mfcli evaluate``."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from mfcli.config.common import RANK_BY, Config, Part, RankBy
from mfcli.errors import UsageError
from mfcli.option import Opt, Option

GATES = "Gates: exit with 7 if one is not met"
TOP = 10
"""Items of the lists of clicks, or of --min-ndcg, unless --top says otherwise."""
OF_LISTS = ("relevant", "rank_by")


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(Config):
    """Options of ``mfcli evaluate``."""

    command: ClassVar[str] = "evaluate"
    panels: ClassVar = {
        GATES: ("max_rmse", "max_mae", "min_ndcg", "better_than_biases", "no_worse_than", "tolerance", "promote")
    }

    run: Annotated[
        tuple[str, ...],
        Opt("The run to evaluate; several for --cross-validate.", is_name=True, shared=True, metavar="RUN"),
    ] = ("default",)
    part: Annotated[Part, Opt("Which part of the ratings to predict.", formerly="split")] = "test"
    top: Annotated[
        tuple[int, ...],
        Opt(
            "Also judge every user's top N, beside the most popular items and chance; several N separated by commas; "
            f"0: do not. Default of clicks: {TOP}.",
            range="[0, inf)",
            metavar="N[,N...]",
        ),
    ] = ()
    rank_by: Annotated[RankBy, RANK_BY] = "likely"
    relevant: Annotated[
        float | None,
        Opt(
            "Rating, of clicks weight, from which a test item counts as relevant to --top. Default: above the training "
            "mean; of clicks all.",
            range="(-inf, inf)",
        ),
    ] = None
    segments: Annotated[
        bool,
        Opt(
            "Also show how good predictions are by how much the user and the item are rated, by rating, genre, who is "
            "known, and time."
        ),
    ] = False
    against: Annotated[
        str | None,
        Opt(
            "Compare with another run, or with the evaluation.json of one, on the same ratings: differences by user, "
            "their 95 % intervals, and how likely chance alone would bring them.",
            metavar="RUN|FILE",
        ),
    ] = None
    all: Annotated[bool, Opt("A table of every run of the directory, in place of one run.", recorded=False)] = False
    cross_validate: Annotated[
        int | None,
        Opt(
            "Cut all ratings of data/ into K folds, fit the settings of each --run to all but one of them, and judge "
            "by that one: K times. Folds that are done are kept: stopped, it goes on from there.",
            range="[2, inf)",
            metavar="K",
        ),
    ] = None
    max_rmse: Annotated[
        float | None,
        Opt("The RMSE may be this at the most.", range="[0, inf)", recorded=False, metavar="X"),
    ] = None
    max_mae: Annotated[
        float | None,
        Opt("The mean absolute error may be this at the most.", range="[0, inf)", recorded=False, metavar="X"),
    ] = None
    min_ndcg: Annotated[
        float | None,
        Opt(
            f"The NDCG of the first --top, else of {TOP}, must be this at the least.",
            range="[0, 1]",
            recorded=False,
            metavar="X",
        ),
    ] = None
    better_than_biases: Annotated[
        bool,
        Opt(
            "The RMSE must be below that of the training mean, and below that of biases alone: of the mean, and what "
            "each user and each item adds to it.",
            recorded=False,
        ),
    ] = False
    no_worse_than: Annotated[
        str | None,
        Opt(
            "The RMSE (of clicks: the NDCG) may be worse than that of another run, or of an evaluation.json, by "
            "--tolerance at the most. Compares as --against does.",
            recorded=False,
            metavar="RUN|FILE",
        ),
    ] = None
    tolerance: Annotated[
        float, Opt("What --no-worse-than lets pass.", range="[0, inf)", recorded=False, metavar="X")
    ] = 0.002
    promote: Annotated[
        str | None,
        Opt(
            "If all gates are met, let the run take the place of this one, which stays as RUN.previous.",
            is_name=True,
            recorded=False,
            metavar="RUN",
        ),
    ] = None

    def check(self) -> None:
        if self.all:
            self._check_alone("--all", ("segments", "against", *self.panels[GATES]))
        if self.cross_validate is not None:
            self._check_alone("--cross-validate", ("all", "part", "segments", "against", *self.panels[GATES]))
        if not self.run or (len(self.run) > 1 and self.cross_validate is None):
            raise UsageError("--run: one at a time, but for --cross-validate")
        if self.against is not None and self.no_worse_than is not None and self.against != self.no_worse_than:
            raise UsageError("--against and --no-worse-than name different runs: leave --against out")
        if self.rival in self.run:
            raise UsageError(f"--run {self.rival} would be compared with itself: name two runs")
        if self.no_worse_than is None and self.tolerance != self.option("tolerance").default:
            raise UsageError("--tolerance goes with --no-worse-than")
        if self.all:
            self.check_lists(self.sizes)
        if self.promote in self.run:
            raise UsageError(f"--promote {self.promote}: that is the run itself; name another by --run")
        if self.min_ndcg is not None and self.top and not self.top[0]:
            raise UsageError("--min-ndcg needs lists: --top 0 makes none")

    def check_lists(self, sizes: Sequence[int]) -> None:
        """Raise UsageError if an option is given that is for lists, and there are lists of no size."""
        for option in map(self.option, OF_LISTS):
            given = option.name in self.explicit - self.ambient and getattr(self, option.name) is not None
            if given and not sizes:
                raise UsageError(f"{option.flag} is for lists: give --top")

    def uses(self, option: Option) -> bool:
        """Also whether there are lists by it, as far as that is known before the data: clicks may have some anyway."""
        at_default = getattr(self, option.name) == option.default
        return super().uses(option) and not (option.name in OF_LISTS and at_default and not self.sizes)

    def why_unused(self, option: Option) -> str | None:
        """Also why --all has no use for --run."""
        if self.all and option.name == "run":
            return "--all and --run exclude each other"
        return super().why_unused(option)

    def _check_alone(self, flag: str, names: Sequence[str]) -> None:
        """Raise UsageError if one of these options is given beside that flag."""
        for name in names:
            option = self.option(name)
            if getattr(self, name) != option.default:
                raise UsageError(f"{flag} and {option.flag} exclude each other")

    @property
    def one_run(self) -> str:
        """The run that is evaluated."""
        return self.run[0]

    @property
    def sizes(self) -> list[int]:
        """Lengths of the lists that --top asks for, ascending."""
        return sorted({size for size in self.top if size})

    def relevant_from(self, mean: float | None) -> float | None:
        """Rating from which an item is relevant: above the training mean unless --relevant says; None if all are.

        Args:
            mean: of the training ratings; None of clicks.
        """
        return math.nextafter(mean, math.inf) if self.relevant is None and mean is not None else self.relevant

    @property
    def demands(self) -> bool:
        """Whether something is asked for that needs ratings to judge by, beyond telling what there is."""
        bounds = self.max_rmse, self.max_mae, self.min_ndcg, self.rival
        return self.better_than_biases or any(one is not None for one in bounds)

    @property
    def rival(self) -> str | None:
        """The run, or the file of the evaluation, that it is compared with."""
        return self.no_worse_than if self.against is None else self.against
