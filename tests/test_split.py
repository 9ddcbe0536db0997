"""Cutting ratings into parts: known answers, and that no rating is lost or used twice."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from mfcli.config.prepare import PrepareConfig
from mfcli.data.ratings import Parts, Ratings, Sides
from mfcli.data.split import pair_numbers, split
from mfcli.errors import DataError

USERS = np.array([0, 0, 1, 1, 1, 2, 3, 3], np.int32)
TIMES = np.array([5, 9, 3, 8, 8, 1, 7, 2], np.int64)


def cut(
    n: int = 8,
    users: np.ndarray = USERS,
    times: np.ndarray | None = TIMES,
    own_test: np.ndarray | None = None,
    **options: object,
) -> Parts[np.ndarray]:
    """The rows of n ratings in each part; where there are more ratings than users given, all are by one user."""
    config = PrepareConfig(**{"validation_fraction": 0.0} | options)  # type: ignore[arg-type]
    by = users if len(users) == n else np.zeros(n, np.int32)
    ratings = Ratings(by, np.arange(n, dtype=np.int32), np.ones(n, np.float32), 10, n, times)
    return split(config, ratings, Sides(*([str(one) for one in range(size)] for size in (10, n))), own_test)


@given(st.integers(2, 2000), st.floats(0.001, 0.999), st.integers(0, 2**32 - 1))
def test_the_random_split_is_scikit_learns_row_for_row(n: int, fraction: float, seed: int) -> None:
    try:
        train, test = train_test_split(np.arange(n), test_size=fraction, random_state=seed)
    except ValueError:
        with pytest.raises(DataError, match="too few to cut a test part"):
            cut(n, test_fraction=fraction, seed=seed)
        return
    parts = cut(n, test_fraction=fraction, seed=seed)
    assert parts.train.tolist() == train.tolist()
    assert parts.test.tolist() == test.tolist()
    assert parts.val.tolist() == []


def test_the_validation_part_is_cut_from_the_training_part_and_leaves_the_test_part_alone() -> None:
    with_none, with_some = cut(1000), cut(1000, validation_fraction=0.1)
    assert with_some.test.tolist() == with_none.test.tolist()
    assert len(with_some.val) == 80
    assert sorted([*with_some.train, *with_some.val]) == sorted(with_none.train)


def test_another_seed_is_another_split() -> None:
    assert cut(100).test.tolist() != cut(100, seed=1).test.tolist()
    assert cut(100, seed=1).test.tolist() == cut(100, seed=1).test.tolist()


def test_time_tests_on_the_latest_ratings_and_validates_on_those_before() -> None:
    parts = cut(split="time", test_fraction=0.25, validation_fraction=0.3)
    # By time: rows 5 (1), 7 (2), 2 (3), 0 (5), 6 (7), 3 (8), 4 (8), 1 (9).
    assert parts.train.tolist() == [5, 7, 2, 0]
    assert parts.val.tolist() == [6, 3]
    assert parts.test.tolist() == [4, 1]


def test_leave_last_tests_on_the_last_rating_of_every_user_who_has_two() -> None:
    parts = cut(split="leave-last")
    assert parts.test.tolist() == [1, 4, 6]  # user 1 rated rows 3 and 4 at once: the later row counts
    assert parts.train.tolist() == [0, 2, 3, 5, 7]


def test_leave_last_needs_somebody_with_two_ratings() -> None:
    with pytest.raises(DataError, match="a user with two ratings"):
        cut(3, np.array([0, 1, 2], np.int32), np.arange(3), split="leave-last")


def test_latest_tests_on_the_latest_share_of_each_users_ratings_and_validates_on_those_before() -> None:
    parts = cut(split="latest", test_fraction=0.4, validation_fraction=0.5)
    # Users 0, 1 and 3 by time: rows 0, 1; 2, 3, 4 (3 and 4 at once, in the order of the file); 7, 6. User 2: row 5.
    assert parts.test.tolist() == [1, 3, 4, 6]
    assert parts.val.tolist() == []  # nobody has two left
    assert parts.train.tolist() == [0, 2, 5, 7]
    users, times = np.repeat([0, 1], [10, 5]).astype(np.int32), np.append(np.arange(10)[::-1], np.arange(5))
    parts = cut(15, users, times, split="latest", test_fraction=0.2, validation_fraction=0.25)
    assert (parts.test.tolist(), parts.val.tolist()) == ([0, 1, 14], [2, 3, 13])


def test_none_trains_on_everything_unless_a_validation_part_is_asked_for() -> None:
    assert cut(split="none").train.tolist() == list(range(8))
    assert PrepareConfig(split="none").validation_fraction == 0
    assert [len(one) for one in cut(split="none", validation_fraction=0.25)] == [6, 2, 0]


def test_a_hashed_pair_stays_in_its_part_as_data_grow() -> None:
    def parts_of(n_users: int, n_items: int) -> dict[tuple[str, str], str]:
        """The part of every pair, where all n_users have rated all n_items."""
        users, items = np.divmod(np.arange(n_users * n_items, dtype=np.int32), np.int32(n_items))
        ratings = Ratings(users, items, np.ones(len(users), np.float32), n_users, n_items)
        ids = Sides([f"u{one}" for one in range(n_users)], [str(one) for one in range(n_items)])
        parts = split(PrepareConfig(test_users_share=0.3, validation_fraction=0.1), ratings, ids)
        named = zip(parts._fields, parts, strict=True)
        return {(ids.users[users[row]], ids.items[items[row]]): name for name, rows in named for row in rows}

    today, tomorrow = parts_of(50, 40), parts_of(70, 90)
    assert tomorrow | today == tomorrow
    for name, share in (("train", 0.63), ("val", 0.07), ("test", 0.3)):
        assert list(tomorrow.values()).count(name) / len(tomorrow) == pytest.approx(share, abs=0.015)


def test_a_pairs_hash_is_the_same_on_every_machine() -> None:
    """Written down once; BLAKE2b and arithmetic modulo 2^64 are the same everywhere."""
    ratings = Ratings(*np.array([[0, 0, 1], [0, 1, 1]], np.int32), np.ones(3, np.float32), 2, 2)
    numbers = pair_numbers(ratings, Sides(["1", "é"], ["1", "tt0133093"]))
    assert numbers.tolist() == [0.6225380057923483, 0.8769155514389738, 0.5494863634821413]


@pytest.mark.parametrize("kind", ["time", "latest", "leave-last"])
def test_splits_by_time_need_timestamps(kind: str) -> None:
    with pytest.raises(DataError, match="needs timestamps"):
        cut(times=None, split=kind)


def test_every_rating_is_tested_in_exactly_one_fold() -> None:
    tests = [cut(10, folds=3, fold=fold).test.tolist() for fold in (1, 2, 3)]
    assert sorted(map(len, tests)) == [3, 3, 4]
    assert sorted(row for test in tests for row in test) == list(range(10))


def test_ones_own_test_rows_are_the_test_part() -> None:
    parts = cut(5, own_test=np.array([1, 4]))
    assert parts.train.tolist() == [0, 2, 3]
    assert parts.test.tolist() == [1, 4]


@pytest.mark.parametrize(
    ("n", "options"),
    [
        (1, {}),
        (2, {"validation_fraction": 0.5}),
        (2, {"folds": 3, "fold": 1}),
        (3, {"test_fraction": 0.99}),
        (1, {"split": "time"}),
        (2, {"split": "time", "validation_fraction": 0.5}),
    ],
)
def test_too_few_ratings_are_a_data_error(n: int, options: dict[str, object]) -> None:
    with pytest.raises(DataError, match="too few"):
        cut(n, np.zeros(n, np.int32), np.arange(n), **options)


KINDS = st.sampled_from(
    [
        *({}, {"folds": 4, "fold": 3}, {"test_users_share": 0.3}),
        *({"split": name} for name in ("time", "latest", "leave-last", "none")),
    ]
)
USED = {"time": ["test_fraction"], "latest": ["test_fraction"], "leave-last": ["seed"], "none": ["seed"]}
"""Split -> what it uses beside the validation fraction; a fold uses the seed, a hash nothing, the default both."""


@settings(max_examples=200, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9)), min_size=20, max_size=80),
    kind=KINDS,
    test_fraction=st.floats(0.05, 0.6),
    validation_fraction=st.one_of(st.just(0.0), st.floats(0.05, 0.6)),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_parts_are_all_ratings_each_once(
    rows: list[tuple[int, int]], kind: dict[str, object], test_fraction: float, validation_fraction: float, seed: int
) -> None:
    users, times = np.array(rows).T
    options: dict[str, object] = {"test_fraction": test_fraction, "seed": seed if validation_fraction else 1234}
    used = USED.get(str(kind.get("split")), ["seed"] if "folds" in kind else [] if kind else ["test_fraction", "seed"])
    options = {name: options[name] for name in used} | {"validation_fraction": validation_fraction}
    parts = cut(len(rows), users.astype(np.int32), times.astype(np.int64), **kind, **options)
    assert sorted([*parts.train, *parts.val, *parts.test]) == list(range(len(rows)))
    assert len(parts.train)
    assert bool(len(parts.test)) == (kind.get("split") != "none")
    if kind.get("split") != "latest" and "test_users_share" not in kind:  # these may leave nobody anything to spare
        assert bool(len(parts.val)) == (validation_fraction > 0)
