"""What a solver is built from."""

from dataclasses import dataclass, replace

from mfcli.data.features import Features
from mfcli.data.ratings import Ratings, Sides
from mfcli.data.shared import SharedRatings


@dataclass(frozen=True)
class TrainingData:
    """What a solver is built from.

    Attributes:
        train: the ratings to learn from: all, or a process's own.
        validation: those by which an epoch is judged, or None.
        features: what is known of the users and of the items beside ratings, or None.
    """

    train: Ratings | SharedRatings
    validation: Ratings | None = None
    features: Sides[Features | None] = Sides(None, None)

    def divided(self, scale: float) -> "TrainingData":
        """The same with every rating divided by a power of two."""
        validation = None if self.validation is None else self.validation.divided(scale)
        return replace(self, train=self.train.divided(scale), validation=validation)
