"""What ``prepare`` records of the ratings, and other commands read."""

import math
from dataclasses import dataclass, field
from typing import Literal

from mfcli.config.common import Feedback

Ids = Literal["integer", "string"]


@dataclass(frozen=True)
class Facts:
    """What is known of the ratings as a whole. Raises ValueError of numbers that cannot be.

    Attributes:
        dataset: name of the data set or of the ratings file.
        feedback: whether they are ``ratings``, or ``clicks``, whose weights stand in place of ratings.
        users, items, ratings: how many there are in all.
        train, val, test: ratings in each part.
        density: ratings / (users * items).
        mean, minimum, maximum: of the ratings.
        histogram: rating (or the middle of a bin of them) as text -> how many.
        test_users_unseen, test_items_unseen: of the test part's, those without a training rating.
        test_ratings_unseen: test ratings of such a user or item.
        lines: read, all files together; of files that are no text, rows.
        columns: role -> what the file of ratings calls its column.
        missing: lines left out, since their rating is one of --missing.
        user_ids, item_ids: ``integer`` or ``string``.
        user_features, item_features: attribute -> how many features it has.
        users_described, items_described: those with a feature at all.
        oracle_rmse: of the true model, for synthetic data.
        left_out: why ratings were left out otherwise, in words -> how many.
    """

    dataset: str
    feedback: Feedback
    users: int
    items: int
    ratings: int
    train: int
    val: int
    test: int
    density: float
    mean: float
    minimum: float
    maximum: float
    histogram: dict[str, int]
    test_users_unseen: int
    test_items_unseen: int
    test_ratings_unseen: int
    lines: int
    columns: dict[str, str]
    missing: int
    user_ids: Ids
    item_ids: Ids
    user_features: dict[str, int]
    item_features: dict[str, int]
    users_described: int
    items_described: int
    oracle_rmse: float | None = None
    left_out: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if min(self.users, self.items, self.ratings, len(self.histogram)) < 1:
            raise ValueError("there are no ratings")
        if not self.minimum <= self.mean <= self.maximum:
            raise ValueError(f"the mean {self.mean:g} is not between {self.minimum:g} and {self.maximum:g}")
        if any(not math.isfinite(float(value)) for value in self.histogram) or min(self.histogram.values()) < 0:
            raise ValueError("the histogram is none")
