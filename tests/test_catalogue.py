"""The catalogue says what GroupLens publishes."""

import pytest

from mfcli.data.catalogue import CATALOGUE, find
from mfcli.errors import UsageError

PUBLISHED = {
    "ml-latest-small": None,
    "ml-latest": None,
    "ml-100k": "0e33842e24a9c977be4e0107933c0723",
    "ml-1m": "c4d9eecfca2ab87c1945afe126590906",
    "ml-10m": "ce571fd55effeba0271552578f2648bd",
    "ml-20m": "cd245b17a1ae2cc31bb14903e1204af3",
    "ml-25m": "6b51fb2759a8657d3bfcbfc42b592ada",
    "ml-32m": "d472be332d4daa821edc399621853b57",
}


def test_every_set_has_its_published_checksum() -> None:
    assert {name: entry.md5 for name, entry in CATALOGUE.items()} == PUBLISHED


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_set_has_size_and_terms(name: str) -> None:
    entry = find(name)
    assert entry.ratings >= 100_000
    assert entry.megabytes >= 1
    assert "research use" in entry.licence
    assert entry.address() == f"https://files.grouplens.org/datasets/movielens/{name}.zip"


@pytest.mark.parametrize("mirror", ["http://mirror/ml", "http://mirror/ml/"])
def test_a_mirror_replaces_the_base_address(mirror: str) -> None:
    assert find("ml-20m").address(mirror) == "http://mirror/ml/ml-20m.zip"


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"'netflix': there are ml-latest-small, .*, ml-32m, synthetic"):
        find("netflix")
