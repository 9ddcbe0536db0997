"""What all figures look like, and how one is written."""

import functools
import io
import itertools
import warnings
from collections.abc import Callable
from typing import IO, Any, cast

from matplotlib import font_manager, rc_context, rcdefaults, rcParams
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
    "text.hinting": "no_hinting",  # texts are as wide in every format, and so are measured right
    "svg.hashsalt": "mfcli",  # the same figure, the same bytes
}
OTHER_LETTERS = (
    *("Noto Sans CJK JP", "Hiragino Sans", "Yu Gothic", "Microsoft YaHei", "PingFang SC", "WenQuanYi Micro Hei"),
    *("Noto Sans Devanagari", "Noto Sans Thai", "Noto Sans Bengali", "Noto Sans Tamil", "Arial Unicode MS"),
)
# No dates in the file: the same figure, the same bytes.
UNDATED: dict[str, dict[str, None]] = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
HEIGHT = 4.8  # inches
LETTERS_AN_INCH = 11  # of a legend

Draw = Callable[[Axes], None]
"""Draws a figure on the axes it is given."""


def write_figure(draw: Draw, file: IO[bytes], kind: str, dpi: int) -> None:
    """Draw one figure and write it as png, svg or pdf: the same figure, the same bytes."""
    _write(draw, file, kind, dpi, 7.5, {})


def svg_for_page(draw: Draw) -> tuple[str, bytes]:
    """A figure's title, and the figure without it as the bytes of an svg, legible on a phone and on a desk."""
    file = io.BytesIO()
    ax = _write(draw, file, "svg", 72, 5.2, {"axes.titlesize": 1, "axes.titlecolor": "none", "axes.titlepad": 0})
    return ax.get_title(), file.getvalue()


def _write(draw: Draw, file: IO[bytes], kind: str, dpi: int, width: float, style: dict[str, Any]) -> Axes:
    with rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # a box in its place will do
        rcdefaults()  # not as the user's matplotlibrc has it, which may want a font or a LaTeX that is not there
        rcParams.update(cast(Any, STYLE | {"font.family": list(families())} | style))
        dpi = dpi if kind == "png" else 72  # as what measures texts must know
        figure = Figure(figsize=(width, HEIGHT), dpi=dpi, layout="constrained")
        ax = figure.subplots()
        draw(ax)
        figure.savefig(file, format=kind, dpi=dpi, metadata=UNDATED[kind])
    return ax


@functools.cache
def families() -> tuple[str, ...]:
    """The fonts of texts: Matplotlib's own, and for the letters that it lacks those of OTHER_LETTERS that are here."""
    installed = font_manager.get_font_names()
    return ("DejaVu Sans", *(name for name in OTHER_LETTERS if name in installed))


@functools.cache
def _letters() -> frozenset[int]:
    """Code points of all that :func:`families` can draw."""
    files = (font_manager.findfont(name) for name in families())
    return frozenset(itertools.chain(*(font_manager.get_font(file).get_charmap() for file in files)))


def drawable(text: str) -> bool:
    """Whether the text can be drawn without a box in the place of a letter."""
    return all(ord(letter) in _letters() for letter in text)


def legend(ax: Axes, columns: int) -> None:
    """Below the axes, where it covers no data; in one column if labels are too long for more."""
    figure = cast(Figure, ax.figure)
    pairs = [axes.get_legend_handles_labels() for axes in figure.axes]
    handles, labels = (list(itertools.chain(*several)) for several in zip(*pairs, strict=True))
    if sum(sorted(map(len, labels))[-columns:]) > LETTERS_AN_INCH * figure.get_figwidth():
        columns = 1
    legend = figure.legend(handles, labels, loc="outside lower center", ncols=columns)
    for line in legend.get_lines():
        line.set_alpha(1)  # faint in the figure, legible here


def shortened(name: str) -> str:
    """A name of 32 letters at the most, cut in its middle: names differ at their begin or their end."""
    return name if len(name) <= 32 else f"{name[:20]}…{name[-11:]}"
