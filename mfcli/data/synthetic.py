"""The built-in data set: ratings with a planted truth, as skewed as MovieLens, that need no network.

    rating = nearest half star to (μ + b_u + b_i + p_u·q_i + noise), within 0.5 to 5

Half of the variance of biases and factors comes from what is known: a user's age and gender, an item's genres. The
oracle predicts the mean rating given the planted parameters. No model can beat its RMSE by more than luck.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from mfcli.arrays import Bools, Float32s, Float64s, Int32s, Int64s
from mfcli.config.download import DownloadConfig
from mfcli.data.ratings import Ratings
from mfcli.data.tables import to_arrow
from mfcli.errors import UsageError

MEAN = 3.5
USER_BIAS_STD, ITEM_BIAS_STD, TASTE_STD = 0.35, 0.45, 0.55  # in rating points; the last of p·q as a whole
KNOWN = 0.5  # share of the variance of biases and factors that comes from genres, or age and gender
ACTIVITY_SIGMA = 1.1  # of the logarithm of a user's rating count
POPULARITY_SHAPE = 0.62  # Weibull: near ml-1m's median, Gini coefficient and maximum of an item's rating count
EVEN_FROM = 6  # rounds of drawing by popularity
STARS = np.arange(0.5, 5.01, 0.5)
START, YEARS = 946_684_800, 18  # 2000-01-01 in seconds, and for how long users rate
CHUNK = 1_000_000

GENRES = "Drama Comedy Thriller Action Romance Adventure Sci-Fi Crime Fantasy Children Mystery Documentary".split()
AGES, GENDERS = ("under 18", "18-24", "25-34", "35-44", "45-54", "55 and over"), ("F", "M")
AGE_SHARES = (0.04, 0.18, 0.35, 0.2, 0.15, 0.08)
FIRST = (
    "Silent Crimson Last Hidden Electric Broken Golden Midnight Paper Burning Distant Hollow Iron Velvet Winter Secret "
    "Wandering Glass Savage Quiet Lonely Scarlet Frozen Restless Forgotten"
).split()
SECOND = (
    "River Garden Empire Letters Horizon Orchard Machine Harbor Carnival Island Mirror Signal Highway Kingdom Shadow "
    "Voyage Summer Theater Detective Symphony Lighthouse Stranger Promise Canyon Tango"
).split()


@dataclass(frozen=True, kw_only=True)
class Synthetic(Ratings):
    """Half stars by user, then item, each with a timestamp, and their truth.

    Attributes:
        expected: (n,) float32, the oracle's predictions.
        groups: (n_users, ages + genders) bool, one of each true.
        genres: (n_items, genres) bool, one to three true.
    """

    expected: Float32s
    groups: Bools
    genres: Bools

    columns: ClassVar[tuple[str, ...]] = (*Ratings.columns, "expected")


def generate(config: DownloadConfig) -> Synthetic:
    """Plant and draw. Raises UsageError where so many ratings do not fit between so many users and items."""
    if config.ratings > config.users * config.items // 2:
        raise UsageError(
            f"--ratings {config.ratings}: {config.users} users and {config.items} items can have at most "
            f"{config.users * config.items // 2}, half of all pairs"
        )
    rng = np.random.default_rng(config.seed)
    users, items = _pairs(rng, config.users, config.items, config.ratings)
    groups, genres = _groups(rng, config.users), _genres(rng, config.items)
    weights = 1.0 / np.arange(1, config.rank + 1)  # a few strong factors, many weak ones, as tastes are
    weights *= TASTE_STD / max(float(np.linalg.norm(weights)), 1e-9)  # p·q has standard deviation TASTE_STD
    p = _planted(rng, groups, np.append(np.sqrt(weights), USER_BIAS_STD))
    q = _planted(rng, genres, np.append(np.sqrt(weights), ITEM_BIAS_STD))
    ratings, expected = np.empty(len(users), np.float32), np.empty(len(users), np.float32)
    for start in range(0, len(users), CHUNK):
        part = slice(start, start + CHUNK)
        u, i = users[part], items[part]
        taste = np.einsum("nk,nk->n", p[u, :-1], q[i, :-1]).astype(np.float64)
        liking = MEAN + p[u, -1] + q[i, -1] + taste
        noisy = liking + rng.normal(0, config.noise, len(u)) if config.noise else liking
        ratings[part] = np.floor(np.clip(noisy, STARS[0], STARS[-1]) * 2 + 0.5) / 2
        expected[part] = expected_rating(liking, config.noise)
    return Synthetic(
        users=users,
        items=items,
        ratings=ratings,
        n_users=config.users,
        n_items=config.items,
        timestamps=_timestamps(rng, users, config.users),
        expected=expected,
        groups=groups,
        genres=genres,
    )


def _groups(rng: np.random.Generator, n_users: int) -> Bools:
    """(n_users, ages + genders) bool: everybody's age and gender."""
    ages = rng.choice(len(AGES), n_users, p=AGE_SHARES)
    genders = rng.integers(0, len(GENDERS), n_users)
    return np.hstack([np.eye(len(AGES), dtype=bool)[ages], np.eye(len(GENDERS), dtype=bool)[genders]])


