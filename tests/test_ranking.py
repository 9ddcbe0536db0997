"""The best n items against sorted(), and users a block at a time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfcli.data.ratings import ItemLists
from mfcli.models import ranking as module
from mfcli.models.ranking import rank, top_n


class Table:
    """A scorer that looks its scores up, and notes how many users it was asked for at a time."""

    def __init__(self, scores: np.ndarray) -> None:
        self.table, self.asked = scores.astype(np.float32), list[int]()

    @property
    def n_items(self) -> int:
        return self.table.shape[1]

    def scores(self, users: np.ndarray) -> np.ndarray:
        self.asked.append(len(users))
        return self.table[users]

    def exact(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        return self.table[users, items].astype(np.float64)


RANDOM = np.random.default_rng(0).normal(size=(10, 7))


@pytest.mark.parametrize("at_once", [1, 20, 10**9])
def test_every_user_gets_their_best_items_in_the_order_asked_for(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(module, "SCORES_AT_ONCE", at_once)
    users = np.array([3, 9, 0, 4])
    blocks = list(rank(Table(RANDOM), users, 3))
    assert np.concatenate([block.users for block in blocks]).tolist() == users.tolist()
    best = np.argsort(-RANDOM[users], axis=1)[:, :3]
    assert np.concatenate([block.items for block in blocks]).tolist() == best.tolist()
    scores = np.concatenate([block.scores for block in blocks])
    np.testing.assert_allclose(scores, np.take_along_axis(RANDOM[users], best, axis=1), rtol=1e-6)


def test_no_more_scores_are_held_than_fit_and_none_before_they_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SCORES_AT_ONCE", 3 * 7 + 1)
    scorer = Table(RANDOM)
    blocks = rank(scorer, np.arange(10), 3)
    assert scorer.asked == []
    next(blocks)
    assert scorer.asked == [3]
    assert len(list(blocks)) == 3
    assert scorer.asked == [3, 3, 3, 1]


def test_hidden_items_are_left_out_and_a_user_may_have_too_few() -> None:
    hidden = ItemLists.from_pairs(np.array([1, 0, 1, 1], np.int32), np.array([2, 1, 0, 3], np.int32), 3)
    (ranked,) = rank(Table(np.tile(np.arange(4), (3, 1))), np.arange(3), 3, hidden=hidden)
    assert ranked.items.tolist() == [[3, 2, 0], [1, -1, -1], [3, 2, 1]]
    assert ranked.scores[1, 0] == 1


def test_nobody_to_rank_for_is_no_block() -> None:
    assert list(rank(Table(RANDOM), np.empty(0, np.int64), 3)) == []


# Few different values, so that ties are common; -inf is an item to leave out.
SCORES = st.integers(1, 8).flatmap(
    lambda columns: st.lists(
        st.lists(st.sampled_from([-np.inf, -1.5, 0.0, 0.25, 2.0]), min_size=columns, max_size=columns),
        min_size=1,
        max_size=4,
    )
)


@given(scores=SCORES, n=st.integers(0, 10))
def test_top_n_is_the_head_of_the_sorted_row(scores: list[list[float]], n: int) -> None:
    best, values = top_n(np.array(scores, np.float32), n)
    assert values.tolist() == [
        [row[c] if c >= 0 else -np.inf for c in found] for row, found in zip(scores, best.tolist(), strict=True)
    ]
    assert best.shape == (len(scores), min(n, len(scores[0])))
    for row, found in zip(scores, best.tolist(), strict=True):
        expected = sorted((c for c in range(len(row)) if row[c] > -np.inf), key=lambda c: (-row[c], c))[: len(found)]
        assert found == expected + [-1] * (len(found) - len(expected))


def test_ties_go_by_column_also_where_the_cut_runs_through_them() -> None:
    scores = np.array([[1, 3, 2, 3, 2, 2], [7, 7, 7, 7, 7, 7]], np.float32)
    assert top_n(scores, 3)[0].tolist() == [[1, 3, 2], [0, 1, 2]]


def test_a_row_with_too_few_candidates_is_filled_with_none() -> None:
    scores = np.array([[-np.inf, 4, -np.inf], [-np.inf] * 3, [1, 2, 3]], np.float32)
    assert top_n(scores, 5)[0].tolist() == [[1, -1, -1], [-1, -1, -1], [2, 1, 0]]


@pytest.mark.parametrize("columns", [10_000, 10_007, 61])
@pytest.mark.parametrize("n", [1, 50, 3000])
def test_the_best_of_many_are_numpys(columns: int, n: int) -> None:
    scores = np.random.default_rng(0).normal(size=(5, columns)).astype(np.float32)
    assert top_n(scores, n)[0].tolist() == np.argsort(-scores, axis=1, kind="stable")[:, :n].tolist()


def test_the_best_are_found_wherever_they_lie() -> None:
    """All of the best next to each other, first or last, beside a rest that is tied."""
    scores = np.zeros((2, 5000), np.float32)
    scores[0, :20], scores[1, -20:] = np.arange(20, 0, -1), np.arange(1, 21)
    assert top_n(scores, 20)[0].tolist() == [list(range(20)), list(range(4999, 4979, -1))]
    assert top_n(scores, 22)[0].tolist() == [list(range(22)), [*range(4999, 4979, -1), 0, 1]]


def test_what_float32_takes_for_equal_is_told_apart_exactly() -> None:
    truth = 1 + np.random.default_rng(0).permutation(200)[None] * 1e-12
    best, values = top_n(truth.astype(np.float32), 190, lambda rows, columns: truth[rows, columns])
    order = np.argsort(-truth[0])[:190]
    assert best[0].tolist() == order.tolist()
    assert values[0].tolist() == truth[0, order].tolist()
