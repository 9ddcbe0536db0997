"""The items as the model sees them: near each other are those that the same users like."""

from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

from mfcli.arrays import Float64s
from mfcli.figures.style import BLUE, ORANGE, drawable, shortened
from mfcli.models.model import FactorModel

LABELS, CANDIDATES = 30, 200  # titles at the most, of so many of the best-known items
MANY = 5000  # dots, from which on a drawing of each would make a large file
DOT = 3.0  # points about the middle of a dot that no title may cover
TITLE: dict[str, Any] = {"fontsize": 7.5, "path_effects": [withStroke(linewidth=2, foreground="white")]}


def item_map(ax: Axes, model: FactorModel, titles: Sequence[str]) -> None:
    """The two principal components of the vectors of all items with training ratings; the best-known have their titles.

    Args:
        ax: where.
        model: whose items they are.
        titles: of all items, by row.
    """
    rows = np.flatnonzero(model.counts.items)
    rows = rows[np.argsort(-model.counts.items[rows], kind="stable")]
    places, shares = components(model, rows)
    counts = model.counts.items[rows]
    sizes = 4 + 60 * counts / counts.max()
    ax.scatter(places[:, 0], places[:, 1], sizes, color=BLUE, alpha=0.25, linewidths=0, rasterized=len(rows) > MANY)
    ax.set_title("Items: near each other are those that the same users like")
    for name, axis, share in zip(("first", "second"), (ax.xaxis, ax.yaxis), shares, strict=True):
        axis.set_label_text(f"{name} principal component ({share:.0%} of the variance)")
    named = [(place, shortened(titles[row])) for place, row in zip(places, rows[:CANDIDATES], strict=False)]
    label(ax, [(place, title) for place, title in named if drawable(title)])


def components(model: FactorModel, rows: npt.NDArray[np.intp]) -> tuple[Float64s, Float64s]:
    """(rows, 2) places of items, and the shares of the variance along these two.

    An item's vector counts as far as users differ in what they think of it: it is multiplied with the root of the
    covariance of the users' vectors, so that distances are in rating points and the same however factors are scaled.
    """
    users = model.factors.users[model.counts.users > 0].astype(np.float64)
    values, basis = np.linalg.eigh(np.cov(users.T, ddof=0).reshape(model.n_factors, -1))
    items = model.factors.items[rows].astype(np.float64) @ (basis * np.sqrt(values.clip(0)))
    items -= items.mean(0)
    values, basis = np.linalg.eigh(items.T @ items)
    axes = np.zeros((len(basis), 2))
    axes[:, : min(2, len(basis))] = basis[:, ::-1][:, :2]
    axes *= np.where(axes[np.abs(axes).argmax(0), [0, 1]] < 0, -1, 1)  # signs differ between machines
    shares = np.append(values[::-1], 0)[:2] / max(values.sum(), 1e-300)
    return items @ axes, shares


def label(ax: Axes, named: Sequence[tuple[Float64s, str]]) -> list[Annotation]:
    """Write titles beside their places, the first ones first; one that would cover another or its dot is left out."""
    figure = cast(Figure, ax.figure)
    figure.draw_without_rendering()  # so that the axes are where they will be
    pixels = figure.dpi / 72
    frame, taken, written = ax.get_window_extent(), list[Bbox](), list[Annotation]()
    for place, title in named:
        if len(written) == LABELS:
            break
        x, y = ax.transData.transform(place)
        dot = Bbox.from_extents(x - DOT * pixels, y - DOT * pixels, x + DOT * pixels, y + DOT * pixels)
        text = ax.annotate(title, (place[0], place[1]), (0, 0), textcoords="offset points", **TITLE)
        size = text.get_window_extent()
        box = next((box for box in _around(dot, size) if _fits(box, frame, [*taken, dot])), None)
        if box is None or dot.count_overlaps(taken):
            text.remove()
            continue
        text.set_position(((box.x0 - size.x0) / pixels, (box.y0 - size.y0) / pixels))
        taken += [box, dot]
        written.append(text)
        ax.plot(*place, color=ORANGE, marker="o", markersize=3)
    return written


def _around(dot: Bbox, size: Bbox) -> Iterator[Bbox]:
    """Where a title of that size may stand: to the right of its dot, to the left, above, below, and between these."""
    x, y = (dot.x0 + dot.x1) / 2, (dot.y0 + dot.y1) / 2
    for right, up in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1)):
        left = x + right * (1.2 * dot.width + size.width) / 2 - size.width / 2
        bottom = y + up * (1.2 * dot.height + size.height) / 2 - size.height / 2
        yield Bbox.from_bounds(left, bottom, size.width, size.height)


def _fits(box: Bbox, frame: Bbox, taken: list[Bbox]) -> bool:
    """Whether a box lies within the frame and on nothing that is there."""
    within = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
    return within and not box.count_overlaps(taken)
