"""A matrix in a file of which rows are read when they are asked for: somebody is one among very many users."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

AT_ONCE = 2**20
"""Bytes of rows that are read together, about."""


class FileRows:
    """A matrix in a file. Rows are taken as from an array; they are read when they are first asked for, and then kept.

    Args:
        shape, dtype: of the matrix.
        fill: reads the rows from a first one on into an array.
    """

    def __init__(
        self, shape: tuple[int, ...], dtype: np.dtype[Any], fill: Callable[[int, npt.NDArray[Any]], None]
    ) -> None:
        self.shape, self.ndim, self._fill = shape, len(shape), fill
        self._values = np.empty(shape, dtype)  # memory that nothing is written to costs nothing
        self.dtype = self._values.dtype
        self._block = max(1, AT_ONCE // max(1, self._values[:1].nbytes))
        self._filled = np.zeros(-(-len(self) // self._block), bool)
        self._filling = threading.Lock()

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> npt.NDArray[Any]:
        self.read(rows)
        taken: npt.NDArray[Any] = self._values[rows]
        return taken

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        self.read(slice(None))
        return np.array(self._values, dtype, copy=copy)

    def read(self, rows: Any) -> None:
        """Read those of these rows that were not read yet."""
        if self._filled.all():
            return
        wanted = np.zeros(len(self._filled), bool)
        wanted[np.arange(len(self))[rows] // self._block] = True
        with self._filling:
            for block in np.flatnonzero(wanted & ~self._filled).tolist():
                begin = block * self._block
                self._fill(begin, self._values[begin : begin + self._block])
                self._filled[block] = True
