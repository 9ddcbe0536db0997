"""Results on standard output: one JSON document, or text for people."""

import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

from mfcli.cli.progress import Terminal
from mfcli.terminal import LEGIBLE, is_terminal, table_text, text_width, visible

Result = TypeVar("Result")


@dataclass(frozen=True)
class Output:
    """How a command is to speak.

    Attributes:
        json: results are JSON documents.
        quiet: say nothing but errors.
        terminal: takes messages and progress.
    """

    json: bool
    quiet: bool
    terminal: Terminal

    def show(self, result: Result, text: Callable[[Result], str], stands: str = "all else is done") -> None:
        """Write a stage's result to standard output: as JSON, else as ``text`` has it, unless quiet.

        ``stands`` is what is true although it cannot be written. Raises OSError.
        """
        shown = json_text(result) if self.json else "" if self.quiet else text(result)
        try:
            sys.stdout.write(shown)
            sys.stdout.flush()
        except OSError as error:
            raise OSError(error.errno, f"{error.strerror}: the result is not shown, but {stands}") from None


def json_text(result: Any) -> str:
    """A dataclass, or what JSON knows, as one JSON document; paths are texts."""
    import json

    document = asdict(result) if is_dataclass(result) and not isinstance(result, type) else result
    return json.dumps(document, indent=2, allow_nan=False, default=_plain) + "\n"


def _plain(value: Any) -> str:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"no JSON for {value!r}")


def table(
    title: str,
    header: Sequence[str],
    rows: Sequence[Sequence[Any]],
    numeric: Sequence[int] = (),
    spare: Sequence[int] = (),
) -> str:
    """:func:`mfcli.terminal.table_text` for standard output."""
    shown = is_terminal(sys.stdout)
    return table_text(title, header, rows, numeric=numeric, spare=spare, elsewhere="--json", terminal=shown)


def pairs(title: str, values: Mapping[str, Any]) -> str:
    """Names and values, below a title where it is not empty: a line each, or several where a value is too long."""
    width = max(map(len, values), default=0)
    lines = [visible(title)] if title else []
    for name, value in values.items():
        first, *others = _wrapped(visible(str(value)), text_width(is_terminal(sys.stdout)) - width - 4)
        lines += [f"  {name:<{width}}  {first}", *(f"  {'':<{width}}  {line}" for line in others)]
    return "\n".join(lines) + "\n"


def _wrapped(text: str, width: int) -> list[str]:
    """The lines of a text, cut at blanks: one if it fits, or if the width is no good for words."""
    if len(text) <= width or width < LEGIBLE:
        return [text]
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
