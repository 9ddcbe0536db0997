"""From a config to a Typer command: a flag wins over the environment, that over --config, that over the default."""

import functools
import inspect
import os
import re
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from mfcli.cli.complete import completion
from mfcli.cli.console import Output, json_text
from mfcli.cli.memory import require_memory
from mfcli.cli.progress import Terminal
from mfcli.cli.settings import read_settings, settings, settings_toml
from mfcli.config.common import EVERY_COMMAND, Config
from mfcli.errors import UsageError
from mfcli.option import WHAT_IT_TAKES, Option, meant
from mfcli.ranks import place

Body = Callable[[Any, Output], None]
OTHER_VARIABLES = ("MFCLI_CONFIG", "MFCLI_JSON", "MFCLI_QUIET")
"""Those of options that are no field of a config."""
TESTS_VARIABLE = "MFCLI_TEST_DATA"

shown = functools.partial(typer.Option, rich_help_panel=EVERY_COMMAND, show_envvar=False)
JSON = shown("--json", help="Print the result as one JSON document.", envvar="MFCLI_JSON")
QUIET = shown("--quiet", "-q", help="Print nothing but errors and recommendations.", envvar="MFCLI_QUIET")
CONFIG = shown(
    "--config",
    help="Options from FILE (.toml or .json): option names as keys, at the top or in a table [COMMAND]; or the options "
    "that made a result, from its stage.json.",
    metavar="FILE",
    envvar="MFCLI_CONFIG",
)
PRINT_CONFIG = shown("--print-config", help="Print the settings in force, as a file for --config, and do nothing else.")
PATHS = {"FILE", "DIR", "PATH"}
NUMBERS = (int, float)
METAVARS = {int: "N", float: "X", str: "TEXT", Path: "PATH"}
"""What stands for a value in ``--help`` where nothing says more of it."""


class _PlainFlags:
    """Help that has no value behind what takes none: also of the flags that Typer adds, --help and completion's."""

    def get_params(self, ctx: Any) -> list[Any]:
        parameters: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for parameter in parameters:
            if getattr(parameter, "is_flag", False):
                parameter.metavar = ""
        return parameters


class Group(_PlainFlags, TyperGroup):
    """The commands."""


class Command(_PlainFlags, TyperCommand):
    """A command whose options are given once, but for those that take several values."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Raise UsageError for what Typer lets pass.

        An option that holds one value is given twice: one of the two would be lost. A path is empty, as where a shell's
        variable is not set: it would be the folder at hand. A variable says neither yes nor no to a flag.
        """
        values, _, given = self.make_parser(ctx).parse_args(args=list(args))
        for parameter, times in Counter(given).items():
            if not isinstance(parameter, TyperOption):
                continue
            if times > 1 and not parameter.multiple:
                raise UsageError(f"{parameter.opts[0]} is given {times} times, and holds one value")
            value = values[parameter.name]
            is_path = PATHS & {*re.split(r"\W+", parameter.metavar or "")}
            if is_path and "" in (value if isinstance(value, list) else [value]):
                raise UsageError(f"{parameter.opts[0]} is empty")
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            if not isinstance(error.param, TyperOption) or not error.param.is_flag:
                raise
            value = error.param.value_from_envvar(ctx)  # a flag itself has no value
            raise UsageError(f"{error.param.opts[0]}: {value!r} is not {WHAT_IT_TAKES[bool]}") from None


def options(kind: type[Config]) -> Callable[[Body], Callable[..., None]]:
    """Make a Typer command of a function of a config and an Output: the config's fields become its options."""

    def decorate(body: Body) -> Callable[..., None]:
        @functools.wraps(body)
        def command(ctx: typer.Context, **given: Any) -> None:
            first = _first_of_several(kind)
            quiet = given["quiet"] or not first
            output = Output(given["json"] and first, quiet, Terminal(quiet))
            from_file = read_settings(given["config"], kind) if given["config"] else {}
            said, ambient = _given(ctx, kind), _ambient(ctx, kind)
            config = kind.from_mapping(from_file | said, ambient)
            config.check_use(said.keys() - ambient)
            _warn_of_unknown_variables(output.terminal)
            if given["print_config"] and first:
                sys.stdout.write(json_text(settings(config)) if output.json else settings_toml(config))
            elif not given["print_config"]:
                require_memory(kind.command)
                body(config, output)

        parameters = [inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)]
        for option in kind.options():
            parameters += _parameters(option, kind)
        parameters += [
            _keyword("json", False, Annotated[bool, JSON]),
            _keyword("quiet", False, Annotated[bool, QUIET]),
            _keyword("config", None, Annotated[Path | None, CONFIG]),
            _keyword("print_config", False, Annotated[bool, PRINT_CONFIG]),
        ]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return command

    return decorate


def _first_of_several(kind: type[Config]) -> bool:
    """Whether this process may say what comes out: it is alone, or the first. Raises UsageError."""
    here = place()
    if here.world > 1 and not kind.for_several:
        raise UsageError(f"{kind.command} is for one process: run it without torchrun")
    return here.rank == 0


