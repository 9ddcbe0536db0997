"""What the options of several commands share."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from mfcli.option import Opt
from mfcli.options import Options

EVERY_COMMAND, SELDOM = "Options of every command", "Seldom needed"
SEEDS = "[0, 4294967295]"
Part = Literal["train", "val", "test"]
Feedback = Literal["ratings", "clicks"]
"""What users gave: ratings, or clicks, plays or purchases, which tell who met what."""
RankBy = Literal["likely", "rating", "lower-bound", "exposure"]
RANK_BY = Opt(
    "What makes an item good. likely: how likely the user is to meet it and how well they would like it, together. "
    "rating: the predicted rating alone. lower-bound: that less two standard deviations of the prediction "
    "(solver gibbs). exposure: how likely the user is to meet it.",
    shared=True,
)


@dataclass(frozen=True, kw_only=True)
class Config(Options):
    """What every stage has: where the artifacts are and how long to wait for their lock."""

    panels: ClassVar = {EVERY_COMMAND: ("dir",), SELDOM: ("lock_timeout",)}
    for_several: ClassVar[bool] = False
    """Whether several processes, which torchrun starts, can share the work."""

    dir: Annotated[
        Path,
        Opt("The artifact directory, which all commands share.", short="-d", place=True, shared=True, metavar="DIR"),
    ] = Path("artifacts")
    lock_timeout: Annotated[
        float,
        Opt(
            "Seconds to wait while another mfcli writes to the same place.",
            range="[0, inf)",
            recorded=False,
            shared=True,
        ),
    ] = 10.0
