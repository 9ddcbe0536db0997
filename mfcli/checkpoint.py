"""A training run that is not finished yet: named arrays and values in one safetensors file, replaced as a whole."""

import contextlib
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mfcli.atomic import AMISS, atomic_file, content_of
from mfcli.errors import ArtifactError, UsageError

FILE = "checkpoint.safetensors"
FORMAT = "2"


@dataclass(frozen=True)
class Checkpoint:
    """What going on with a run needs.

    Attributes:
        arrays: NumPy arrays by name.
        values: what JSON can hold, by name.
    """

    arrays: dict[str, npt.NDArray[Any]]
    values: dict[str, Any]

    def save(self, path: Path) -> None:
        """Write the file; it appears whole or not at all."""
        from safetensors.numpy import save

        arrays = {name: np.ascontiguousarray(array) for name, array in self.arrays.items()}
        text = json.dumps(self.values)
        metadata = {"format": FORMAT, "values": text, "sha256": _digest(arrays, text)}
        content = save(arrays, metadata=metadata)
        with atomic_file(path, sync=False) as file:
            file.write(content)

    @classmethod
    def load(cls, path: Path) -> "Checkpoint":
        """Read what :meth:`save` wrote. Raises ArtifactError if it is damaged or of another version of mfcli."""
        from safetensors.numpy import load

        content = _content(path)
        with of_checkpoint(path):
            arrays = load(content)
            metadata = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
            text, digest, version = metadata["values"], metadata["sha256"], metadata["format"]
            if version != FORMAT:
                raise ArtifactError(f"{path} was written by another version of mfcli: train again without --resume")
            if digest != _digest(arrays, text):
                raise ValueError("the digest differs")
            return cls(arrays, json.loads(text))


def _content(path: Path) -> bytes:
    """The file's bytes. Raises ArtifactError if there is no such file."""
    try:
        return content_of(path)
    except OSError as error:
        if error.errno not in AMISS:
            raise
        raise ArtifactError(f"{path}: {error.strerror}: train again without --resume") from None


@contextlib.contextmanager
def of_checkpoint(path: Path) -> Iterator[None]:
    """Whatever shows within this block that a checkpoint does not hold what it should is an ArtifactError.

    Its digest keeps damage out; what comes here was made by other code, and may be anything.
    """
    from safetensors import SafetensorError

    try:
        yield
    except (SafetensorError, UsageError, AttributeError, LookupError, RuntimeError, TypeError, ValueError):
        raise ArtifactError(f"{path} is damaged: train again without --resume") from None


def _digest(arrays: dict[str, npt.NDArray[Any]], text: str) -> str:
    """SHA-256 of the arrays, with their names, types and shapes, and of the values' text."""
    digest = hashlib.sha256(text.encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.data if array.ndim else array.tobytes())
    return digest.hexdigest()
