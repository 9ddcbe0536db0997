"""An option: a field of a config is a flag, an environment variable, a key of ``--config`` and an argument.

A config is a frozen dataclass whose fields say in their annotations what the option means and may be::

    l2: Annotated[float, Opt("L2 of the factors.", range="[0, inf)")] = 1.0

``cli/option.py`` makes a command's parameters of them.
"""

import re
import types
import typing
from collections.abc import Iterable, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, Literal

from mfcli.errors import UsageError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
WHAT_IT_TAKES = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", Path: "a path"}


class Interval:
    """The numbers between two bounds, written as in mathematics: ``[0, 1)`` holds 0, but not 1."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.low, self.high = (float(bound) for bound in text[1:-1].split(","))

    def __contains__(self, value: float) -> bool:
        above = value >= self.low if self.text.startswith("[") else value > self.low
        below = value <= self.high if self.text.endswith("]") else value < self.high
        return above and below


@dataclass(frozen=True, eq=False)
class Opt:
    """What an option is beside the name, type and default of its field.

    Attributes:
        help: what it does, for ``--help``.
        flag: its long flag, where that is not the field's name; the field's name stays valid elsewhere.
        short: its short flag.
        formerly: an older name, still understood everywhere but shown nowhere.
        range: the numbers it takes, as an :class:`Interval`. Texts that are chosen from a few are a ``Literal``.
        metavar: what stands for the value in ``--help``.
        argument: it is given by its place, without a flag.
        is_name: it becomes a folder's name.
        only: the values of the config's ``decider`` for which it has a meaning; for all of them if empty.
        recorded: it makes a difference to the result, so it is kept in the result's stage.json.
        place: it says where the result lies, not what it is: not recorded, but part of the command that makes it.
        shared: one variable, MFCLI_<OPTION>, serves all commands.
    """

    help: str
    _: KW_ONLY
    flag: str | None = None
    short: str | None = None
    formerly: str | None = None
    range: str | None = None
    metavar: str | None = None
    argument: bool = False
    is_name: bool = False
    only: tuple[str, ...] = ()
    recorded: bool = True
    place: bool = False
    shared: bool = False


@dataclass(frozen=True, eq=False)
class Option:
    """An option of a config: its field and its :class:`Opt`.

    Attributes:
        name: the field's.
        kind: int, float, bool, str or Path; of one element where it takes several.
        choices: the texts it takes, where they are few.
        optional: whether it may be None.
        several: whether it takes a tuple.
        default: the field's.
        opt: the rest.
    """

    name: str
    kind: type
    choices: tuple[str, ...]
    optional: bool
    several: bool
    default: Any
    opt: Opt

    @classmethod
    def of(cls, name: str, annotation: Any, default: Any) -> "Option":
        """Read the annotation ``Annotated[kind, Opt(...)]``."""
        kind, opt = typing.get_args(annotation)
        optional = several = False
        if types.NoneType in typing.get_args(kind):
            kind, optional = next(one for one in typing.get_args(kind) if one is not types.NoneType), True
        if typing.get_origin(kind) is tuple:
            kind, several = typing.get_args(kind)[0], True
        choices = typing.get_args(kind) if typing.get_origin(kind) is Literal else ()
        return cls(name, str if choices else kind, choices, optional, several, default, opt)

    @property
    def flag(self) -> str:
        """Its long flag, or what stands for it where it has none."""
        if self.opt.argument:
            return self.name.upper()
        return self.opt.flag or "--" + self.name.replace("_", "-")

    @property
    def off_flag(self) -> str | None:
        """The flag that switches it off, if it is on by default."""
        return f"--no-{self.flag.removeprefix('--')}" if self.kind is bool and self.default else None

    @property
    def names(self) -> list[str]:
        """What it may be called in variables and in files, its own name first."""
        flag = self.flag.removeprefix("--").replace("-", "_").lower()
        return list(dict.fromkeys([self.name, flag] + ([self.opt.formerly] if self.opt.formerly else [])))

    def check(self, value: Any) -> None:
        """Raise UsageError unless the value has the option's type and lies in its range."""
        if value is None and self.optional:
            return
        if self.several and not isinstance(value, tuple):
            raise UsageError(f"{self.flag}: {value!r} is not a list")
        for one in value if self.several else (value,):
            self._check_one(one)

    def _check_one(self, value: Any) -> None:
        if self.choices and value not in self.choices:
            raise UsageError(f"{self.flag}: {value!r} is not one of {', '.join(self.choices)}")
        if not _is_a(value, self.kind):
            raise UsageError(f"{self.flag}: {value!r} is not {WHAT_IT_TAKES[self.kind]}")
        if self.opt.is_name and not NAME.fullmatch(value):
            raise UsageError(
                f"{self.flag}: {value!r} is no name (letters, digits, '.', '_' and '-', not first '.' or '-')"
            )
        if self.opt.range is not None and value not in Interval(self.opt.range):
            raise UsageError(f"{self.flag}: {value} is not in {self.opt.range}")

    def from_plain(self, value: Any) -> Any:
        """The option's value, from what JSON or TOML can hold; still to be checked. Raises UsageError."""
        if isinstance(value, list):
            return tuple(self._one_from_plain(one) for one in value)
        one = self._one_from_plain(value)
        return (one,) if self.several and not isinstance(one, tuple) else one

    def _one_from_plain(self, value: Any) -> Any:
        if self.kind is Path and value == "":
            raise UsageError(f"{self.flag} is empty")
        if self.kind is Path and isinstance(value, (str, Path)):
            return at_home(Path(value))
        if self.kind is str and isinstance(value, int) and not isinstance(value, bool):
            return str(value)  # an id, bare in the file
        return value

    def plain(self, value: Any) -> Any:
        """What JSON or TOML can hold of the option's value."""
        if isinstance(value, tuple):
            return [self.plain(one) for one in value]
        return str(value) if isinstance(value, Path) else value

    def words(self, value: Any) -> list[str]:
        """What a command line says to give the option this value."""
        if value is None:
            return []
        if self.opt.argument:
            return [str(value)]
        if isinstance(value, bool):
            return [self.flag if value else self.off_flag or ""]
        return [word for one in (value if self.several else [value]) for word in (self.flag, str(one))]


def at_home(path: Path) -> Path:
    """The path with a ~ or ~NAME at its start as a shell has it: a flag's `=` and quotes keep shells from it."""
    try:
        return path.expanduser()
    except RuntimeError:  # nobody's home: a name that begins so, or an account without one
        return path


def either(words: Sequence[str]) -> str:
    """Words of which one is meant, as a sentence has them: ``a``, ``a or b``, ``a, b or c``."""
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def meant(word: str, known: Iterable[str], near: float = 0.7) -> str:
    """What a misspelt word may stand for, in brackets behind a message; '' where no known word is near."""
    import difflib

    return "".join(f" (is {one} meant?)" for one in difflib.get_close_matches(word, known, n=1, cutoff=near))


def _is_a(value: Any, kind: type) -> bool:
    """isinstance, but a bool is no number, and a whole number is a number."""
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)
