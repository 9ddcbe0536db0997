"""The built-in data set: what it looks like, that it is the same for the same seed, that its oracle tells the truth."""

import json
from itertools import combinations
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfcli.arrays import Int64s
from mfcli.config.download import DownloadConfig
from mfcli.data import synthetic
from mfcli.data.synthetic import Synthetic, expected_rating, generate
from mfcli.errors import UsageError
from tests.conftest import Result, run_mfcli

OPTIONS = ("--users", 50, "--items", 700, "--ratings", 2500, "--rank", 3, "--noise", 0.5)


def config(**options: object) -> DownloadConfig:
    return DownloadConfig(name="synthetic", **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def default() -> Synthetic:
    return generate(config())


@pytest.fixture(scope="module")
def as_large_as_ml_1m() -> Synthetic:
    return generate(config(users=6040, items=3706, ratings=1_000_209))


# ── shape ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(2, 60), st.integers(2, 60), st.integers(0, 2**32 - 1))
def test_exactly_so_many_different_pairs(data: st.DataObject, users: int, items: int, seed: int) -> None:
    """At any size that fits; everybody and everything has a rating where there are enough of them."""
    most = users * items // 2
    if most < 10:
        return
    n = data.draw(st.integers(10, most))
    made = generate(config(users=users, items=items, ratings=n, rank=2, seed=seed))
    pairs = made.users.astype(np.int64) * items + made.items
    assert len(pairs) == n
    assert (np.diff(pairs) > 0).all()  # by user, then item, none twice
    assert made.items.max() < items
    assert len(np.unique(made.users)) == min(users, n) or n < users
    assert len(np.unique(made.items)) == min(items, n) or n < items
    assert made.users.max() < users


def test_half_stars_over_the_whole_range(default: Synthetic) -> None:
    assert np.unique(default.ratings).tolist() == [0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5]
    assert 3.3 < default.ratings.mean() < 3.7
    assert default.ratings.dtype == np.float32


def gini(counts: Int64s) -> float:
    """0 where all are equal, 1 where one has everything."""
    shares = np.cumsum(np.sort(counts)) / counts.sum()
    return float(1 - 2 * shares.mean() + 1 / len(counts))


def test_activity_and_popularity_are_as_skewed_as_in_ml_1m(as_large_as_ml_1m: Synthetic) -> None:
    """There a user has 20 to 2,314 ratings, median 96, Gini 0.53, and an item 1 to 3,428, median 123, Gini 0.63."""
    by_user, by_item = (np.bincount(side) for side in (as_large_as_ml_1m.users, as_large_as_ml_1m.items))
    assert by_user.min() == 20
    assert by_item.min() >= 1
    assert 80 < np.median(by_user) < 115
    assert 1500 < by_user.max() <= 1853  # half of all items
    assert 0.48 < gini(by_user) < 0.6
    assert 100 < np.median(by_item) < 150
    assert 2500 < by_item.max() < 4500
    assert 0.57 < gini(by_item) < 0.69


def test_the_most_popular_items_are_not_the_first(default: Synthetic) -> None:
    """Ids tell nothing, as they should not."""
    counts = np.bincount(default.items)
    assert abs(np.corrcoef(counts, np.arange(len(counts)))[0, 1]) < 0.1


def test_a_user_comes_one_day_and_rates_for_weeks(default: Synthetic) -> None:
    times = pd.Series(pd.to_datetime(default.timestamps, unit="s"))
    assert times.min().year >= 2000
    assert times.max().year <= 2018
    spans = times.groupby(default.users).agg(lambda t: (t.max() - t.min()).days)
    assert spans.max() < 400
    assert 30 < spans.median() < 150
    assert times.groupby(default.users).min().dt.year.nunique() >= 17


@pytest.mark.parametrize("count", [1, 1700, 20_000])
def test_titles_are_different(count: int) -> None:
    made = pd.Series(list(synthetic.titles(np.random.default_rng(0), count)))
    assert len(made) == count
    assert made.is_unique
    assert made.str.fullmatch(r"The [A-Z]\w+ [A-Z]\w+( \d+)? \((19[5-9]\d|20[01]\d)\)").all()


def test_an_item_has_one_to_three_genres_and_a_user_one_age_and_gender(default: Synthetic) -> None:
    assert set(default.genres.sum(axis=1)) == {1, 2, 3}
    ages = len(synthetic.AGES)
    assert (default.groups[:, :ages].sum(axis=1) == 1).all()
    assert (default.groups[:, ages:].sum(axis=1) == 1).all()


def test_genres_and_groups_account_for_half_of_what_is_planted(as_large_as_ml_1m: Synthetic) -> None:
    """Of the variance of an item's mean liking, mostly its bias, genres explain half; and groups of a user's."""
    made = as_large_as_ml_1m
    for rows, features in ((made.items, made.genres), (made.users, made.groups)):
        counts = np.bincount(rows)
        means = np.bincount(rows, made.expected) / counts
        fit = np.column_stack([features, np.ones(len(features))])[counts > 99]
        left = means[counts > 99] - fit @ np.linalg.lstsq(fit, means[counts > 99], rcond=None)[0]
        assert 0.4 < 1 - left.var() / means[counts > 99].var() < 0.6


# ── the oracle ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_expected_rating_by_hand() -> None:
    """With noise 0.25 the thresholds 3.25 and 3.75 lie one standard deviation from 3.5; above 5 nothing is."""
    below = sum(NormalDist().cdf(-z) for z in (1, 3, 5, 7, 9))  # thresholds 4.75, 4.25, ... for a liking of 5
    likings = np.array([3.5, 3.75, 5.0, 50.0, -50.0])
    assert expected_rating(likings, 0.25) == pytest.approx([3.5, 3.75, 5 - 0.5 * below, 5, 0.5], abs=1e-6)
    assert expected_rating(np.array([3.24, 3.25, 9.0, -9.0]), 0.0).tolist() == [3.0, 3.5, 5.0, 0.5]


@pytest.mark.parametrize("noise", [0.1, 0.75, 3.0])
def test_the_expected_rating_is_the_mean_of_many(noise: float) -> None:
    likings, draws = np.array([-1.0, 0.6, 2.9, 3.5, 4.8, 7.0]), 200_000
    drawn = likings[:, None] + noise * np.random.default_rng(0).standard_normal((len(likings), draws))
    rated = np.clip(np.floor(drawn * 2 + 0.5) / 2, 0.5, 5)
    allowed = 5 * rated.std(axis=1) / np.sqrt(draws) + 1e-4
    assert (np.abs(rated.mean(axis=1) - expected_rating(likings, noise)) < allowed).all()


def test_nothing_is_left_to_learn_beside_the_oracle(as_large_as_ml_1m: Synthetic) -> None:
    """Its errors are luck: zero on average wherever one looks, and as spread as luck over users and items."""
    made = as_large_as_ml_1m
    errors = made.ratings - made.expected.astype(np.float64)
    for group in (np.digitize(made.expected, np.quantile(made.expected, np.arange(0.05, 1, 0.05))), made.users):
        counts, sums = np.bincount(group), np.bincount(group, errors)
        z = sums / np.sqrt(np.bincount(group, errors**2))
        assert (counts >= 20).all()
        assert np.abs(z).max() < 5
        assert (z**2).mean() < 1 + 5 * np.sqrt(2 / len(z))


@pytest.mark.parametrize(
    ("noise", "least", "most"), [(0.0, 0.0, 0.0), (1e-300, 0.0, 0.0), (0.1, 0.14, 0.19), (1e308, 2.2, 2.3)]
)
def test_the_oracle_is_as_good_as_the_noise_lets_it_be(tmp_path: Path, noise: float, least: float, most: float) -> None:
    """Without noise the oracle knows even the rounding; half a star of it is 0.5 / √12 = 0.144."""
    results = synthetic.write(config(noise=noise, ratings=20_000), tmp_path)
    assert least <= results["oracle_rmse"] <= most


@pytest.mark.parametrize(("rank", "agree"), [(0, True), (2, False)])
def test_without_factors_all_users_agree_on_the_order_of_items(rank: int, agree: bool) -> None:
    made = generate(config(users=6, items=40, ratings=120, rank=rank, noise=5.0))
    table = pd.DataFrame({"u": made.users, "i": made.items, "e": made.expected}).pivot(
        index="u", columns="i", values="e"
    )
    both = [table.loc[list(pair)].dropna(axis=1).to_numpy() for pair in combinations(table.index, 2)]
    assert all((np.argsort(one) == np.argsort(other)).all() for one, other in both) is agree


# ── seed, options, files ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """What ``mfcli download synthetic`` wrote and said."""
    folder = tmp_path_factory.mktemp("synthetic")
    return folder, run_mfcli("download", "synthetic", *OPTIONS, "--json", cwd=folder)


def test_the_command_writes_movielens_files_and_says_how_good_the_oracle_is(made: tuple[Path, Result]) -> None:
    folder, result = made
    assert (result.returncode, result.stderr) == (0, "")
    said = json.loads(result.stdout)
    assert said["files"] == ["movies.csv", "ratings.csv", "users.csv"]
    ratings, movies = (pd.read_csv(folder / said["path"] / name) for name in ("ratings.csv", "movies.csv"))
    assert ratings.columns.tolist() == ["userId", "movieId", "rating", "timestamp"]
    assert movies.columns.tolist() == ["movieId", "title", "genres"]
    assert (len(ratings), len(movies), ratings.userId.nunique(), ratings.movieId.nunique()) == (2500, 700, 50, 700)
    users = pd.read_csv(folder / said["path"] / "users.csv")
    assert users.columns.tolist() == ["userId", "age", "gender"]
    assert users.userId.tolist() == list(range(1, 51))
    assert set(ratings.movieId) == set(movies.movieId)
    assert movies.movieId.is_monotonic_increasing
    assert movies.movieId.max() > 700  # ids with gaps
    truth = generate(config(users=50, items=700, ratings=2500, rank=3, noise=0.5))
    assert ratings.rating.tolist() == truth.ratings.tolist()
    genres = [sorted(np.array(synthetic.GENRES)[of_item]) for of_item in truth.genres]
    assert movies.genres.str.split("|").tolist() == genres
    both = users.age.map(synthetic.AGES.index), users.gender.map(synthetic.GENDERS.index)
    assert truth.groups[range(50), both[0]].all()
    assert truth.groups[range(50), both[1] + len(synthetic.AGES)].all()
    assert said["oracle_rmse"] == pytest.approx(np.sqrt(np.mean((ratings.rating - truth.expected) ** 2)))
    assert said["oracle_rmse"] == pytest.approx(0.5, abs=0.05)


def test_the_same_options_are_in_place_already_and_others_are_not(made: tuple[Path, Result]) -> None:
    folder, result = made
    again = run_mfcli("download", "synthetic", *OPTIONS, cwd=folder)
    assert "nothing to do" in again.stderr
    assert f"{json.loads(result.stdout)['oracle_rmse']:.4f}" in again.stdout
    before = (folder / "artifacts/raw/synthetic/ratings.csv").read_bytes()
    other = run_mfcli("download", "synthetic", *OPTIONS, "--seed", 5, cwd=folder)
    assert "nothing to do" not in other.stderr
    assert (folder / "artifacts/raw/synthetic/ratings.csv").read_bytes() != before
    back = run_mfcli("download", "synthetic", *OPTIONS, "--seed", 1234, cwd=folder)
    assert back.returncode == 0
    assert (folder / "artifacts/raw/synthetic/ratings.csv").read_bytes() == before


def test_the_seed_decides_everything(tmp_path: Path) -> None:
    def content(name: str, seed: int) -> tuple[bytes, bytes]:
        folder = tmp_path / name
        folder.mkdir()
        synthetic.write(config(users=40, items=50, ratings=600, seed=seed), folder)
        return (folder / "ratings.csv").read_bytes(), (folder / "movies.csv").read_bytes()

    first, same, other = content("a", 1), content("b", 1), content("c", 2)
    assert first == same
    assert first[0] != other[0]
    assert first[1] != other[1]


def test_half_of_all_pairs_is_the_most_there_can_be() -> None:
    assert len(generate(config(users=7, items=9, ratings=31)).users) == 31
    with pytest.raises(UsageError, match="--ratings 32: 7 users and 9 items can have at most 31, half of all pairs"):
        generate(config(users=7, items=9, ratings=32))


@pytest.mark.parametrize(
    "option",
    [{"users": 1}, {"items": 1}, {"ratings": 9}, {"rank": -1}, {"noise": -0.1}, {"noise": float("nan")}, {"seed": -1}],
)
def test_options_out_of_range(option: dict[str, float]) -> None:
    (name,) = option
    with pytest.raises(UsageError, match=f"^--{name}: "):
        config(**option)
