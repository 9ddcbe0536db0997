"""Results on standard output: one JSON document, a table, or names and values."""

import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Any


def is_terminal(stream: Any) -> bool:
    """Whether bars and colours make sense there."""
    try:
        return bool(stream.isatty()) and os.environ.get("TERM") != "dumb"
    except ValueError:  # closed
        return False


def show_json(document: Any) -> None:
    """The result as one JSON document on standard output."""
    sys.stdout.write(json.dumps(document, indent=2, allow_nan=False) + "\n")


def table_text(title: str, header: Sequence[str], rows: Sequence[Sequence[Any]], numeric: Sequence[int] = ()) -> str:
    """A table as standard output should show it: as wide as the terminal, or as wide as it needs where there is none.

    Args:
        title: above the table; '' for none.
        header: names of the columns.
        rows: cells, shown with str(), never read as markup.
        numeric: which columns are flushed right.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(
        box=box.SIMPLE_HEAD, show_edge=False, title=Text(title, "bold") if title else None, title_justify="left"
    )
    for place, name in enumerate(header):
        right = place in numeric
        # Only columns that may wrap give way, so texts do before figures; their cells are cut, as they may not.
        table.add_column(Text(name), justify="right" if right else "left", no_wrap=right, overflow="ellipsis")
    for row in rows:
        table.add_row(*(Text(str(cell), no_wrap=True, overflow="ellipsis") for cell in row))
    terminal = is_terminal(sys.stdout)
    width = shutil.get_terminal_size((10_000, 0)).columns  # COLUMNS, where it is a width, else the terminal's
    console = Console(width=width, highlight=False, markup=False, emoji=False, force_terminal=terminal)
    with console.capture() as capture:
        console.print(table)
    return "\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n"


def show_table(title: str, header: Sequence[str], rows: Sequence[Sequence[Any]], numeric: Sequence[int] = ()) -> None:
    """:func:`table_text` on standard output."""
    sys.stdout.write(table_text(title, header, rows, numeric))


def show_pairs(title: str, pairs: Mapping[str, Any]) -> None:
    """Names and values, one a line, on standard output."""
    width = max(map(len, pairs), default=0)
    lines = [title] if title else []
    lines += [f"  {name:<{width}}  {value}" for name, value in pairs.items()]
    sys.stdout.write("\n".join(lines) + "\n")
