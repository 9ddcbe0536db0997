"""From a config to a Typer command: a flag wins over the environment, that over --config, that over the default."""

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from mfcli.cli.console import Output
from mfcli.cli.progress import Terminal
from mfcli.config import Config
from mfcli.errors import UsageError
from mfcli.option import Option

Body = Callable[[Any, Output], None]


CONFIG = typer.Option(
    "--config",
    help="Options from FILE (.toml or .json): option names as keys, at the top or in a table [COMMAND].",
    metavar="FILE",
    envvar="MFCLI_CONFIG",
    show_envvar=False,
)
JSON = typer.Option(
    "--json", help="Print the result as one JSON document.", metavar="", envvar="MFCLI_JSON", show_envvar=False
)
QUIET = typer.Option(
    "--quiet",
    "-q",
    help="Print nothing but errors and recommendations.",
    metavar="",
    envvar="MFCLI_QUIET",
    show_envvar=False,
)


def options(kind: type[Config]) -> Callable[[Body], Callable[..., None]]:
    """Make a Typer command of a function of a config and an Output: the config's fields become its options."""

    def decorate(body: Body) -> Callable[..., None]:
        @functools.wraps(body)
        def command(ctx: typer.Context, **given: Any) -> None:
            file, as_json, quiet = given.pop("config"), given.pop("json"), given.pop("quiet")
            from_file = _for_command(_read(file), kind) if file else {}
            body(kind.from_mapping(from_file | _given(ctx, kind)), Output(as_json, quiet, Terminal(quiet)))

        parameters = [inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)]
        for option in kind.options():
            parameters += _parameters(option, kind.command)
        parameters += [
            _keyword("config", None, Annotated[Path | None, CONFIG]),
            _keyword("json", False, Annotated[bool, JSON]),
            _keyword("quiet", False, Annotated[bool, QUIET]),
        ]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return command

    return decorate


def _keyword(name: str, default: Any, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _parameters(option: Option, command: str) -> list[inspect.Parameter]:
    """The Typer parameter of an option, and a hidden one for what it was called formerly."""
    kind: Any = list[str] if option.several else option.kind
    if option.optional:
        kind = kind | None
    default = list(option.default) if option.several else option.default
    if option.opt.argument:
        argument = typer.Argument(help=option.opt.help, metavar=option.flag)
        return [_keyword(option.name, default, Annotated[kind, argument])]
    flag = f"{option.flag}/{option.off_flag}" if option.off_flag else option.flag
    declared = typer.Option(
        *([flag, option.opt.short] if option.opt.short else [flag]),
        help=_help(option),
        metavar=_metavar(option),
        envvar=_variables(option, command),
        show_envvar=False,
        show_default=default not in (None, False, [], 0) or isinstance(default, float),
        autocompletion=(lambda: list(option.choices)) if option.choices else None,
    )
    parameters = [_keyword(option.name, default, Annotated[kind, declared])]
    if option.opt.formerly:
        hidden = typer.Option(f"--{option.opt.formerly}", hidden=True)
        parameters.append(_keyword(option.opt.formerly, None, Annotated[kind, hidden]))
    return parameters


def _variables(option: Option, command: str) -> list[str]:
    return [
        f"MFCLI_{name.upper()}" if option.opt.shared else f"MFCLI_{command}_{name}".upper() for name in option.names
    ]


def _help(option: Option) -> str:
    """The help text, behind the values of the deciding option for which it has a meaning."""
    return f"{', '.join(option.opt.only)}: {option.opt.help}" if option.opt.only else option.opt.help


def _metavar(option: Option) -> str:
    """What ``--help`` shows in the place of a value: what it is, and its range or its choices."""
    if option.kind is bool:
        return ""
    if option.choices:
        return "|".join(option.choices)
    return f"{option.opt.metavar or f'<{option.kind.__name__.lower()}>'} {option.opt.range or ''}".rstrip()


def _given(ctx: typer.Context, kind: type[Config]) -> dict[str, Any]:
    """What flags and the environment say."""
    given: dict[str, Any] = {}
    for option in kind.options():
        for wanted in ("ENVIRONMENT", "COMMANDLINE"):
            for name in filter(None, (option.opt.formerly, option.name)):
                source = ctx.get_parameter_source(name)
                if source is not None and source.name == wanted:
                    given[option.name] = ctx.params[name]
        if option.several and (option.opt.is_name or option.choices) and option.name in given:
            # "a,b" is "a" and "b", as no choice, and no name that becomes a folder, has a comma.
            given[option.name] = [part for one in given[option.name] for part in one.split(",")]
    return given


def _read(file: Path) -> dict[str, Any]:
    """The table in a TOML or JSON file. Raises UsageError."""
    import json
    import tomllib

    try:
        content = file.read_bytes()
        table = json.loads(content) if file.suffix == ".json" else tomllib.loads(content.decode())
    except OSError as error:
        raise UsageError(f"--config {file}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--config {file}: {error}") from None
    if not isinstance(table, dict):
        raise UsageError(f"--config {file}: not a table of options")
    return table


def _for_command(table: dict[str, Any], kind: type[Config]) -> dict[str, Any]:
    """The file's values for one command: those at the top that it knows, then its own table's. Raises UsageError."""
    kinds = Config.__subclasses__()
    commands, known = {one.command for one in kinds}, {key for one in kinds for key in _keys(one)}
    for key, value in table.items():
        if (key not in commands) if isinstance(value, dict) else (_key(key) not in known):
            raise UsageError(f"--config: no option or command is called '{key}'")
    keys, own = _keys(kind), table.get(kind.command, {})
    for key in own:
        if _key(key) not in keys:
            raise UsageError(f"--config: {kind.command} has no option '{key}'")
    top = {key: value for key, value in table.items() if not isinstance(value, dict) and _key(key) in keys}
    return {keys[_key(key)]: value for key, value in [*top.items(), *own.items()]}


def _keys(kind: type[Config]) -> dict[str, str]:
    """What --config may call a command's options -> name of the config's field."""
    return {name: option.name for option in kind.options() for name in option.names}


def _key(text: str) -> str:
    return text.replace("-", "_")
