"""Results on standard output: one JSON document, a table, or names and values."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from mfcli.table import is_terminal, table_text


def show_json(document: Any) -> None:
    """The result as one JSON document on standard output."""
    sys.stdout.write(json.dumps(document, indent=2, allow_nan=False) + "\n")


def show_table(title: str, header: Sequence[str], rows: Sequence[Sequence[Any]], numeric: Sequence[int] = ()) -> None:
    """:func:`mfcli.table.table_text` on standard output."""
    sys.stdout.write(table_text(title, header, rows, numeric=numeric, terminal=is_terminal(sys.stdout)))


def show_pairs(title: str, pairs: Mapping[str, Any]) -> None:
    """Names and values, one a line, on standard output."""
    width = max(map(len, pairs), default=0)
    lines = [title] if title else []
    lines += [f"  {name:<{width}}  {value}" for name, value in pairs.items()]
    sys.stdout.write("\n".join(lines) + "\n")