def _genres(rng: np.random.Generator, n_items: int) -> Bools:
    """(n_items, genres) bool: one to three of each item."""
    order = rng.permuted(np.tile(np.arange(len(GENRES), dtype=np.int8), (n_items, 1)), axis=1)
    return np.asarray(order < rng.integers(1, 4, n_items)[:, None])


def _planted(rng: np.random.Generator, features: Bools, stds: Float64s) -> Float32s:
    """(rows, k) float32: parameters of these standard deviations, of which :data:`KNOWN` comes from the features."""
    known = features @ rng.normal(size=(features.shape[1], len(stds)))
    known -= known.mean(axis=0)
    known /= np.maximum(known.std(axis=0), 1e-9)
    own = rng.normal(size=known.shape)
    return np.asarray((np.sqrt(KNOWN) * known + np.sqrt(1 - KNOWN) * own) * stds, np.float32)


def expected_rating(liking: Float64s, noise: float) -> Float64s:
    """Mean rating given the liking: (n,) to (n,). Each threshold between two half stars that is passed adds 0.5."""
    from scipy.special import ndtr  # comes with scikit-learn

    thresholds = (STARS[:-1] + STARS[1:]) / 2
    mean = np.full(len(liking), STARS[0])
    with np.errstate(over="ignore"):  # next to no noise: above / noise may be infinite, and ndtr knows what to say
        for threshold in thresholds:
            above = liking - threshold
            mean += 0.5 * (ndtr(above / noise) if noise else above >= 0)
    return mean


def _pairs(rng: np.random.Generator, n_users: int, n_items: int, n: int) -> tuple[Int32s, Int32s]:
    """n different pairs, by user, then item. Where n allows it, every user and every item has a rating."""
    activity = _activity(rng, n_users, n_items, n)
    popularity = np.cumsum(rng.weibull(POPULARITY_SHAPE, n_items))
    firsts = rng.choice(n, min(n, n_items), replace=False)  # each item takes a place in some user's list
    owners = np.searchsorted(np.cumsum(activity), firsts, side="right")
    codes = np.sort(owners * n_items + rng.permutation(n_items)[: len(owners)])
    starts = np.arange(n_users + 1) * n_items
    turn = 0
    while len(codes) < n:  # draw what is missing, drop what was drawn twice; late rounds fill up evenly
        missing = activity - np.diff(np.searchsorted(codes, starts))
        users = np.repeat(np.arange(n_users), missing)
        if turn < EVEN_FROM:
            items = np.searchsorted(popularity, rng.random(len(users)) * popularity[-1])
        else:
            items = rng.integers(0, n_items, len(users))
        codes = np.concatenate([codes, users * n_items + items])
        codes.sort(kind="stable")  # merges what is sorted already; np.unique takes 30 times as long
        codes = codes[np.append(True, codes[1:] != codes[:-1])]
        turn += 1
    first, second = np.divmod(codes, n_items)
    return first.astype(np.int32), second.astype(np.int32)


