"""Arrays and what JSON can hold, as one safetensors file of a run, which is checked when it is read."""

import contextlib
import io
import json
import math
from collections.abc import Callable, Mapping
from typing import IO, Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from mfcli.errors import DivergedError
from mfcli.models.file_rows import FileRows
from mfcli.record import Guard
from mfcli.stage_file import OtherVersion
from mfcli.typed import typed

FORMAT = "2"
DTYPES = {"F32": "float32", "F64": "float64", "I32": "int32", "I64": "int64"}
"""What safetensors calls the types that our arrays have."""

MANY = "users"
"""First dimension of the matrices whose rows are read when they are asked for."""

Layout = Mapping[str, str]
"""Name -> type and dimensions of an array, ``float32 users factors``; a dimension has the same size everywhere."""

T = TypeVar("T")


def packed(arrays: Mapping[str, npt.NDArray[Any]], scalars: Mapping[str, Any]) -> bytes:
    """The file's bytes. Raises DivergedError if a number is not finite: :func:`unpacked` would refuse it."""
    from safetensors.numpy import save

    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    for name, array in contiguous.items():
        if not np.isfinite(array).all():
            raise DivergedError(f"{name} of the model cannot be written down in finite numbers")
    return save(contiguous, metadata={"mfcli": json.dumps({"format": FORMAT, **scalars})})


def unpacked(
    file: IO[bytes],
    layout: Layout,
    kinds: Any,
    make: Callable[[dict[str, Any], dict[str, Any]], T],
    guard: Guard = contextlib.nullcontext,
) -> T:
    """What ``make`` makes of the arrays and the scalars that :func:`packed` was given.

    The library reads a file whole, or maps what nobody has checked. The format is plain enough to do without: a header,
    which says where each array lies, and the arrays.

    Args:
        file: open for reading, and to be left open.
        layout: what arrays there may be. Matrices of users are :class:`FileRows`.
        kinds: name -> type, as :func:`typed` has it, of the scalars that there may be.
        make: raises ValueError, KeyError or TypeError if they do not make a whole.
        guard: a block for whatever is read later.

    Raises:
        OtherVersion: it is such a file of another version of mfcli.
        ValueError: it is no such file.
    """
    try:
        header, begin = _header(file)
        scalars = json.loads(header.pop("__metadata__")["mfcli"])
        if scalars.pop("format") != FORMAT:
            raise OtherVersion
        places = _places(header, begin, file.seek(0, io.SEEK_END))
        _check(places, layout)
        arrays = {name: _array(file, name, place, layout, guard) for name, place in places.items()}
        return make(arrays, {name: typed(kinds[name], value, name) for name, value in scalars.items()})
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"it is no such file of mfcli ({error})") from None


class _Place(NamedTuple):
    """An array in a file: its type, its shape, and where its bytes begin."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    begin: int


def _header(file: IO[bytes]) -> tuple[dict[str, Any], int]:
    """What a file says of what is in it, and where that begins: the size of the header in 8 bytes, then the header."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    begin = 8 + int.from_bytes(file.read(8), "little")
    if begin > size:
        raise ValueError("it is no such file of mfcli (it is cut off)")
    return json.loads(file.read(begin - 8)), begin


def _places(header: dict[str, Any], begin: int, size: int) -> dict[str, _Place]:
    """Where the arrays are that fill a file of that size from ``begin`` on. Raises ValueError if they do not."""
    places, start = {}, begin
    for name, told in sorted(header.items(), key=lambda one: typed(tuple[int, int], one[1]["data_offsets"])):
        place = _Place(np.dtype(DTYPES[told["dtype"]]), typed(tuple[int, ...], told["shape"], name), begin)
        begin += place.dtype.itemsize * math.prod(place.shape)
        if min(place.shape, default=0) < 0 or told["data_offsets"] != [place.begin - start, begin - start]:
            raise ValueError(f"it is no such file of mfcli ({name} is not where it should be)")
        places[name] = place
    if begin != size:
        raise ValueError("it is no such file of mfcli (it is not as long as its arrays)")
    return places


def _check(places: Mapping[str, _Place], layout: Layout) -> None:
    """Raise ValueError unless every array is in the layout, and has its type and dimensions."""
    sizes: dict[str, int] = {}
    for name, place in places.items():
        if name not in layout:
            raise ValueError(f"it has an array {name}")
        dtype, *dimensions = layout[name].split()
        if place.dtype != dtype or len(place.shape) != len(dimensions):
            raise ValueError(f"{name} is {place.dtype} of {len(place.shape)} dimensions, not {layout[name]}")
        for dimension, size in zip(dimensions, place.shape, strict=True):
            if sizes.setdefault(dimension, size) != size:
                raise ValueError(f"{name} has {size} {dimension}, others have {sizes[dimension]}")


def _array(file: Any, name: str, place: _Place, layout: Layout, guard: Guard) -> Any:
    """An array of the file, or a matrix of which rows are read later."""
    width = place.dtype.itemsize * math.prod(place.shape[1:])

    def fill(first: int, rows: npt.NDArray[Any]) -> None:
        with guard():
            file.seek(place.begin + first * width)
            if rows.nbytes and file.readinto(rows) != rows.nbytes:
                raise ValueError(f"{name} is cut off")
            if not np.isfinite(rows).all():
                raise ValueError(f"{name} has numbers that are not finite")

    if layout[name].split()[1:2] == [MANY] and len(place.shape) == 2:
        return FileRows(place.shape, place.dtype, fill)
    array = np.empty(place.shape, place.dtype)
    fill(0, array)
    return array
