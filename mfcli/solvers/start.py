"""Where a warm start begins: the vectors of an earlier run, by the users and the items that there are now."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mfcli.arrays import Bools, Float32s, Int64s
from mfcli.data.ratings import Sides
from mfcli.models.model import FactorModel


@dataclass(frozen=True)
class Start:
    """What to begin with.

    Attributes:
        model: of an earlier run, with the users and the items that there are now; zeros for those that are new.
        known: (n_users,) and (n_items,) bool, who had training ratings then.
    """

    model: FactorModel
    known: Sides[Bools]

    @classmethod
    def of(cls, model: FactorModel, places: Sides[Int64s]) -> "Start":
        """From a run's model, and the (n_users,) and (n_items,) rows that the present ones have there, -1 for none."""
        moved = model.changed(
            lambda of_users: _moved(of_users, places.users), lambda of_items: _moved(of_items, places.items)
        )
        return cls(replace(moved, days=None, newcomer=None), Sides(*(counts > 0 for counts in moved.counts)))

    def scaled(self, scale: float) -> "Start":
        """The same in another unit, as :meth:`FactorModel.scaled` has it."""
        return replace(self, model=self.model.scaled(scale))

    def rows(self, factors: int, device: torch.device) -> Sides[Tensor]:
        """(n_users, d) and (n_items, d) rows of so many factors, and a bias if the model has biases."""
        sides: Sides[Float32s] = leading(self.model.factors, factors)
        if self.model.biases is not None:
            sides = Sides(*(np.column_stack(pair) for pair in zip(sides, self.model.biases, strict=True)))
        return Sides(*(torch.from_numpy(np.ascontiguousarray(side, np.float32)).to(device) for side in sides))


def leading(factors: Sides[Float32s], width: int) -> Sides[Float32s]:
    """The (n_users, width) and (n_items, width) factors whose products are nearest to those of these (n, k) ones.

    By the truncated singular value decomposition of the products (Eckart and Young, Psychometrika 1936).
    """
    users, items = factors
    if users.shape[1] == width:
        return factors
    (of_users, left), (of_items, right) = np.linalg.qr(users), np.linalg.qr(items)
    before, sizes, after = np.linalg.svd(left @ right.T)
    roots = np.sqrt(sizes[:width])
    found = Sides(of_users @ (before[:, :width] * roots), of_items @ (after[:width].T * roots))
    missing = width - found.users.shape[1]
    users, items = (np.pad(side, ((0, 0), (0, missing))) for side in found)
    return Sides(users, items)


def _moved(side: npt.NDArray[Any], places: Int64s) -> npt.NDArray[Any]:
    """The rows at these places, zeros at -1."""
    rows = side[places]
    rows[places < 0] = 0
    return rows