def _activity(rng: np.random.Generator, n_users: int, n_items: int, n: int) -> Int64s:
    """How many items each user rates: (n_users,) log-normal, sum n.

    As in MovieLens nobody rates fewer than 20 where there are twice as many to go round, and nobody more than half of
    all items.
    """
    weight = rng.lognormal(0.0, ACTIVITY_SIGMA, n_users)
    least, most = min(20, n // n_users, -(-n // (2 * n_users))), (n_items + 1) // 2
    low, high = 0.0, most / float(weight.min())
    for _ in range(64):  # bisection: the scale at which the clipped weights sum to n
        scale = (low + high) / 2
        low, high = (scale, high) if np.clip(scale * weight, least, most).sum() < n else (low, scale)
    wanted = np.clip(low * weight, least, most)
    counts = wanted.astype(np.int64)
    counts[np.argsort(counts - wanted)[: n - counts.sum()]] += 1  # the largest fractions are rounded up
    return counts


def _timestamps(rng: np.random.Generator, users: Int32s, n_users: int) -> Int64s:
    """Seconds: each user arrives one day and rates within the hours and weeks that follow."""
    arrival = rng.integers(START, START + YEARS * 365 * 86_400, n_users)
    return np.asarray(arrival[users] + rng.exponential(20 * 86_400, len(users)).astype(np.int64), np.int64)


def titles(rng: np.random.Generator, count: int) -> Iterator[str]:
    """``count`` different titles."""
    years = rng.integers(1950, 2019, count)
    for place in range(count):
        serial, pair = divmod(place, len(FIRST) * len(SECOND))
        first, second = FIRST[pair % len(FIRST)], SECOND[(pair // len(FIRST) + pair) % len(SECOND)]
        number = f" {serial + 1}" if serial else ""
        yield f"The {first} {second}{number} ({years[place]})"


def write(config: DownloadConfig, folder: Path) -> dict[str, float]:
    """Write ratings.csv and movies.csv as MovieLens lays them out, and users.csv; returns what the oracle's RMSE is."""
    data = generate(config)
    rng = np.random.default_rng([config.seed, 1])
    movie_ids = np.cumsum(rng.integers(1, 4, config.items))  # with gaps, as real ids have
    ratings = {
        "userId": data.users + 1,
        "movieId": movie_ids[data.items],
        "rating": data.ratings,
        "timestamp": data.timestamps,
    }
    by_alphabet = np.argsort(GENRES)
    genres = ["|".join(GENRES[g] for g in by_alphabet if of_item[g]) for of_item in data.genres]
    users = {
        "userId": np.arange(1, config.users + 1),
        "age": [AGES[group] for group in data.groups[:, : len(AGES)].argmax(axis=1)],
        "gender": [GENDERS[group] for group in data.groups[:, len(AGES) :].argmax(axis=1)],
    }
    _write_csv(folder / "ratings.csv", ratings)
    _write_csv(
        folder / "movies.csv", {"movieId": movie_ids, "title": list(titles(rng, config.items)), "genres": genres}
    )
    _write_csv(folder / "users.csv", users)
    errors = data.expected.astype(np.float64) - data.ratings
    return {"ratings": len(data.ratings), "oracle_rmse": float(np.sqrt(np.mean(errors**2)))}


def _write_csv(path: Path, columns: dict[str, Any]) -> None:
    with path.open("wb") as file:
        file.write((",".join(columns) + "\n").encode())  # pyarrow would quote the names
        pacsv.write_csv(
            pa.table({name: to_arrow(values) for name, values in columns.items()}),
            file,
            pacsv.WriteOptions(include_header=False, quoting_style="none"),
        )
