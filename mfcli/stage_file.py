"""A stage's stage.json: what it says, and the seal by which it is seen to be whole."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from mfcli.atomic import from_json, to_json
from mfcli.outputs import Output
from mfcli.typed import typed

STAGE_FILE = "stage.json"
FORMAT = 2


class OtherVersion(ValueError):
    """A file that a version of mfcli with another layout has written: it is whole, and of no use here."""

    def __init__(self) -> None:
        super().__init__("is of another version of mfcli")


@dataclass(frozen=True)
class Body:
    """What it says.

    Attributes:
        format: version of this layout.
        command: that made the stage.
        config: its options.
        device: where it was computed, if that matters.
        versions: of the libraries that shaped it.
        inputs: name -> SHA-256 of what it was made from.
        outputs: path within the stage -> the file.
        results: what the command says of it.
    """

    format: int
    command: str
    config: dict[str, Any]
    device: str | None
    versions: dict[str, str]
    inputs: dict[str, str]
    outputs: dict[str, Output]
    results: dict[str, Any]

    def __post_init__(self) -> None:
        for name in self.outputs:
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or not name.isprintable():
                raise ValueError(f"{name!r} is not within the stage")


def seal(value: dict[str, Any]) -> str:
    """SHA-256 of what JSON can hold: the same value, the same text."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def sealed(body: dict[str, Any]) -> bytes:
    """The file's bytes, with its format and its seal."""
    whole = {"format": FORMAT} | body
    return to_json(whole | {"seal": seal(whole)}).encode()


def unsealed(content: bytes) -> dict[str, Any]:
    """What the file of these bytes says, as JSON has a :class:`Body`. Raises OtherVersion, ValueError if damaged."""
    try:
        body = from_json(content)
        mark, version = body.pop("seal"), body["format"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError("is damaged") from None
    if version != FORMAT:
        raise OtherVersion
    if mark != seal(body):
        raise ValueError("is damaged")
    try:
        typed(Body, body)
    except ValueError as error:
        raise ValueError(f"is damaged: {error}") from None
    return dict(body)
