"""What the shell completes: the values that an option can have here and now."""

from collections.abc import Callable
from pathlib import Path

import typer

from mfcli.config.common import Config
from mfcli.option import Option

Completion = Callable[[typer.Context, str], list[str]]


def completion(option: Option, kind: type[Config]) -> Completion | None:
    """What Typer asks for the values that begin as the shell's word does; None where they are not known."""
    if option.choices:
        return _of(lambda _: list(option.choices))
    if "RUN" in (option.opt.metavar or "").split("|"):
        return _of(lambda root: [path.name for path in root.glob("runs/*") if path.is_dir()])
    if option.opt.argument and kind.command == "prepare":
        return _of(lambda root: [path.name for path in root.glob("raw/*") if path.is_dir()])
    if option.opt.argument:
        return _of(_catalogue)
    return None


def _of(values: Callable[[Path], list[str]]) -> Completion:
    """A completion with values that depend on the artifact directory; hidden ones are no values."""

    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        root = Path(ctx.params.get("dir") or "artifacts")
        return sorted(one for one in values(root) if one.startswith(incomplete) and not one.startswith("."))

    return complete


def _catalogue(_: Path) -> list[str]:
    from mfcli.data.catalogue import CATALOGUE, SYNTHETIC

    return [*CATALOGUE, SYNTHETIC]
