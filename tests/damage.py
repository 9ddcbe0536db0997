"""What can happen to the files of an artifact directory: damage of every kind, and files well sealed but wrong.

A damage is a name and a function of a file's path. The name says what was done, so that a case can be found again.
"""

import copy
import hashlib
import io
import json
import math
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mfcli.checkpoint import Checkpoint
from mfcli.stage_file import STAGE_FILE, seal

Damage = tuple[str, Callable[[Path], None]]
Content = tuple[str, bytes]
HUGE = 10**400  # no float is as large
VALUES = (
    None,
    "x",
    "",
    -1,
    0,
    3,
    0.5,
    1e308,
    HUGE,
    float("nan"),
    float("inf"),
    True,
    [],
    [1],
    {},
    {"x": 1},
    2**31,
    2**63,
)


# ── what lies in a file's place ──────────────────────────────────────────────────────────────────────────────────────


def _gone(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _instead(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        _gone(path)
        make(path)

    return damage


def _socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # the address of a socket is short
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(path.name)
    os.chdir(here)


def replacements() -> Iterator[Damage]:
    """What may lie in a file's place that is no such file."""
    yield "gone", _gone
    yield "folder", _instead(lambda path: path.mkdir())
    yield "full folder", _instead(lambda path: (path / "x").mkdir(parents=True))
    yield "link loop", _instead(lambda path: path.symlink_to(path.name))
    yield "link to nothing", _instead(lambda path: path.symlink_to("nothing"))
    yield "fifo", _instead(lambda path: os.mkfifo(path))
    yield "link to a fifo", _instead(lambda path: (os.mkfifo(f"{path}.fifo"), path.symlink_to(f"{path.name}.fifo")))
    yield "socket", _instead(_socket)
    yield "device", _instead(lambda path: path.symlink_to("/dev/zero"))
    yield "full device", _instead(lambda path: path.symlink_to("/dev/full"))
    yield "empty device", _instead(lambda path: path.symlink_to("/dev/null"))


# ── other bytes ──────────────────────────────────────────────────────────────────────────────────────────────────────


def other_bytes(content: bytes) -> Iterator[Content]:
    """Content of a file that was flipped, cut, emptied, or written by something else."""
    middle, end = len(content) // 2, len(content) - 1
    for place in {0, 4, 9, middle // 2, middle, end - 6, end}:
        if 0 <= place <= end:
            yield f"flipped at {place}", content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :]
    for size in {0, 1, 8, middle, end}:
        if size < len(content):
            yield f"cut to {size}", content[:size]
    yield "longer", content + b"\0"
    yield "twice", content * 2
    yield "zeros", bytes(len(content))
    yield "text", b"nothing of the kind\n"
    yield "json", b"{}"


# ── other values ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(min(2, len(value))):
            yield from _paths(value[key], (*path, key))


def other_values(document: Any) -> Iterator[tuple[str, Any]]:
    """JSON documents that differ from one in one place: a value of another type, out of range, or absent."""
    for path in _paths(document):
        name = ".".join(map(str, path))
        for value in ("absent", *VALUES):
            changed = copy.deepcopy(document)
            place = changed
            for key in path[:-1]:
                place = place[key]
            if value != "absent":
                if _is_plausible(value, place[path[-1]]):
                    continue
                place[path[-1]] = value
            else:
                del place[path[-1]]
            yield f"{name} = {'10**400' if value is HUGE else value!r}", changed


def _is_plausible(value: Any, instead: Any) -> bool:
    """Whether nobody can know that it is not the right one: a text for a text, a number for a number."""
    if isinstance(value, str | bool) or isinstance(instead, bool):
        return type(value) is type(instead)
    numbers = isinstance(value, int | float) and isinstance(instead, int | float)
    return value == instead or (numbers and value is not HUGE and math.isfinite(value))


def other_records(content: bytes) -> Iterator[Content]:
    """Contents of a stage.json, sealed well, with one wrong value."""
    body = json.loads(content)
    del body["seal"]
    for name, changed in other_values(body):
        yield name, _sealed(changed)
    for value in (None, [], 1, "x"):
        yield f"the whole = {value!r}", json.dumps(value).encode()


def _sealed(body: dict[str, Any]) -> bytes:
    """The bytes of a stage.json, whatever it says."""
    return json.dumps(body | {"seal": seal(body)}).encode()


def other_lines(content: bytes) -> Iterator[Content]:
    """Contents of a file of JSON lines with one wrong value in its last line; or lines that are none."""
    *before, last = content.splitlines()
    for name, changed in other_values(json.loads(last)):
        yield name, b"\n".join([*before, json.dumps(changed).encode()]) + b"\n"
    for value in (b"", b"null", b"[]", b"1", b"\xff", b"[" * 100_000):
        yield f"last line {value[:9]!r}", b"\n".join([*before, value]) + b"\n"


def other_arrays(arrays: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Arrays that differ from others in one of them: its type, its shape, its numbers, or that it is there."""
    for name, array in arrays.items():
        changed: dict[str, Any] = {"absent": None, "flat": array.reshape(-1), "deeper": array[None]}
        with np.errstate(all="ignore"):
            changed |= {kind: array.astype(kind) for kind in ("float16", "float64", "int8", "bool")}
        changed["empty"] = np.atleast_1d(array)[:0]
        changed |= {"scalar": np.zeros((), array.dtype)}
        if array.ndim and len(array):
            changed |= {"a row less": array[:-1], "a row more": np.concatenate([array, array[-1:]])}
        if array.ndim == 2 and array.shape[1]:
            changed |= {"a column less": array[:, :-1].copy(), "turned": array.T.copy()}
        if array.size:
            values = (np.nan, np.inf, -1e38) if array.dtype.kind == "f" else (-1, np.iinfo(array.dtype).max)
            for value in values if array.dtype.kind in "fi" else ():
                other = array.copy()
                other.reshape(-1)[-1] = value
                changed[f"one is {value}"] = other
        for what, other in changed.items():
            same = other is not None and other.shape == array.shape and other.dtype == array.dtype
            if same and np.array_equal(other, array):
                continue
            yield f"{name}: {what}", {k: v for k, v in (arrays | {name: other}).items() if v is not None}
    yield "one more array", arrays | {"more": np.zeros(3, np.float32)}
    yield "no arrays", {}


def other_tensors(content: bytes) -> Iterator[Content]:
    """Contents of a safetensors file with one wrong array or one wrong scalar."""
    from safetensors.numpy import load, save

    arrays = load(content)
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
    for name, changed in other_arrays(arrays):
        yield name, save({k: np.ascontiguousarray(v) for k, v in changed.items()}, metadata=header)
    for name, changed in other_values(json.loads(header["mfcli"])):
        yield name, save(arrays, metadata={"mfcli": json.dumps(changed)})
    for text in ("", "[]", "null", "[" * 100_000):
        yield f"scalars {text[:9]!r}", save(arrays, metadata={"mfcli": text})
    yield "no scalars", save(arrays)


def other_checkpoints(path: Path) -> Iterator[Damage]:
    """A checkpoint with one wrong array or one wrong value, and with its own digest."""
    found = Checkpoint.load(path)
    for name, arrays in other_arrays(found.arrays):
        yield name, Checkpoint(arrays, found.values).save
    for name, values in other_values(found.values):
        yield name, Checkpoint(found.arrays, values).save


def other_tables(content: bytes) -> Iterator[Content]:
    """Contents of a parquet file with one wrong column, or with other rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(content))
    names, n = table.column_names, len(table)

    def packed(other: Any) -> bytes:
        out = io.BytesIO()
        pq.write_table(other, out)
        return out.getvalue()

    for place, column in enumerate(names):
        field = table.schema.field(column)
        yield f"{column}: absent", packed(table.remove_column(place))
        yield f"{column}: of another name", packed(table.rename_columns([*names[:place], "x", *names[place + 1 :]]))
        yield f"{column}: twice", packed(table.append_column(field, table[column]))
        for what, other in _other_columns(table[column], field.type):
            changed = pa.field(column, other.type, metadata=field.metadata)
            yield f"{column}: {what}", packed(table.set_column(place, changed, other))
        for text in (b"", b"[]", b"null", b"{}", b'[{"name": 1}]', b"[" * 100_000) if field.metadata else ():
            changed = pa.field(column, field.type, metadata=dict.fromkeys(field.metadata, text))
            yield f"{column}: metadata {text[:9]!r}", packed(table.set_column(place, changed, table[column]))
    yield "no rows", packed(table.slice(0, 0))
    yield "half the rows", packed(table.slice(0, n // 2))
    yield "rows twice", packed(pa.concat_tables([table, table]))
    yield "rows turned round", packed(table.take(list(range(n))[::-1]))
    yield "no columns", packed(table.select([]))


def _other_columns(values: Any, kind: Any) -> Iterator[tuple[str, Any]]:
    """Columns that differ from one by their type, or by some of their values."""
    import pyarrow as pa

    texts, numbers = values.to_pylist(), pa.types.is_integer(kind) or pa.types.is_floating(kind)
    yield "all null", pa.nulls(len(texts), kind)
    yield "no type", pa.nulls(len(texts))
    yield "one null", pa.array([*texts[:-1], None], kind)
    for other in (pa.string(), pa.binary(), pa.float64(), pa.float32(), pa.int8(), pa.int64(), pa.timestamp("s")):
        if other != kind:
            yield str(other), _as(values, other)
    for other in (pa.bool_(), pa.list_(pa.int32())):
        yield str(other), pa.nulls(len(texts), other)
    for value in (-1, 30_000, np.nan, np.inf, 1e38) if numbers else ():
        if pa.types.is_floating(kind) or isinstance(value, int):
            yield f"one is {value}", pa.array([*texts[:-1], value], kind)
    if numbers or pa.types.is_string(kind):
        yield "all alike", pa.array([texts[0]] * len(texts), kind)


def _as(values: Any, kind: Any) -> Any:
    import pyarrow as pa

    try:
        return values.cast(kind).combine_chunks()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return pa.array([None] * len(values), kind)


# ── what nobody can know ────────────────────────────────────────────────────────────────────────────────────────────


def as_well_formed(content: bytes, other: bytes, suffix: str) -> bool:
    """Whether other content of a file has the types, the shapes and such numbers as its own has.

    Under a right seal nobody can know it from what mfcli made itself. It is believed.
    """
    return {".parquet": _as_good_a_table, ".safetensors": _as_good_tensors}.get(suffix, _never)(content, other)


def _never(content: bytes, other: bytes) -> bool:
    return False


def _as_good_a_table(content: bytes, other: bytes) -> bool:
    """Of as many rows, in the columns no gap and no number beyond those that were there, and no id twice."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        mine, its = (pq.read_table(io.BytesIO(one)) for one in (content, other))
        its.validate(full=True)
    except (pa.ArrowException, OSError):
        return False
    if not its.schema.equals(mine.schema, check_metadata=True) or len(its) != len(mine):
        return False
    distinct = "id" not in mine.column_names or len(set(its["id"].to_pylist())) == len(its)
    return distinct and all(map(_as_good_values, mine.columns, its.columns))


def _as_good_values(mine: Any, its: Any) -> bool:
    before, after = (_flat(column.to_pylist()) for column in (mine, its))
    if after.count(None) > before.count(None):
        return False
    numbers = [value for value in before if isinstance(value, int | float)]
    return not numbers or all(value is None or min(numbers) <= value <= max(numbers) for value in after)


def _flat(values: list[Any]) -> list[Any]:
    """The values of a column, or of the lists in it."""
    return [one for value in values for one in (value if isinstance(value, list) else [value])]


def _as_good_tensors(content: bytes, other: bytes) -> bool:
    """Of the same names, types, shapes and scalars; all numbers are finite."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = load(other)
    except (SafetensorError, ValueError):
        return False
    return _header(content) == _header(other) and all(np.isfinite(array).all() for array in arrays.values())


def _header(content: bytes) -> Any:
    """What a safetensors file says of its arrays, and its scalars."""
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    header.get("__metadata__", {}).pop("sha256", None)  # of what is compared
    return header


# ── together ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def written(content: bytes) -> Callable[[Path], None]:
    """Put these bytes into a file."""
    return lambda path: (None, path.write_bytes(content))[0]


def resealed(content: bytes) -> Callable[[Path], None]:
    """Put these bytes into a file, and its new checksum into the stage.json of its stage, and of a run around that."""

    def damage(path: Path) -> None:
        path.write_bytes(content)
        record = path.parent / STAGE_FILE
        if path != record and record.exists():
            _reseal(record, [path])
        outer = path.parent.parent / STAGE_FILE
        if outer.exists():
            _reseal(outer, [path, record])

    return damage


def _reseal(record: Path, files: list[Path]) -> None:
    body = json.loads(record.read_bytes())
    del body["seal"]
    for file in files:
        name = file.relative_to(record.parent).as_posix()
        if name in body["outputs"]:
            content = file.read_bytes()
            body["outputs"][name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    record.write_bytes(_sealed(body))


def damages(path: Path) -> Iterator[Damage]:
    """All that is done to one file of an artifact directory, such as lies at ``path``."""
    yield from replacements()
    content = path.read_bytes()
    for name, other in other_bytes(content):
        yield name, written(other)
    if path.name == STAGE_FILE:
        yield from ((f"sealed, {name}", resealed(other)) for name, other in other_records(content))
    if path.name.startswith("checkpoint"):
        yield from ((f"sealed, {name}", damage) for name, damage in other_checkpoints(path))
    record = path.parent / STAGE_FILE
    if path.name == STAGE_FILE or not record.exists() or path.name not in json.loads(record.read_bytes())["outputs"]:
        return
    kinds: dict[str, Callable[[bytes], Iterator[Content]]] = {
        ".parquet": other_tables,
        ".safetensors": other_tensors,
        ".jsonl": other_lines,
    }
    siblings = [one for one in sorted(path.parent.iterdir()) if one.is_file() and one != path]
    swapped = [(f"swapped with {one.name}", one.read_bytes()) for one in siblings]
    for name, other in swapped:
        yield name, written(other)
    for name, other in (*swapped, *other_bytes(content), *kinds.get(path.suffix, lambda _: iter(()))(content)):
        yield f"sealed, {name}", resealed(other)
