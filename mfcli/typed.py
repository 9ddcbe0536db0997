"""Values that JSON held, checked against the types that they are declared to have."""

import functools
import math
import types
import typing
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal


def typed(kind: Any, value: Any, name: str = "the whole") -> Any:
    """The value, if it is of that kind; numbers have to be finite.

    Args:
        kind: a class such as int, None, Any, a Literal, a union, ``list[x]``, ``tuple[x, y]``, ``tuple[x, ...]``,
            ``dict[str, x]``, or a dataclass, which is made of a dict; what it has no field for is left out.
        value: as ``json.loads`` gives it.
        name: what to call it.

    Raises:
        ValueError: it is of another kind; says what is.
    """
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        return _of_one(inner, value, name)
    if origin is Literal:
        return _checked(type(value) in map(type, inner) and value in inner, value, name)
    if origin in (list, tuple):
        _checked(isinstance(value, list), value, name)
        kinds = inner if origin is tuple and inner[-1] is not ... else inner[:1] * len(value)
        _checked(len(kinds) == len(value), value, name)
        return origin(typed(one, v, f"{name}[{n}]") for n, (one, v) in enumerate(zip(kinds, value, strict=True)))
    if origin is dict:
        _checked(isinstance(value, dict), value, name)
        return {key: typed(inner[1], one, f"{name}.{key}") for key, one in value.items()}
    if is_dataclass(kind) and isinstance(kind, type):
        return _made(kind, value, name)
    if kind is float:
        return _number(value, name)
    kind = types.NoneType if kind is None else kind
    return _checked(isinstance(value, kind) and (kind is bool or not isinstance(value, bool)), value, name)


def _checked(fits: bool, value: Any, name: str) -> Any:
    if not fits:
        text = str(value) if isinstance(value, bool | float | None) else f"of type {type(value).__name__}"
        raise ValueError(f"{name} is {text}")
    return value


def _number(value: Any, name: str) -> float:
    """A finite number as float."""
    _checked(isinstance(value, int | float) and not isinstance(value, bool), value, name)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    return float(_checked(math.isfinite(number), number, name))


def _of_one(kinds: tuple[Any, ...], value: Any, name: str) -> Any:
    """The value as the first of several kinds that it is of. The error is that of the first."""
    wrong = []  # in words: an error kept here would keep this frame, and it all that its callers hold
    for kind in kinds:
        try:
            return typed(kind, value, name)
        except ValueError as error:
            wrong.append(str(error))
    raise ValueError(wrong[0])


_hints = functools.cache(typing.get_type_hints)


def _made(kind: Any, value: Any, name: str) -> Any:
    """The dataclass with these values of its fields."""
    _checked(isinstance(value, dict), value, name)
    hints = _hints(kind)
    given = {one.name: value[one.name] for one in fields(kind) if one.name in value}
    for one in fields(kind):
        if one.name not in given and one.default is MISSING and one.default_factory is MISSING:
            raise ValueError(f"{name} has no {one.name}")
    return kind(**{key: typed(hints[key], one, f"{name}.{key}") for key, one in given.items()})
