"""Arrays and what JSON can hold, as one safetensors file of a run, which is checked when it is read."""

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from mfcli.typed import typed

FORMAT = "1"

Layout = Mapping[str, str]
"""Name -> type and dimensions of an array, ``float32 users factors``; a dimension has the same size everywhere."""

T = TypeVar("T")


def packed(arrays: Mapping[str, npt.NDArray[Any]], scalars: Mapping[str, Any]) -> bytes:
    """The file's bytes."""
    from safetensors.numpy import save

    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    return save(contiguous, metadata={"mfcli": json.dumps({"format": FORMAT, **scalars})})


def unpacked(
    content: bytes, layout: Layout, kinds: Any, make: Callable[[dict[str, npt.NDArray[Any]], dict[str, Any]], T]
) -> T:
    """What ``make`` makes of the arrays and the scalars that :func:`packed` was given.

    Args:
        content: the file's bytes.
        layout: what arrays there may be.
        kinds: name -> type, as :func:`typed` has it, of the scalars that there may be.
        make: raises ValueError, KeyError or TypeError if they do not make a whole.

    Raises:
        ValueError: the bytes are no such file.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        scalars = json.loads(header["__metadata__"]["mfcli"])
        if scalars.pop("format") != FORMAT:
            raise ValueError("it is of another version of mfcli")
        check_arrays(arrays, layout)
        return make(arrays, {name: typed(kinds[name], value, name) for name, value in scalars.items()})
    except (SafetensorError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"it is no such file of mfcli ({error})") from None


def check_arrays(arrays: Mapping[str, npt.NDArray[Any]], layout: Layout) -> None:
    """Raise ValueError unless every array is in the layout, has its type and dimensions, and only finite numbers."""
    sizes: dict[str, int] = {}
    for name, array in arrays.items():
        if name not in layout:
            raise ValueError(f"it has an array {name}")
        dtype, *dimensions = layout[name].split()
        if array.dtype != dtype or array.ndim != len(dimensions):
            raise ValueError(f"{name} is {array.dtype} of {array.ndim} dimensions, not {layout[name]}")
        for dimension, size in zip(dimensions, array.shape, strict=True):
            if sizes.setdefault(dimension, size) != size:
                raise ValueError(f"{name} has {size} {dimension}, others have {sizes[dimension]}")
        if not np.isfinite(array).all():
            raise ValueError(f"{name} has numbers that are not finite")
