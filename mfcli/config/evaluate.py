"""Options of ``mfcli evaluate``."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from mfcli.config.common import RANK_BY, Config, Part, RankBy
from mfcli.option import Opt


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(Config):
    """Options of ``mfcli evaluate``."""

    command: ClassVar[str] = "evaluate"

    run: Annotated[str, Opt("The run to evaluate.", is_name=True, shared=True)] = "default"
    part: Annotated[Part, Opt("Which part of the ratings to predict.", formerly="split")] = "test"
    max_rmse: Annotated[
        float | None,
        Opt("Exit with 7 if the RMSE is above this.", range="[0, inf)", recorded=False),
    ] = None
    top: Annotated[
        tuple[int, ...],
        Opt(
            "Also judge every user's top N, beside the most popular items and chance; several N separated by commas; "
            "0: do not. Default of clicks: 10.",
            range="[0, inf)",
            metavar="N[,N...]",
        ),
    ] = ()
    rank_by: Annotated[RankBy, RANK_BY] = "likely"
    relevant: Annotated[
        float | None,
        Opt(
            "Rating from which a test item counts as relevant to --top. Default: above the training mean.",
            range="(-inf, inf)",
        ),
    ] = None
