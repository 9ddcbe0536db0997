"""Segments: which rating is in which, and what is said of it."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from mfcli.data.ratings import Ratings
from mfcli.figures.segments import segments as draw
from mfcli.models.bootstrap import Groups
from mfcli.models.segments import Segment, segments
from tests.conftest import Runner


def of(users: list[int], items: list[int], ratings: list[float], times: list[int] | None = None) -> Ratings:
    rows = (np.array(users, np.int32), np.array(items, np.int32), np.array(ratings, np.float32))
    return Ratings(*rows, 4, 3, None if times is None else np.array(times))


TRAIN = of([0] * 2 + [1] * 5 + [2] * 1, [0, 1] + [0] * 5 + [0], [3] * 8)
"""Users 0, 1 and 2 have 2, 5 and 1 ratings, user 3 none; items 0 and 1 have 7 and 1, item 2 none."""


def found(part: Ratings, errors: list[float], genres: list[str | None], **options: np.ndarray) -> dict[str, Segment]:
    made = segments(part, TRAIN, genres, np.array(errors), Groups.of(part.users), **options)
    return {f"{one.by}: {one.name}": one for one in made}


def test_every_rating_is_in_one_segment_of_each_kind_but_genre() -> None:
    part = of([0, 1, 3, 2, 3], [2, 0, 1, 1, 2], [1, 2, 1, 4, 5], [0, 86_400, 86_400, 10**9, 2 * 10**9])
    made = found(part, [1, -1, 2, 0, 4], ["Drama|War", "War", None])
    assert {name: (one.ratings, one.mean_error) for name, one in made.items()} == {
        "user's training ratings: 0": (2, 3),
        "user's training ratings: 1 to 4": (2, 0.5),
        "user's training ratings: 5 to 19": (1, -1),
        "item's training ratings: 0": (2, 2.5),
        "item's training ratings: 1 to 4": (2, 1),
        "item's training ratings: 5 to 19": (1, -1),
        "rating: 1": (2, 1.5),
        "rating: 2": (1, -1),
        "rating: 4": (1, 0),
        "rating: 5": (1, 4),
        "genre: War": (3, pytest.approx(1 / 3)),
        "genre: Drama": (1, -1),
        "what is known: user and item": (2, -0.5),
        "what is known: user alone": (1, 1),
        "what is known: item alone": (1, 2),
        "what is known: neither": (1, 4),
        "time: 1970-01-01 to 1970-01-01": (1, 1),
        "time: 1970-01-02 to 1970-01-02": (2, 0.5),
        "time: 2001-09-09 to 2001-09-09": (1, 0),
        "time: 2033-05-18 to 2033-05-18": (1, 4),
    }
    assert made["rating: 1"].rmse == pytest.approx(np.sqrt(2.5))
    assert made["rating: 2"].rmse_interval is None
    low, high = made["genre: War"].rmse_interval or (0, 0)
    assert low <= made["genre: War"].rmse <= high
    assert made["rating: 1"].within_1 is None


def test_many_different_ratings_are_put_into_bins_and_deviations_tell_of_calibration() -> None:
    part = of([0, 1] * 10, [0, 1] * 10, list(np.arange(20) / 19 * 100))
    made = found(part, [1.5] * 10 + [0.5] * 10, [None] * 3, deviations=np.ones(20, np.float32))
    bins = {name: one for name, one in made.items() if name.startswith("rating: ")}
    assert list(bins)[::9] == ["rating: 0 to 10", "rating: 90 to 100"]
    assert sum(one.ratings for one in bins.values()) == 20
    assert [(one.within_1, one.within_2) for one in bins.values()][::9] == [(0, 1), (1, 1)]


def test_evaluate_tells_them_when_asked_and_by_hand_they_are_the_same(artifacts: Path, mfcli: Runner) -> None:
    assert json.loads(mfcli("evaluate", "--json").stdout)["segments"] is None
    told = json.loads(mfcli("evaluate", "--segments", "--json").stdout)
    test = pd.read_parquet(artifacts / "data/test.parquet")
    counts = test["rating"].value_counts()
    assert {float(one["name"]): one["ratings"] for one in told["segments"] if one["by"] == "rating"} == dict(counts)
    squares = sum(one["ratings"] * one["rmse"] ** 2 for one in told["segments"] if one["by"] == "time")
    assert squares / len(test) == pytest.approx(told["rmse"] ** 2)
    lines = mfcli("evaluate", "--segments").stdout.splitlines()
    assert lines[lines.index("by rating") + 1].split() == ["ratings", "RMSE", "95", "%", "mean", "error"]


def test_the_figure_has_a_point_for_every_segment_below_what_it_is_by() -> None:
    made = [
        Segment("rating", "1", 1234, 0.9, (0.8, 1.1), 0.2, None, None),
        Segment("rating", "2", 5, 0.7, None, -0.1, None, None),
        Segment("genre", "a" * 50, 7, 0.8, (0.7, 0.9), 0.0, None, None),
    ]
    ax = Figure().subplots()
    draw(ax, made, 0.85, "test")
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names[:4] == ["by rating", "1 (1,234)", "2 (5)", "by genre"]
    points = ax.get_lines()[0]
    assert list(zip(points.get_xdata(), points.get_ydata(), strict=True)) == [(0.9, 1), (0.7, 2), (0.8, 4)]
    assert len(names[4]) < 45
