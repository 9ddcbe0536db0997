"""Ratings in memory: selecting, counting, rows by user, and parquet there and back."""

import io

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfcli.data.ratings import Ratings


def ratings(users: list[int], items: list[int], timestamps: list[int] | None = None) -> Ratings:
    """The n-th rating is n + 0.5; 4 users and 5 items are known."""
    times = None if timestamps is None else np.array(timestamps, np.int64)
    values = np.arange(len(users), dtype=np.float32) + np.float32(0.5)
    return Ratings(np.array(users, np.int32), np.array(items, np.int32), values, 4, 5, times)


THREE = ratings([3, 0, 3], [1, 4, 0], [30, 10, 20])


@pytest.mark.parametrize("rows", [np.array([2, 0]), np.array([2, 0, 2])])
def test_rows_are_taken_in_the_order_given(rows: np.ndarray) -> None:
    taken = THREE.take(rows)
    assert taken.users.tolist() == [3] * len(rows)
    assert taken.items.tolist() == [[1, 4, 0][row] for row in rows]
    assert taken.ratings.tolist() == [row + 0.5 for row in rows]
    assert taken.timestamps is not None
    assert taken.timestamps.tolist() == [[30, 10, 20][row] for row in rows]
    assert (taken.n_users, taken.n_items) == (4, 5)


def test_a_mask_keeps_the_order() -> None:
    assert ratings([3, 0, 3], [1, 4, 0]).take(np.array([True, False, True])).items.tolist() == [1, 0]


def test_counts_have_a_place_for_every_known_user_and_item() -> None:
    assert THREE.user_counts().tolist() == [1, 0, 0, 2]
    assert THREE.item_counts().tolist() == [1, 1, 0, 0, 1]


def test_items_of_each_user_in_compressed_rows() -> None:
    starts, items = THREE.by_user()
    assert starts.tolist() == [0, 1, 1, 1, 3]
    assert items.tolist() == [4, 1, 0]


@pytest.mark.parametrize(("users", "items"), [([4], [0]), ([-1], [0]), ([0], [5]), ([0], [-1])])
def test_an_index_beyond_its_table_is_refused(users: list[int], items: list[int]) -> None:
    with pytest.raises(ValueError, match="is not a row of the"):
        ratings(users, items)


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in length"):
        ratings([0, 1], [0])


ROWS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(-(2**63), 2**63 - 1)), max_size=20)


@settings(deadline=None)
@given(rows=ROWS, timed=st.booleans())
def test_parquet_gives_back_what_it_was_given(rows: list[tuple[int, int, int]], timed: bool) -> None:
    users, items, times = (list(column) for column in zip(*rows, strict=True)) if rows else ([], [], [])
    before = ratings(users, items, times if timed else None)
    file = io.BytesIO()
    pq.write_table(before.to_arrow(), file, row_group_size=7)
    after = Ratings.from_arrow(pq.read_table(file), 4, 5)
    for name in ("users", "items", "ratings", "timestamps"):
        a, b = getattr(before, name), getattr(after, name)
        if a is None:
            assert b is None
        else:
            assert a.dtype == b.dtype
            assert a.tolist() == b.tolist()
            assert b.flags.writeable
