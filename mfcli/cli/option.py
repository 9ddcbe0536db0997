"""From config dataclasses to options: a flag wins over the environment, that over --config, that over the default."""

import dataclasses
import functools
import inspect
import json
import tomllib
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from mfcli.cli.progress import Terminal
from mfcli.config import PRESETS, Config, info
from mfcli.errors import UsageError

Body = Callable[[Any, "Output"], None]


@dataclasses.dataclass(frozen=True)
class Output:
    """How a command is to speak."""

    json: bool
    quiet: bool
    terminal: Terminal


COMMON: tuple[tuple[str, Any, Any], ...] = (
    (
        "config",
        None,
        Annotated[
            Path | None,
            typer.Option(
                "--config",
                help="Options from FILE (.toml or .json): option names as keys, at the top or in a table [COMMAND].",
                metavar="FILE",
                envvar="MFCLI_CONFIG",
                show_envvar=False,
            ),
        ],
    ),
    (
        "json",
        False,
        Annotated[
            bool,
            typer.Option(
                "--json", help="Print the result as one JSON document.", envvar="MFCLI_JSON", show_envvar=False
            ),
        ],
    ),
    (
        "quiet",
        False,
        Annotated[
            bool,
            typer.Option(
                "--quiet",
                "-q",
                help="Say nothing but errors, and print nothing but what was asked for by name.",
                envvar="MFCLI_QUIET",
                show_envvar=False,
            ),
        ],
    ),
)
"""What every command takes beside its config: parameter, default, declaration."""


def options(kind: type[Config]) -> Callable[[Body], Callable[..., None]]:
    """Make a Typer command of a function of a config and an Output: the config's fields become its options."""

    def decorate(body: Body) -> Callable[..., None]:
        command_name = body.__name__
        hints = typing.get_type_hints(kind)
        parameters = [inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)]
        parameters += [_parameter(f, hints[f.name], command_name) for f in dataclasses.fields(kind)]
        parameters += [_keyword(name, default, annotation) for name, default, annotation in COMMON]

        @functools.wraps(body)
        def command(ctx: typer.Context, **given: Any) -> None:
            file, as_json, quiet = given.pop("config"), given.pop("json"), given.pop("quiet")
            values = _merge(ctx, kind, command_name, given, _from_file(file) if file else {})
            body(kind.from_mapping(values), Output(as_json, quiet, Terminal(quiet)))

        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return command

    return decorate


def _keyword(name: str, default: Any, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _parameter(f: "dataclasses.Field[Any]", wanted: Any, command: str) -> inspect.Parameter:
    """The Typer parameter of a config field."""
    rule, default = info(f), f.default
    if typing.get_origin(wanted) is tuple:
        wanted, default = list[str], list(typing.cast(tuple[str, ...], default))
    if rule.argument:
        return _keyword(f.name, default, Annotated[wanted, typer.Argument(help=rule.help, metavar=f.name.upper())])
    flags = rule.flags or (f"--{f.name.replace('_', '-')}",)
    # By the field's name and by its long flag's, where they differ (source, --from).
    names = dict.fromkeys([f.name, *(g.partition("/")[0][2:].replace("-", "_") for g in flags if g.startswith("--"))])
    variables = [f"MFCLI_{n.upper()}" if rule.shared else f"MFCLI_{command.upper()}_{n.upper()}" for n in names]
    declared = typer.Option(
        *flags,
        help=rule.help,
        metavar=rule.metavar or ("|".join(rule.choices) if rule.choices else None),
        envvar=variables,
        show_envvar=False,
        show_default=default not in (None, False, [], 0) or isinstance(default, float),
    )
    return _keyword(f.name, default, Annotated[wanted, declared])


def _merge(
    ctx: typer.Context, kind: type[Config], command: str, given: dict[str, Any], table: dict[str, Any]
) -> dict[str, Any]:
    """Flags and environment, then the file, then the preset; what none of them says is left to the config's default."""
    from_file = _for_command(table, command, kind)
    lists = {f.name for f in dataclasses.fields(kind) if info(f).is_name and isinstance(given[f.name], list)}
    explicit = {}
    for name, value in given.items():
        source = ctx.get_parameter_source(name)
        if source is not None and source.name in ("COMMANDLINE", "ENVIRONMENT"):
            # "a,b" is "a" and "b", as a name that becomes a folder has no comma.
            explicit[name] = [part for one in value for part in one.split(",")] if name in lists else value
    values = from_file | explicit
    preset = values.get("preset")
    return (PRESETS.get(preset, {}) if isinstance(preset, str) else {}) | values


def _keys(kind: type[Config]) -> dict[str, str]:
    """What --config may call a command's options, their names and their long flags -> name of the config's field."""
    keys = {f.name: f.name for f in dataclasses.fields(kind)}
    for f in dataclasses.fields(kind):
        keys |= {_key(flag[2:].split("/")[0]): f.name for flag in info(f).flags if flag.startswith("--")}
    return keys


def _key(text: str) -> str:
    return text.replace("-", "_")


def _for_command(table: dict[str, Any], command: str, kind: type[Config]) -> dict[str, Any]:
    """The file's values for one command: those at the top that it knows, then its own table's. Raises UsageError."""
    kinds, keys = Config.__subclasses__(), _keys(kind)
    commands = {one.__name__.removesuffix("Config").lower() for one in kinds}
    every = {key for one in kinds for key in _keys(one)}
    for key, value in table.items():
        if (key not in commands) if isinstance(value, dict) else (_key(key) not in every):
            raise UsageError(f"--config: no option or command is called '{key}'")
    own = table.get(command, {})
    for key in own:
        if _key(key) not in keys:
            raise UsageError(f"--config: {command} has no option '{key}'")
    top = {key: value for key, value in table.items() if not isinstance(value, dict) and _key(key) in keys}
    return {keys[_key(key)]: value for key, value in [*top.items(), *own.items()]}


def _from_file(file: Path) -> dict[str, Any]:
    """The table in a TOML or JSON file. Raises UsageError."""
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
