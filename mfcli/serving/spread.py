"""What is told of how far a rating may be from its prediction."""

from typing import Any

from mfcli.arrays import Float32s
from mfcli.data.formats import Column
from mfcli.models.run import TrainedRun


class Spread:
    """Adds the standard deviation, and how likely each rating is, to tables of predictions.

    Args:
        trained: the run; one that tells how sure it is, if either is wanted.
        with_std, with_probabilities: whether they are.
    """

    def __init__(self, trained: TrainedRun, *, with_std: bool = False, with_probabilities: bool = False) -> None:
        self.std = [Column("std", "float32", "±")] if with_std else []
        self.levels = trained.levels if with_probabilities else None
        values = [] if self.levels is None else self.levels.values.tolist()
        self.probabilities = [Column(f"p_{value:g}", "float32", f"{value:g}", bar=True) for value in values]

    @property
    def columns(self) -> list[Column]:
        """Of what is added."""
        return self.std + self.probabilities

    def block(self, predicted: Float32s, deviations: Float32s | None) -> dict[str, Any]:
        """The columns' values.

        Args:
            predicted: (n,) predictions, not clipped.
            deviations: (n,) standard deviations of ratings about them.
        """
        assert deviations is not None, "the run has been asked whether it tells them"
        block: dict[str, Any] = {column.name: deviations for column in self.std}
        if self.levels is not None:
            likely = self.levels.probabilities(predicted, deviations)
            block |= {column.name: of_level for column, of_level in zip(self.probabilities, likely.T, strict=True)}
        return block
