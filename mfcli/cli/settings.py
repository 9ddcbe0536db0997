"""Files of options: what ``--config`` reads and ``--print-config`` writes."""

import json
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mfcli.config.common import Config
from mfcli.errors import UsageError
from mfcli.option import Option, at_home, meant

RECORDED = {"command", "config", "outputs"}
"""Keys of a stage.json that tell it from a file of options."""


def read_settings(file: Path, kind: type[Config]) -> dict[str, Any]:
    """A file's values for one command, by the names of the config's fields, each of which may be.

    The file holds options, at the top or in a table of the command's name, or it is the ``stage.json`` that the command
    has written, and holds those that made the stage. Raises UsageError.
    """
    table = _read(file)
    values = _of_stage(file, table, kind) if table.keys() >= RECORDED else _of_command(file, table, kind)
    for option in kind.options():
        if option.name in values:
            try:
                option.check(option.from_plain(values[option.name]))
            except UsageError as error:
                raise UsageError(f"--config {file}: {error}") from None
    return values


def _of_command(file: Path, table: dict[str, Any], kind: type[Config]) -> dict[str, Any]:
    """The options that a file holds for a command. Raises UsageError for what is no option, in any of its tables."""
    kinds = Config.__subclasses__()
    commands, known = {one.command for one in kinds}, {key for one in kinds for key in _keys(one)}
    for key, value in table.items():
        if isinstance(value, dict):
            _require(key, commands, f"--config {file}: no command is called '{key}'")
        else:
            _require(key, known, f"--config {file}: no option is called '{key}'")
    own, keys = table.get(kind.command, {}), _keys(kind)
    for key in own:
        _require(key, keys, f"--config {file}: {kind.command} has no option '{key}'")
    top = {key: value for key, value in table.items() if not isinstance(value, dict) and _key(key) in keys}
    return {keys[_key(key)]: value for key, value in [*top.items(), *own.items()]}


def settings(config: Config) -> dict[str, dict[str, Any]]:
    """The settings in force, as :func:`read_settings` takes them from a file, in a table of the command's name.

    Left out are options without a value, and those without a use beside the others.
    """
    values = {option.name: option.plain(getattr(config, option.name)) for option in _in_use(config)}
    return {config.command: {name: value for name, value in values.items() if value is not None}}


def settings_toml(config: Config) -> str:
    """:func:`settings` as TOML; options without a value are comments."""
    (values,) = settings(config).values()
    lines = [f"{o.name} = {_toml(values[o.name])}" if o.name in values else f"# {o.name} =" for o in _in_use(config)]
    return "\n".join([f"[{config.command}]", *lines]) + "\n"


def _in_use(config: Config) -> list[Option]:
    """The options that have a use beside the others, and those given all the same (beside --resume)."""
    defaults = config.defaults()
    return [one for one in config.options() if config.uses(one) or getattr(config, one.name) != defaults[one.name]]


def _toml(value: Any) -> str:
    """A value as TOML writes it: as JSON does, but for the letters that only TOML wants escaped."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f").replace("Infinity", "inf")


def _read(file: Path) -> dict[str, Any]:
    """The table in a TOML or JSON file. Raises UsageError."""
    try:
        text = at_home(file).read_bytes().decode("utf-8-sig")  # Windows puts a byte order mark in front
        table = json.loads(text) if file.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise UsageError(f"--config {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"--config {file}: not UTF-8 text") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--config {file}: {error}") from None
    if not isinstance(table, dict):
        raise UsageError(f"--config {file}: not a table of options")
    return table


def _of_stage(file: Path, record: dict[str, Any], kind: type[Config]) -> dict[str, Any]:
    """The options that a stage.json records. Raises UsageError if they are another command's."""
    command, options, keys = str(record["command"]).split()[1:2], record["config"], _keys(kind)
    if command != [kind.command] or not isinstance(options, dict):
        raise UsageError(f"--config {file}: made by `{record['command']}`, and holds no options of {kind.command}")
    for key in options:
        _require(key, keys, f"--config {file}: {kind.command} has no option '{key}'")
    return {keys[_key(key)]: value for key, value in options.items()}


def _require(key: str, known: Iterable[str], message: str) -> None:
    """Raise UsageError with the message, and what may be meant, unless the key is known."""
    if _key(key) not in known:
        raise UsageError(message + meant(_key(key), known))


def _keys(kind: type[Config]) -> dict[str, str]:
    """What a file may call a command's options -> name of the config's field."""
    return {name: option.name for option in kind.options() for name in option.names}


def _key(text: str) -> str:
    return text.replace("-", "_")
