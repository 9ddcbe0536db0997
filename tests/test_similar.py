"""Similar items: nearest by cosine, and what may stand for an item."""

from pathlib import Path

import numpy as np
import pytest

from mfcli.errors import DataError
from mfcli.models.exposure import Exposure, learn
from mfcli.models.similar import nearest
from tests.conftest import run_mfcli
from tests.planted import ratings_of
from tests.test_recommend import part, rows


def test_the_nearest_are_those_of_the_obvious_loop() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(30, 4)).astype(np.float32)
    vectors[7] = 0
    candidates = np.array([1, 2, 3, 5, 7, 8, 20, 21], np.int32)

    def cosine(a: int, b: int) -> float:
        return float(vectors[a] @ vectors[b] / np.linalg.norm(vectors[a]) / np.linalg.norm(vectors[b]))

    found, cosines = nearest(vectors, 2, 4, candidates)
    expected = sorted((one for one in candidates.tolist() if one not in (2, 7)), key=lambda one: -cosine(2, one))[:4]
    assert found.tolist() == expected
    assert cosines.tolist() == pytest.approx([cosine(2, one) for one in expected], abs=1e-6)
    assert len(nearest(vectors, 2, 100)[0]) == 28, "all but itself and the one without a direction"
    assert len(nearest(vectors, 7, 5)[0]) == 0, "nothing is like what nothing is known of"


def test_items_that_the_same_people_rate_are_alike() -> None:
    rng = np.random.default_rng(3)
    likes = [(u, i) for u in range(60) for i in range(20) if rng.random() < (0.6 if u % 2 == i % 2 else 0.1)]
    exposure = learn(ratings_of([(u, i, 4.0) for u, i in likes], 60, 20))
    for item in range(20):
        found, _ = nearest(exposure.profiles, item, 5)
        assert sum(other % 2 == item % 2 for other in found.tolist()) >= 4


def test_profiles_are_the_weights_of_ease(finished: Path) -> None:
    exposure = Exposure.from_bytes((finished / "runs" / "default" / "exposure.safetensors").read_bytes())
    loadings = exposure.vectors.items * (1 - exposure.leverages)[:, None]
    weights = (loadings * exposure.shares) @ loadings.T  # what a rating of one says of another, item by item
    norms = np.linalg.norm(weights, axis=0)
    profiles = exposure.profiles
    lengths = np.linalg.norm(profiles, axis=1)
    ours = profiles @ profiles.T / np.outer(lengths, lengths)
    np.testing.assert_allclose(ours, weights.T @ weights / np.outer(norms, norms), atol=1e-4)


def test_similar_items_of_a_run(finished: Path) -> None:
    items = part(finished, "items")
    title, one = items["title"][4], str(items["id"][4])
    got = rows(finished, similar_to=(one,), n=6, min_ratings=20)
    assert [row["rank"] for row in got] == [1, 2, 3, 4, 5, 6]
    assert {row["similar_to"] for row in got} == {items["id"][4]}
    assert all(row["ratings"] >= 20 and row["item"] != items["id"][4] for row in got)
    assert [row["similarity"] for row in got] == sorted((row["similarity"] for row in got), reverse=True)
    assert rows(finished, similar_to=(title.lower(),), n=6, min_ratings=20) == got
    two = rows(finished, similar_to=(one, str(items["id"][9])), n=6, min_ratings=20)
    assert two[:6] == got
    assert {row["similar_to"] for row in two[6:]} == {items["id"][9]}


def test_items_with_few_ratings_are_left_out_unless_asked_for(finished: Path) -> None:
    one = (str(part(finished, "items")["id"][0]),)
    few = int((part(finished, "items")["train_ratings"] < 10).sum())
    assert few, "the data have such items"
    assert all(row["ratings"] >= 10 for row in rows(finished, similar_to=one, n=1000))
    assert any(row["ratings"] < 10 for row in rows(finished, similar_to=one, n=1000, min_ratings=0))


def test_what_is_no_item_and_what_is_not_clear(finished: Path) -> None:
    with pytest.raises(DataError, match=r"no item has the id or the title 'zzz': .*recommend --list items"):
        rows(finished, similar_to=("zzz",))
    with pytest.raises(DataError, match=r"'the' may be \d+ .* \(\d+ ratings\);.* and \d+ more: give the id"):
        rows(finished, similar_to=("the",))


def test_the_table_says_what_the_items_are_similar_to(finished: Path) -> None:
    done = run_mfcli("recommend", "--similar-to", part(finished, "items")["id"][0], cwd=finished.parent)
    assert (done.returncode, done.stderr) == (0, "")
    asked = part(finished, "items").iloc[0]
    assert done.stdout.startswith(f"similar to {asked['id']}: {asked['title']}\n")
