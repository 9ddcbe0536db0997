"""Options of ``mfcli plot``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from mfcli.config.common import Config, Part
from mfcli.option import Opt


@dataclass(frozen=True, kw_only=True)
class PlotConfig(Config):
    """Options of ``mfcli plot``."""

    command: ClassVar[str] = "plot"

    run: Annotated[str, Opt("The run to plot.", is_name=True, shared=True, metavar="RUN")] = "default"
    compare: Annotated[
        tuple[str, ...],
        Opt("Overlay the learning curves of these runs (repeat, or separate by commas).", metavar="RUN", is_name=True),
    ] = ()
    part: Annotated[Part, Opt("Which part of the ratings the predictions are plotted on.", formerly="split")] = "test"
    format: Annotated[Literal["png", "svg", "pdf"], Opt("Format of the figures.", short="-f")] = "png"
    output: Annotated[
        Path | None,
        Opt("Folder for the figures. Default: plots/ in the run.", short="-o", metavar="DIR", place=True),
    ] = None
    report: Annotated[
        bool,
        Opt(
            "Also write report.html: one page with figures, tables, settings and versions that needs no other file.",
            recorded=False,
        ),
    ] = False
    dpi: Annotated[int, Opt("Dots per inch of a png.", range="[30, 1200]")] = 150
