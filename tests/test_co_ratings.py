"""Features from who rated what."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mfcli.solvers.co_ratings import WIDTH, co_ratings
from mfcli.stage_file import sealed, unsealed
from tests.conftest import Runner
from tests.planted import full_matrix, ratings_of, some_of

TRAIN, _ = some_of(full_matrix(40, 30, 2, 0.3), 0.3)


def rated() -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    table = np.zeros((TRAIN.n_users, TRAIN.n_items))
    table[TRAIN.users, TRAIN.items] = 1
    return table


def test_they_are_the_leading_directions_of_who_rated_what() -> None:
    found = co_ratings(TRAIN)
    left, values, right = np.linalg.svd(rated(), full_matrices=False)
    width = found.basis.shape[1]
    assert width == TRAIN.n_items < WIDTH
    best = (left[:, :width] * values[:width]) @ right[:width]
    of_users = found.rows.users * np.sqrt(TRAIN.user_counts())[:, None]
    of_items = found.rows.items * np.sqrt(TRAIN.item_counts())[:, None] / values[:width]
    np.testing.assert_allclose(of_users @ found.basis.T, best, atol=1e-4)
    np.testing.assert_allclose(of_users @ of_items.T, best, atol=1e-4)


def test_somebody_new_has_the_features_of_whoever_rated_the_same() -> None:
    found = co_ratings(TRAIN)
    items = TRAIN.items[TRAIN.users == 7]
    np.testing.assert_allclose(found.basis[items].sum(0) / np.sqrt(len(items)), found.rows.users[7], atol=1e-5)


def test_how_something_was_rated_and_how_often_the_same_makes_no_difference() -> None:
    once, others = co_ratings(TRAIN), co_ratings(replace(TRAIN, ratings=-TRAIN.ratings))
    twice = co_ratings(TRAIN.take(np.append(np.arange(len(TRAIN)), 5)))
    assert once.rows.users.tobytes() == others.rows.users.tobytes()
    assert once.basis.tobytes() == twice.basis.tobytes()


def test_nobody_rated_and_rounding_have_no_direction() -> None:
    """All rate all: there is one direction, that of the most popular. Whoever rated nothing has none of it."""
    pairs = [(user, item, 3.0) for user in range(6) for item in range(5)]
    found = co_ratings(ratings_of(pairs, 7, 6))
    assert found.basis.shape == (6, 1)
    np.testing.assert_allclose(found.basis[:5, 0], 5**-0.5, rtol=1e-5)
    assert found.rows.users[6] == found.rows.items[5] == 0


@pytest.mark.parametrize("threads", ["1", "2"])
def test_training_reads_no_test_rating(artifacts: Path, mfcli: Runner, threads: str) -> None:
    """Without the test part the same model comes of it, however many threads there are."""

    def trained(run: str, threads: str) -> bytes:
        arguments = ("--solver", "gibbs", "--burn-in", 5, "--samples", 2, "--factors", 3, "--run", run)
        done = mfcli("train", *arguments, env={"OMP_NUM_THREADS": threads})
        assert done.returncode == 0, done.stderr
        assert "% of how items differ" in done.stdout
        return (artifacts / "runs" / run / "model.safetensors").read_bytes()

    with_test = trained("with", "1")
    record = artifacts / "data/stage.json"
    body = unsealed(record.read_bytes())
    del body["outputs"]["test.parquet"]
    record.write_bytes(sealed(body))
    (artifacts / "data/test.parquet").unlink()
    assert trained("without", threads) == with_test
