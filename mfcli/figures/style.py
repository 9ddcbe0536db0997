"""What all figures look like, and how one is written."""

import itertools
import warnings
from collections.abc import Callable
from typing import IO, Any, cast

import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

BLUE, PALE, ORANGE, GREY, SHADE = "#2b6cb0", "#bee3f8", "#dd6b20", "#4a5568", "#edf2f7"
STYLE: dict[str, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e2e8f0",
    "axes.axisbelow": True,
    "axes.titleweight": "bold",
    "axes.titlesize": 12,
    "font.size": 10,
    "legend.frameon": False,
    "text.parse_math": False,  # a file called a$b$.csv is called that
    "svg.hashsalt": "mfcli",  # the same figure, the same bytes
}
# No dates in the file: the same figure, the same bytes.
UNDATED: dict[str, dict[str, None]] = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
HEIGHT = 4.8  # inches

Floats = npt.NDArray[np.float64]


def write_figure(draw: Callable[[Axes], None], file: IO[bytes], kind: str, dpi: int) -> None:
    """Draw one figure and write it as png, svg or pdf: the same figure, the same bytes."""
    with rc_context(cast(Any, STYLE)), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # a box in its place will do
        figure = Figure(figsize=(7.5, HEIGHT), layout="constrained")
        draw(figure.subplots())
        figure.savefig(file, format=kind, dpi=dpi, metadata=UNDATED[kind])


def legend(ax: Axes, columns: int) -> None:
    """Below the axes, where it covers no data; in one column if a label is long."""
    figure = cast(Figure, ax.figure)
    pairs = [axes.get_legend_handles_labels() for axes in figure.axes]
    handles, labels = (list(itertools.chain(*several)) for several in zip(*pairs, strict=True))
    columns = columns if max(map(len, labels)) <= 50 else 1
    legend = figure.legend(handles, labels, loc="outside lower center", ncols=columns)
    for line in legend.get_lines():
        line.set_alpha(1)  # faint in the figure, legible here


def short(name: str) -> str:
    return name if len(name) <= 32 else f"{name[:20]}…{name[-11:]}"
