"""What a model is judged by, and what people and files call it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Measures = dict[str, float]
"""Values of measures by the names that people read, in the order in which they are shown."""


@dataclass(frozen=True)
class Measure:
    """A number that says how good a model is.

    Attributes:
        name: what people call it.
        key: what files call it, behind ``train_`` or ``validation_``.
        rises: whether more is better.
    """

    name: str
    key: str
    rises: bool = False

    def better(self, value: float, than: float | None) -> bool:
        """Whether a value is better than another; than None every value is."""
        return than is None or (value > than if self.rises else value < than)


Key = Literal["rmse", "loss", "ndcg"]
RMSE = Measure("RMSE", "rmse")
LOSS = Measure("loss", "loss")
NDCG = Measure("NDCG@10", "ndcg", rises=True)
MEASURES = {one.key: one for one in (RMSE, LOSS, NDCG)}


def shown(names: Iterable[str]) -> list[str]:
    """The names of those measures that people are shown of a cross-validation; a file has them all."""
    return [name for name in names if name in ("RMSE", "MAE") or name.startswith("NDCG@")]
