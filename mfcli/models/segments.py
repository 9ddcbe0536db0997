"""Segments: how good predictions are for users, items and ratings of one kind."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from mfcli.arrays import Bools, Float32s, Float64s, Int64s
from mfcli.data.ratings import Ratings
from mfcli.models.bootstrap import Groups, Interval

COUNTS = (0, 1, 5, 20, 100, 500, 2500)  # training ratings from which a user or an item is in the next segment
VALUES = 10  # different ratings up to which each is a segment, and bins of them where they are more
PERIODS = 5
MOST_GENRES = 20  # the most frequent ones


@dataclass(frozen=True)
class Segment:
    """The ratings of one kind, and how good their predictions are.

    Attributes:
        by: what the ratings are told apart by.
        name: of the kind.
        ratings: how many.
        rmse, rmse_interval: of them; the interval is a 95 % one, by user, None where one user alone has any.
        mean_error: of predicted less actual ratings.
        within_1, within_2: share of the ratings within so many predictive standard deviations; None where the solver
            does not tell them.
    """

    by: str
    name: str
    ratings: int
    rmse: float
    rmse_interval: Interval | None
    mean_error: float
    within_1: float | None
    within_2: float | None


def segments(
    part: Ratings,
    train: Ratings,
    genres: Sequence[str | None],
    errors: Float64s,
    groups: Groups,
    deviations: Float32s | None = None,
) -> list[Segment]:
    """All segments that have a rating.

    Args:
        part: n ratings.
        train: those that were learnt from.
        genres: of every item, with | between them.
        errors: (n,) predicted less actual ratings.
        groups: of the users of the part.
        deviations: (n,) predictive standard deviations.
    """
    found = []
    scaled = None if deviations is None else np.abs(errors) / deviations
    for by, name, mask in _masks(part, train, genres):
        if mask.any():
            rmse = groups.rmse(errors, mask)
            within = [None if scaled is None else float((scaled[mask] <= width).mean()) for width in (1, 2)]
            mean_error = float(errors[mask].mean())
            found.append(Segment(by, name, int(mask.sum()), rmse.value, rmse.interval, mean_error, *within))
    return found


def _masks(part: Ratings, train: Ratings, genres: Sequence[str | None]) -> Iterator[tuple[str, str, Bools]]:
    """What the ratings are told apart by, what each kind is called, and which ratings are of it."""
    of_user, of_item = train.user_counts()[part.users], train.item_counts()[part.items]
    for by, counts in (("user's training ratings", of_user), ("item's training ratings", of_item)):
        for low, high in zip(COUNTS, (*COUNTS[1:], None), strict=True):
            yield by, _span(low, high), (counts >= low) & (counts < (high or np.inf))
    yield from (("rating", *one) for one in _values(part.ratings))
    yield from (("genre", *one) for one in _genres(part, genres))
    new_user, new_item = of_user == 0, of_item == 0
    yield "what is known", "user and item", ~new_user & ~new_item
    yield "what is known", "user alone", ~new_user & new_item
    yield "what is known", "item alone", new_user & ~new_item
    yield "what is known", "neither", new_user & new_item
    if part.timestamps is not None:
        yield from (("time", *one) for one in _periods(part.timestamps))


def _span(low: int, high: int | None) -> str:
    if high is None:
        return f"{low:,} or more"
    return f"{low:,}" if high == low + 1 else f"{low:,} to {high - 1:,}"


def _values(ratings: Float32s) -> Iterator[tuple[str, Bools]]:
    values = np.unique(ratings)
    if len(values) <= VALUES:
        yield from ((f"{value:g}", ratings == value) for value in values)
        return
    edges = np.linspace(values[0], values[-1], VALUES + 1)
    which = np.clip(np.searchsorted(edges, ratings, side="right") - 1, 0, VALUES - 1)
    yield from ((f"{edges[bin]:.4g} to {edges[bin + 1]:.4g}", which == bin) for bin in range(VALUES))


def _genres(part: Ratings, genres: Sequence[str | None]) -> Iterator[tuple[str, Bools]]:
    """The most frequent genres of the part; a rating is of every genre of its item."""
    counts = part.item_counts()
    frequent: dict[str, int] = {}
    rows: dict[str, list[int]] = {}
    for row, text in enumerate(genres):
        for genre in filter(None, {one.strip() for one in (text or "").split("|")}):
            frequent[genre] = frequent.get(genre, 0) + int(counts[row])
            rows.setdefault(genre, []).append(row)
    for genre in sorted(frequent, key=lambda one: (-frequent[one], one))[:MOST_GENRES]:
        has = np.zeros(len(counts), bool)
        has[rows[genre]] = True
        yield genre, has[part.items]


def _periods(timestamps: Int64s) -> Iterator[tuple[str, Bools]]:
    """Periods with about as many ratings each; ratings of one moment are in one."""
    edges = np.unique(np.quantile(timestamps, np.arange(1, PERIODS) / PERIODS, method="higher"))
    which = np.searchsorted(edges, timestamps, side="right")
    for period in range(len(edges) + 1):
        mask: Any = which == period
        if mask.any():
            yield f"{_day(timestamps[mask].min())} to {_day(timestamps[mask].max())}", mask


def _day(seconds: np.int64) -> str:
    try:
        return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%d")
    except (ValueError, OverflowError, OSError):  # beyond the years that there are
        return str(seconds)
