"""Arrays and what JSON can hold, as one safetensors file of a run."""

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from mfcli.errors import ArtifactError

FORMAT = "1"

T = TypeVar("T")


def packed(arrays: Mapping[str, npt.NDArray[Any]], scalars: Mapping[str, Any]) -> bytes:
    """The file's bytes."""
    from safetensors.numpy import save

    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    return save(contiguous, metadata={"mfcli": json.dumps({"format": FORMAT, **scalars})})


def unpacked(content: bytes, make: Callable[[dict[str, npt.NDArray[Any]], dict[str, Any]], T], what: str) -> T:
    """What ``make`` makes of the arrays and the scalars that :func:`packed` was given.

    Args:
        content: the file's bytes.
        make: raises ValueError, KeyError or TypeError if they are not what it needs.
        what: ``a model``, for the error.

    Raises:
        ArtifactError: the bytes are no such file.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        scalars = json.loads(header["__metadata__"]["mfcli"])
        if scalars.pop("format") != FORMAT:
            raise ArtifactError(f"{what} of another version of mfcli: run `mfcli train` again")
        return make(arrays, scalars)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"not {what} of mfcli ({error}): run `mfcli train` again") from None
