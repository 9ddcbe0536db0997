"""What all configs share: which options there are, the checks, and what is recorded of them.

A config is a frozen dataclass whose fields are its options (:mod:`mfcli.option`).
"""

import functools
import inspect
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Self

from mfcli.errors import UsageError
from mfcli.option import Opt, Option, either


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
        return f"{option.flag} is for {flag}{either(option.opt.only)}, not for {decided}"

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