def _keyword(name: str, default: Any, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _parameters(option: Option, kind: type[Config]) -> list[inspect.Parameter]:
    """The Typer parameter of an option, and a hidden one for what it was called formerly.

    Numbers are texts to Typer, so that the option itself refuses what is none.
    """
    one = str if option.kind in NUMBERS else option.kind
    wanted: Any = list[str] if option.several else one
    if option.optional:
        wanted = wanted | None
    default = list(option.default) if option.several else option.default
    if option.opt.argument:
        argument = typer.Argument(help=option.opt.help, metavar=option.flag, autocompletion=completion(option, kind))
        return [_keyword(option.name, default, Annotated[wanted, argument])]
    flag = f"{option.flag}/{option.off_flag}" if option.off_flag else option.flag
    declared = typer.Option(
        *([flag, option.opt.short] if option.opt.short else [flag]),
        help=_help(option),
        rich_help_panel=kind.panel(option),
        metavar=_metavar(option),
        envvar=_variables(option, kind.command),
        show_envvar=False,
        show_default=default not in (None, False, [], 0) or isinstance(default, float),
        autocompletion=completion(option, kind),
    )
    parameters = [_keyword(option.name, default, Annotated[wanted, declared])]
    if option.opt.formerly:
        hidden = typer.Option(f"--{option.opt.formerly}", hidden=True)
        parameters.append(_keyword(option.opt.formerly, None, Annotated[wanted, hidden]))
    return parameters


def _warn_of_unknown_variables(terminal: Terminal) -> None:
    """Warn of every variable MFCLI_* that no option has: it is misspelt, or meant for another version."""
    known = {*OTHER_VARIABLES, TESTS_VARIABLE}
    for kind in Config.__subclasses__():
        known.update(name for option in kind.options() for name in _variables(option, kind.command))
    for name in sorted(os.environ.keys() - known):
        if name.startswith("MFCLI_"):
            terminal.warn(f"no option has the variable {name}{meant(name, known, near=0.8)}")  # all begin alike


def own_variable(kind: type[Config]) -> tuple[str, str]:
    """A flag of a command, the first that has a variable for that command alone, and that variable."""
    option = next(one for one in kind.options() if not one.opt.shared and not one.opt.argument)
    return option.flag, _variables(option, kind.command)[0]


def shared_variables(*kinds: type[Config]) -> list[str]:
    """The variables that serve every command which has the option, sorted: of these commands, else of all."""
    kinds = kinds or tuple(Config.__subclasses__())
    shared = {option.name for kind in kinds for option in kind.options() if option.opt.shared}
    return sorted({*OTHER_VARIABLES, *(f"MFCLI_{name.upper()}" for name in shared)})


def _variables(option: Option, command: str) -> list[str]:
    return [
        f"MFCLI_{name.upper()}" if option.opt.shared else f"MFCLI_{command}_{name}".upper() for name in option.names
    ]


def _help(option: Option) -> str:
    """The help text, behind the values of the deciding option for which it has a meaning."""
    return f"{', '.join(option.opt.only)}: {option.opt.help}" if option.opt.only else option.opt.help


def _metavar(option: Option) -> str | None:
    """What ``--help`` shows in the place of a value: what it is, and its range or its choices; None of flags."""
    if option.kind is bool:
        return None
    if option.choices:
        return "|".join(option.choices)
    return f"{option.opt.metavar or METAVARS[option.kind]} {option.opt.range or ''}".rstrip()


def _given(ctx: typer.Context, kind: type[Config]) -> dict[str, Any]:
    """What flags and the environment say."""
    given: dict[str, Any] = {}
    for option in kind.options():
        for wanted in ("ENVIRONMENT", "COMMANDLINE"):
            for name in filter(None, (option.opt.formerly, option.name)):
                source = ctx.get_parameter_source(name)
                if source is not None and source.name == wanted:
                    given[option.name] = ctx.params[name]
        if option.several and (option.opt.is_name or option.choices or option.kind is int) and option.name in given:
            # "a,b" is "a" and "b", as no choice, no number, and no name that becomes a folder, has a comma.
            given[option.name] = [part for one in given[option.name] for part in one.split(",")]
        if option.kind in NUMBERS and option.name in given:
            said = given[option.name]
            numbers = [_number(one, option.kind) for one in (said if option.several else [said])]
            given[option.name] = numbers if option.several else numbers[0]
    return given


def _ambient(ctx: typer.Context, kind: type[Config]) -> list[str]:
    """The options that a variable of several commands says, and no flag."""
    sources = {option.name: ctx.get_parameter_source(option.name) for option in kind.options() if option.opt.shared}
    return [name for name, source in sources.items() if source is not None and source.name == "ENVIRONMENT"]


def _number(text: str, kind: type[int] | type[float]) -> float | str:
    """The number that the text is, else the text, which the option then refuses."""
    try:
        return kind(text.encode("ascii"))  # other scripts have digits that are numbers to Python alone
    except ValueError:
        return text
