"""What users have rated, read of some users without reading that of the others."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfcli.data import seen
from mfcli.data.ratings import Parts, Ratings
from mfcli.data.seen import FILE, read_seen, write_seen

N_USERS, N_ITEMS = 11, 7
RNG = np.random.default_rng(0)
PAIRS = [divmod(int(pair), N_ITEMS) for pair in RNG.permutation(N_USERS * N_ITEMS)[:30] if pair // N_ITEMS != 5]
RATED = {user: sorted(item for u, item in PAIRS if u == user) for user in range(N_USERS)}
COUNTS = np.array([len(RATED[user]) for user in range(N_USERS)], np.int32)


def ratings(pairs: list[tuple[int, int]]) -> Ratings:
    users, items = (np.array(side, np.int32) for side in (zip(*pairs, strict=True) if pairs else ([], [])))
    return Ratings(users, items, np.ones(len(pairs), np.float32), N_USERS, N_ITEMS)


@pytest.fixture(autouse=True)
def few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen, "USERS_AT_ONCE", 4)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("seen") / FILE
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seen, "USERS_AT_ONCE", 4)
        write_seen(Parts(ratings(PAIRS[:17]), ratings([]), ratings(PAIRS[17:])), path)
    return path.read_bytes()


@given(users=st.lists(st.integers(0, N_USERS - 1), max_size=5))
def test_what_some_users_rated_in_any_part_is_read(written: bytes, users: list[int]) -> None:
    lists = read_seen(io.BytesIO(written), np.array(users, np.int64), COUNTS, N_ITEMS)
    assert [lists.for_user(user).tolist() for user in users] == [RATED[user] for user in users]
    near = {user // 4 for user in users}
    assert [user for user in range(N_USERS) if len(lists.for_user(user)) and user // 4 not in near] == []


def test_only_the_row_groups_of_the_users_asked_for_are_read(written: bytes) -> None:
    """A flipped byte in what holds the first users' lists is not met by those who ask for the last."""
    data = pq.ParquetFile(io.BytesIO(written)).metadata.row_group(0).column(0)
    place = (data.dictionary_page_offset or data.data_page_offset) + 2
    broken = written[:place] + bytes(200) + written[place + 200 :] if data.total_compressed_size > 200 else b""
    broken = broken or written[:place] + bytes(20) + written[place + 20 :]
    last = read_seen(io.BytesIO(broken), np.array([N_USERS - 1]), COUNTS, N_ITEMS)
    assert last.for_user(N_USERS - 1).tolist() == RATED[N_USERS - 1]
    with pytest.raises(ValueError, match=r"no parquet file of items|not as long"):
        read_seen(io.BytesIO(broken), np.array([0]), COUNTS, N_ITEMS)


def test_lists_that_are_not_those_of_the_ratings_are_refused(written: bytes, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not as long as the users have ratings"):
        read_seen(io.BytesIO(written), np.array([0]), COUNTS + 1, N_ITEMS)
    with pytest.raises(ValueError, match="items that there are not"):
        read_seen(io.BytesIO(written), np.arange(N_USERS), COUNTS, 2)
    for content in (b"", b"PAR1", written[:-9]):
        with pytest.raises(ValueError, match="no parquet file of items"):
            read_seen(io.BytesIO(content), np.array([0]), COUNTS, N_ITEMS)
    for column in (pa.array(["a"] * N_USERS), pa.array([["a"]] * N_USERS), pa.array([[0.5]] * N_USERS)):
        pq.write_table(pa.table({"items": column}), tmp_path / "other")
        with pytest.raises(ValueError, match=r"no parquet file of items|column items is"):
            read_seen(io.BytesIO((tmp_path / "other").read_bytes()), np.array([0]), COUNTS, N_ITEMS)
