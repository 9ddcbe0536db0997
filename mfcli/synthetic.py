"""The built-in data set: ratings with a planted truth, as skewed as MovieLens, that need no network.

    rating = nearest half star to (μ + b_u + b_i + p_u·q_i + noise), within 0.5 to 5

The oracle predicts the mean of that given the planted parameters. No model can beat its RMSE by more than luck.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pacsv

from mfcli.config import DownloadConfig
from mfcli.errors import UsageError

MEAN = 3.5
USER_BIAS_STD, ITEM_BIAS_STD, TASTE_STD = 0.35, 0.45, 0.55  # in rating points; the last of p·q as a whole
STARS = np.arange(0.5, 5.01, 0.5)
START, YEARS = 946_684_800, 18  # 2000-01-01 in seconds, and for how long users rate
CHUNK = 1_000_000

GENRES = "Drama Comedy Thriller Action Romance Adventure Sci-Fi Crime Fantasy Children Mystery Documentary".split()
FIRST = (
    "Silent Crimson Last Hidden Electric Broken Golden Midnight Paper Burning Distant Hollow Iron Velvet Winter Secret "
    "Wandering Glass Savage Quiet Lonely Scarlet Frozen Restless Forgotten"
).split()
SECOND = (
    "River Garden Empire Letters Horizon Orchard Machine Harbor Carnival Island Mirror Signal Highway Kingdom Shadow "
    "Voyage Summer Theater Detective Symphony Lighthouse Stranger Promise Canyon Tango"
).split()


@dataclass(frozen=True)
class Synthetic:
    """n ratings and their truth, in the order of users and time.

    Attributes:
        users, items: (n,) int32 from 0.
        ratings: (n,) float32 half stars.
        expected: (n,) float32, the oracle's predictions.
        timestamps: (n,) int64 seconds.
    """

    users: npt.NDArray[np.int32]
    items: npt.NDArray[np.int32]
    ratings: npt.NDArray[np.float32]
    expected: npt.NDArray[np.float32]
    timestamps: npt.NDArray[np.int64]


def generate(config: DownloadConfig) -> Synthetic:
    """Plant and draw. Raises UsageError where so many ratings do not fit between so many users and items."""
    if config.ratings > config.users * config.items // 2:
        raise UsageError(
            f"--ratings {config.ratings}: {config.users} users and {config.items} items can have at most "
            f"{config.users * config.items // 2}, half of all pairs"
        )
    rng = np.random.default_rng(config.seed)
    users, items = _pairs(rng, config.users, config.items, config.ratings)
    user_bias = rng.normal(0, USER_BIAS_STD, config.users).astype(np.float32)
    item_bias = rng.normal(0, ITEM_BIAS_STD, config.items).astype(np.float32)
    weights = 1.0 / np.arange(1, config.rank + 1)  # a few strong factors, many weak ones, as tastes are
    weights *= TASTE_STD / max(float(np.linalg.norm(weights)), 1e-9)  # p·q has standard deviation TASTE_STD
    p = (rng.normal(size=(config.users, config.rank)) * np.sqrt(weights)).astype(np.float32)
    q = (rng.normal(size=(config.items, config.rank)) * np.sqrt(weights)).astype(np.float32)
    ratings, expected = np.empty(len(users), np.float32), np.empty(len(users), np.float32)
    for start in range(0, len(users), CHUNK):
        part = slice(start, start + CHUNK)
        u, i = users[part], items[part]
        liking = MEAN + user_bias[u] + item_bias[i] + np.einsum("nk,nk->n", p[u], q[i])
        noisy = liking + rng.normal(0, config.noise, len(u)) if config.noise else liking
        ratings[part] = np.clip(np.floor(noisy * 2 + 0.5) / 2, STARS[0], STARS[-1])
        expected[part] = _expected(liking, config.noise)
    return Synthetic(users, items, ratings, expected, _timestamps(rng, users, config.users))


def _expected(liking: npt.NDArray[np.float32], noise: float) -> npt.NDArray[np.float64]:
    """Mean rating given the liking: (n,) to (n,). Each threshold between two half stars that is passed adds 0.5."""
    from scipy.special import ndtr  # comes with scikit-learn

    thresholds = (STARS[:-1] + STARS[1:]) / 2
    mean = np.full(len(liking), STARS[0])
    for threshold in thresholds:
        above = liking - threshold
        mean += 0.5 * (ndtr(above / noise) if noise else above >= 0)
    return mean


def _pairs(
    rng: np.random.Generator, n_users: int, n_items: int, n: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """n different pairs, by user: log-normal activity, Zipf-like popularity, as in MovieLens."""
    activity = rng.lognormal(0.0, 1.1, n_users)
    activity = np.minimum(activity / activity.sum() * n, n_items / 2)
    activity = np.maximum(activity, min(20.0, 0.5 * n / n_users))
    by_user = np.cumsum(activity)
    popularity = 1.0 / (np.arange(n_items) + 0.02 * n_items + 1.0)
    by_item = np.cumsum(rng.permutation(popularity))
    codes = np.empty(0, np.int64)
    while len(codes) < n:  # draw, drop what was drawn twice, draw the rest; late rounds fill up evenly
        wanted = n - len(codes)
        count = int(wanted * 1.2) + 100
        u = np.searchsorted(by_user, rng.random(count) * by_user[-1])
        if wanted > 0.02 * n:
            i = np.searchsorted(by_item, rng.random(count) * by_item[-1])
        else:
            i = rng.integers(0, n_items, count)
        new = np.setdiff1d(u.astype(np.int64) * n_items + i, codes)
        if len(new) > wanted:
            new = rng.choice(new, wanted, replace=False)
        codes = np.concatenate([codes, new])
    codes.sort()
    users, items = np.divmod(codes, n_items)
    return users.astype(np.int32), items.astype(np.int32)


def _timestamps(rng: np.random.Generator, users: npt.NDArray[np.int32], n_users: int) -> npt.NDArray[np.int64]:
    """Seconds: each user arrives one day and rates within the hours and weeks that follow."""
    arrival = rng.integers(START, START + YEARS * 365 * 86_400, n_users)
    return np.asarray(arrival[users] + rng.exponential(20 * 86_400, len(users)).astype(np.int64), np.int64)


def titles(rng: np.random.Generator, count: int) -> Iterator[tuple[str, str]]:
    """``count`` different titles, each with one to three genres."""
    years = rng.integers(1950, 2019, count)
    for place in range(count):
        serial, pair = divmod(place, len(FIRST) * len(SECOND))
        first, second = FIRST[pair % len(FIRST)], SECOND[(pair // len(FIRST) + pair) % len(SECOND)]
        number = f" {serial + 1}" if serial else ""
        genres = rng.choice(len(GENRES), size=rng.integers(1, 4), replace=False)
        yield f"The {first} {second}{number} ({years[place]})", "|".join(sorted(GENRES[g] for g in genres))


def write(config: DownloadConfig, folder: Path) -> dict[str, float]:
    """Write ratings.csv and movies.csv as MovieLens lays them out; the figures say how well the oracle does."""
    data = generate(config)
    rng = np.random.default_rng([config.seed, 1])
    movie_ids = np.cumsum(rng.integers(1, 4, config.items))  # with gaps, as real ids have
    table = pa.table(
        {
            "userId": data.users + 1,
            "movieId": movie_ids[data.items],
            "rating": data.ratings,
            "timestamp": data.timestamps,
        }
    )
    with (folder / "ratings.csv").open("wb") as file:
        file.write(b"userId,movieId,rating,timestamp\n")
        pacsv.write_csv(table, file, pacsv.WriteOptions(include_header=False, quoting_style="none"))
    names, genres = zip(*titles(rng, config.items), strict=True)
    movies = pa.table({"movieId": movie_ids, "title": names, "genres": genres})
    with (folder / "movies.csv").open("wb") as file:
        pacsv.write_csv(movies, file, pacsv.WriteOptions(quoting_style="none"))
    errors = data.expected.astype(np.float64) - data.ratings
    return {"ratings": len(data.ratings), "oracle_rmse": float(np.sqrt(np.mean(errors**2)))}
