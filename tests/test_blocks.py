"""Cutting: blocks hold every rating once, every row once, and little else."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mfcli.data.ratings import Ratings
from mfcli.solvers.blocks import Blocks, cut_sides, less
from tests.planted import CPU, ratings_of

pairs = st.dictionaries(st.tuples(st.integers(0, 8), st.integers(0, 6)), st.integers(1, 10), min_size=1)


def slots(blocks: Blocks) -> int:
    """Slots of all blocks, padded ones too."""
    return sum(block.others.numel() for block in blocks.blocks)


def read_back(blocks: Blocks, n_others: int) -> list[tuple[int, int, float]]:
    """All ratings that the blocks hold."""
    found = []
    for block in blocks.blocks:
        for row, others, values in zip(block.rows, block.others, block.ratings, strict=True):
            real = others != n_others
            found += [(int(row), int(o), float(v)) for o, v in zip(others[real], values[real], strict=True)]
    return sorted(found)


@given(pairs)
@settings(max_examples=50, deadline=None)
def test_blocks_hold_every_rating_once_and_every_row(found: dict[tuple[int, int], int]) -> None:
    triples = sorted((u, i, r / 2) for (u, i), r in found.items())
    blocks = cut_sides(ratings_of(triples, 9, 7), 3, less(0.0), CPU).users
    assert read_back(blocks, 7) == triples
    assert sorted(int(row) for block in blocks.blocks for row in block.rows) == list(range(9))
    assert blocks.sizes.sum() == len(triples)


def test_one_row_may_have_most_of_the_ratings() -> None:
    """User 0 rates all of 3000 items, 199 others one each: one block for all would have 600,000 slots."""
    triples = [(0, i, float(i % 5)) for i in range(3000)] + [(u, u, 3.0) for u in range(1, 200)]
    ratings = ratings_of(triples, 200, 3000)
    assert slots(cut_sides(ratings, 3, less(0.0), CPU).users) < 1.2 * len(ratings)


def test_a_million_users_of_few_ratings_are_hardly_padded() -> None:
    """One to about ten ratings a user, as in the long tail of real data."""
    rng, n = np.random.default_rng(0), 1_000_000
    users = np.concatenate([np.arange(n), rng.integers(0, n, n)]).astype(np.int32)
    items = rng.integers(0, 50, 2 * n).astype(np.int32)
    by_user, by_item = cut_sides(Ratings(users, items, np.ones(2 * n, np.float32), n, 50), 8, less(0.0), CPU)
    assert slots(by_user) < 1.05 * len(users)
    assert slots(by_item) < 1.05 * len(users)
    assert len(by_user.blocks) < 500
