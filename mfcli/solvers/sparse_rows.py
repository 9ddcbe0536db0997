"""A sparse matrix by rows, to be multiplied on any device, with gradients."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mfcli.solvers.compute import Compute


@dataclass(frozen=True, eq=False)
class SparseRows:
    """A sparse (n, f) matrix.

    Row u is ``values[starts[u]:starts[u + 1]]`` in the columns ``places[starts[u]:starts[u + 1]]``.

    Attributes:
        starts: (n + 1,) int64.
        places: (entries,) int64.
        values: (entries,) float32.
    """

    starts: Tensor
    places: Tensor
    values: Tensor

    @classmethod
    def of(cls, matrix: Any, compute: Compute) -> "SparseRows":
        """From a scipy matrix."""
        rows = matrix.tocsr()
        starts, places = rows.indptr.astype(np.int64), rows.indices.astype(np.int64)
        return cls(compute.place(starts), compute.place(places), compute.place(rows.data))

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __matmul__(self, dense: Tensor) -> Tensor:
        """(n, d), of a (f, d) matrix."""
        if not len(dense):
            return dense.new_zeros(len(self), dense.shape[1])
        return torch.nn.functional.embedding_bag(
            self.places, dense, self.starts[:-1], mode="sum", per_sample_weights=self.values
        )

    def take(self, rows: Tensor) -> "SparseRows":
        """(b, f): these (b,) rows."""
        begin = self.starts.index_select(0, rows)
        sizes = self.starts.index_select(0, rows + 1) - begin
        starts = torch.nn.functional.pad(sizes.cumsum(0), (1, 0))
        slots = torch.repeat_interleave(begin - starts[:-1], sizes)
        slots += torch.arange(len(slots), device=slots.device)
        return SparseRows(starts, self.places.index_select(0, slots), self.values.index_select(0, slots))
