"""What a terminal shows: whether a stream is one, and tables as wide as it."""

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

UNBOUNDED = 10_000  # columns of text, where no terminal sets a width
LEGIBLE, LEGIBLE_LIST = 16, 25
"""Columns of text that a table's column of words, or of lists of them, keeps before others are left out."""

GAP = 3  # columns of text between two columns of a table

OBEYED = re.compile("[\0-\x1f\x7f-\x9f\u061c\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""What a terminal would act on and not show: escapes, line ends, changes of the direction of writing."""


def visible(text: str) -> str:
    """A text for people, in which what a terminal would obey stands written out, as ``\\x1b`` does."""
    return text if text.isprintable() else OBEYED.sub(lambda found: repr(found[0])[1:-1], text)


def is_terminal(stream: Any) -> bool:
    """Whether bars and colours make sense there."""
    try:
        return bool(stream.isatty()) and os.environ.get("TERM") != "dumb"
    except ValueError:  # closed
        return False


def text_width(terminal: bool) -> int:
    """Columns that a line of text may take: the terminal's if one shows it, or as the variable COLUMNS says, or any."""
    bounded = terminal or "COLUMNS" in os.environ
    return shutil.get_terminal_size((UNBOUNDED, 0)).columns if bounded else UNBOUNDED


def table_text(
    title: str,
    header: Sequence[Any],
    rows: Sequence[Sequence[Any]],
    *,
    numeric: Sequence[int] = (),
    spare: Sequence[int] = (),
    elsewhere: str,
    terminal: bool,
) -> str:
    """A table no wider than :func:`text_width`, without the columns in which nothing is.

    Args:
        title: above the table; '' for none.
        header: names of the columns, as cells.
        rows: cells, shown with str() and :func:`visible`, never read as markup; of a list each element has a line.
        numeric: places of the columns that stand to the right, each cell on one line. The others are wrapped.
        spare: places of the columns that can be done without, in the order in which they are left out until all fit.
            A line below the table names them.
        elsewhere: the option that shows them all.
        terminal: whether a terminal will show it.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    width = text_width(terminal)
    filled = [place for place in range(len(header)) if not rows or any(any(_lines(row[place])) for row in rows)]
    shown = _fitting({place: [row[place] for row in (header, *rows)] for place in filled}, numeric, spare, width)
    table = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
    )
    for place in shown:
        stays = place in numeric
        name = Text("\n".join(_lines(header[place])))
        table.add_column(name, justify="right" if stays else "left", no_wrap=stays, overflow="fold")
    for row in rows:
        table.add_row(*(Text("\n".join(_lines(row[place]))) for place in shown))
    console = Console(width=width, highlight=False, markup=False, emoji=False, force_terminal=terminal)
    with console.capture() as capture:
        if title:
            console.print(Text(visible(title), "bold"))
        console.print(table)
        if missing := [header[place] for place in filled if place not in shown]:
            console.print(f"Too wide to show: {', '.join(missing)}. A wider terminal or {elsewhere} shows all.")
    return "\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n"


def _lines(cell: Any) -> list[str]:
    """The lines of a cell."""
    return [visible(str(line)) for line in (cell if isinstance(cell, list) else [cell])]


def _fitting(
    columns: Mapping[int, Sequence[Any]], numeric: Sequence[int], spare: Sequence[int], width: int
) -> list[int]:
    """Places of the columns that are shown, all but the spare ones that do not fit beside legible others.

    Args:
        columns: place -> head and cells.
        numeric, spare: as of :func:`table_text`.
        width: of the table.
    """
    needed = {}
    for place, cells in columns.items():
        needed[place] = max(len(line) for cell in cells for line in _lines(cell))
        if place not in numeric:
            legible = LEGIBLE_LIST if any(isinstance(cell, list) for cell in cells) else LEGIBLE
            needed[place] = min(needed[place], legible)
    for place in spare:
        if sum(needed.values()) + GAP * len(needed) > width:
            needed.pop(place, None)
    return list(needed)
