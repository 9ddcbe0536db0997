"""The option mechanism: a field of a config is a flag, an environment variable, a key of ``--config`` and an argument.

A config is a frozen dataclass whose fields say in their annotations what the option means and may be::

    l2: Annotated[float, Opt("L2 of the factors.", range="[0, inf)")] = 1.0

Here stands what all configs share: which options there are, the checks, and what is recorded of them. ``cli/option.py``
makes a command's parameters of them.
"""

import functools
import inspect
import re
import types
import typing
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

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


def listed(words: Sequence[str]) -> str:
    """Words as a sentence lists them: ``a``, ``a or b``, ``a, b or c``."""
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


@dataclass(frozen=True, kw_only=True)
class Options:
    """Base of all configs. Whatever cannot be is refused when the config is made.

    Attributes:
        command: name of the command whose options these are.
        decider: the option whose value decides for which others there is a use (``Opt.only``).
        panels: heading in ``--help`` -> the options below it. The others stand at the top.
        explicit: names of the options that were given; the others have their defaults. No option itself.
        ambient: names of those that a variable of several commands gave. Where such an option has no use, it keeps its
            default: the variable is meant for other commands. No option itself.
    """

    command: ClassVar[str] = ""
    decider: ClassVar[str] = ""
    panels: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    explicit: frozenset[str] = field(default=frozenset(), init=False, repr=False, compare=False)
    ambient: frozenset[str] = field(default=frozenset(), repr=False, compare=False)

    def __new__(cls, **given: Any) -> Self:
        """Remember what is given: the dataclass's ``__init__`` cannot tell it from a default."""
        self = super().__new__(cls)
        object.__setattr__(self, "explicit", frozenset(given) - {"ambient"})
        return self

    def __post_init__(self) -> None:
        """Check, take the defaults that depend on other options, check again. Raises UsageError."""
        for option in self.options():
            option.check(getattr(self, option.name))
        self._take_defaults()
        unused = {name for name in self.ambient if not self.uses(self.option(name))}
        if unused:
            object.__setattr__(self, "explicit", self.explicit - unused)
            self._take_defaults()
        self.check_use()
        self.check()

    def _take_defaults(self) -> None:
        """Give every option its default that was not given."""
        for name, value in self.defaults().items():
            if name not in self.explicit:
                object.__setattr__(self, name, value)

    def check(self) -> None:
        """Raise UsageError where options contradict each other. For subclasses."""

    @classmethod
    @functools.cache
    def options(cls) -> tuple[Option, ...]:
        """The options, those of the class itself before those of its bases."""
        defaults = {f.name: f.default for f in fields(cls)}
        return tuple(
            Option.of(name, annotation, defaults[name])
            for kind in cls.__mro__
            for name, annotation in inspect.get_annotations(kind).items()
            if any(isinstance(one, Opt) for one in getattr(annotation, "__metadata__", ()))
        )

    @classmethod
    def option(cls, name: str) -> Option:
        """The option of that name. Raises UsageError if there is none."""
        for option in cls.options():
            if option.name == name:
                return option
        raise UsageError(f"no option is called '{name}'")

    def defaults(self) -> dict[str, Any]:
        """Name -> value of every option that is not given. Subclasses may let it depend on those that are."""
        return {option.name: option.default for option in self.options()}

    @classmethod
    def panel(cls, option: Option) -> str | None:
        """The heading below which an option stands in ``--help``; None at the top."""
        for kind in cls.__mro__:
            for heading, names in getattr(kind, "panels", {}).items():
                if option.name in names:
                    return str(heading)
        return None

    def check_use(self, insisted: Collection[str] = ()) -> None:
        """Raise UsageError if an option that has no use beside the others is not at its default.

        Args:
            insisted: names of those that must have a use even at their defaults: somebody has asked for them.
        """
        defaults = self.defaults()
        for option in self.options():
            reason = self.why_unused(option)
            asked = option.name in insisted or getattr(self, option.name) != defaults[option.name]
            if reason is not None and asked:
                raise UsageError(reason)

    def uses(self, option: Option) -> bool:
        """Whether the option has a use beside the others."""
        return self.why_unused(option) is None

    def why_unused(self, option: Option) -> str | None:
        """Why the option has no use beside the others, as an error says it; None if it has one. For subclasses, too."""
        if not option.opt.only or getattr(self, self.decider) in option.opt.only:
            return None
        decider, decided = self.option(self.decider), getattr(self, self.decider)
        flag = "" if decider.opt.argument else f"{decider.flag} "
        return f"{option.flag} is for {flag}{listed(option.opt.only)}, not for {decided}"

    def recorded(self) -> dict[str, Any]:
        """The options that made a result, as JSON (and TOML) can hold them."""
        kept = [option for option in self.options() if option.opt.recorded and not option.opt.place]
        return {option.name: option.plain(getattr(self, option.name)) for option in kept}

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], ambient: Iterable[str] = ()) -> Self:
        """The config that a JSON or TOML table describes. Raises UsageError on unknown keys and bad values.

        Args:
            values: option -> value.
            ambient: the options that a variable of several commands gave.
        """
        options = {name: cls.option(name).from_plain(value) for name, value in values.items()}
        return cls(**options, ambient=frozenset(ambient))

    def but(self, **others: Any) -> Self:
        """The same config with other values of some options. What is not given stays so, as ``replace`` would not."""
        return type(self)(**{name: getattr(self, name) for name in self.explicit} | others, ambient=self.ambient)

    def again(self, recorded: Mapping[str, Any]) -> Self:
        """The config that made a result with these recorded options: they, and what else this config says."""
        options = self.recorded()
        rest = {o.name: getattr(self, o.name) for o in self.options() if o.name not in options}
        return type(self)(**rest | {name: self.option(name).from_plain(value) for name, value in recorded.items()})

    def contradiction(self, recorded: Mapping[str, Any]) -> str | None:
        """Flag of the first option that was given, and not as it is recorded there; None if there is none."""
        for name, value in self.recorded().items():
            if name in self.explicit and recorded.get(name) != value:
                return self.option(name).flag
        return None

    def shell_line(self, *, placed: bool = True) -> str:
        """The command that makes the result again, quoted for a shell; options with their defaults are left out.

        Args:
            placed: whether it says where the result lies.
        """
        import shlex

        defaults, words = self.defaults(), ["mfcli", self.command]
        for option in self.options():
            value = getattr(self, option.name)
            told = placed if option.opt.place else option.opt.recorded
            if option.opt.argument or (told and value != defaults[option.name]):
                words += option.words(value)
        return shlex.join(words)
