"""What is expected of rows without ratings: averages over rows that are alike, and how far they are off."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from mfcli.data.ratings import Sides
from mfcli.models.expected import Expected, with_expected
from mfcli.models.model import FactorModel

KINDS = np.arange(400) % 2
COUNTS = np.where(np.arange(400) < 390, 1 + np.arange(400) ** 2, 0).astype(np.int32)
FEATURES = csr_matrix(np.eye(2, dtype=np.float32)[KINDS])
NORMALS = np.random.default_rng(0).normal(size=(400, 3)).astype(np.float32)
ROWS = NORMALS * [1, 0.5, 0.2] + np.array([[1, -1, 0.5], [-1, 2, 0]])[KINDS]


def means() -> np.ndarray:
    """(2, 3) of the two kinds, each row weighed by the cubic root of its ratings."""
    return np.array([np.average(ROWS[kind == KINDS], 0, np.cbrt(COUNTS[kind == KINDS])) for kind in (0, 1)])


def model(rows: np.ndarray, *, bayesian: bool) -> FactorModel:
    """Of 50 users, all alike but for their factors, and items of these rows, the last number being a bias."""
    rng = np.random.default_rng(1)
    users = rng.normal(size=(50, 2)).astype(np.float32)
    items = rows.astype(np.float32)
    numbers = Sides(np.full(50, 0.5, np.float32), np.linspace(1, 2, len(items), dtype=np.float32))
    return FactorModel(
        mean=3,
        minimum=-99,
        maximum=99,
        factors=Sides(users, items[:, :2]),
        biases=Sides(np.zeros(50, np.float32), items[:, 2]),
        counts=Sides(np.full(50, 9, np.int32), COUNTS),
        noise=numbers if bayesian else None,
        variances=numbers if bayesian else None,
    )


def test_rows_are_expected_to_be_what_rows_with_their_features_are_on_average() -> None:
    expected = Expected.of(ROWS, FEATURES, COUNTS)
    np.testing.assert_allclose(expected.rows(FEATURES[-2:]), means()[KINDS[-2:]], atol=0.02)
    between = csr_matrix(np.array([[0.5, 0.5], [0, 0]], np.float32))
    np.testing.assert_allclose(expected.rows(between)[0], means().mean(0), atol=0.02)
    spread = np.cov((ROWS - means()[KINDS]).T, bias=True, aweights=np.cbrt(COUNTS))
    np.testing.assert_allclose(expected.spread, spread, atol=0.02)
    ones = Expected.of(ROWS[:, :1], csr_matrix((400, 0)), COUNTS).rows(csr_matrix((1, 0)))
    np.testing.assert_allclose(ones, np.average(ROWS[:, :1], 0, np.cbrt(COUNTS))[None], err_msg="nothing is known")


def test_a_rare_feature_says_little() -> None:
    """The ridge is one row's worth: what a single row among many alike has of its own is believed by half."""
    rows, features = np.zeros((100, 1)), np.zeros((100, 1))
    rows[7] = features[7] = 1
    link = Expected.of(rows, csr_matrix(features), np.full(100, 5, np.int32)).link
    assert link[0, 0] == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("bayesian", [True, False])
def test_unrated_rows_alone_become_what_is_expected_of_them(bayesian: bool) -> None:
    before = model(ROWS, bayesian=bayesian)
    after = with_expected(before, Sides(None, FEATURES))
    users, items = np.repeat(np.arange(50), 10), np.tile(np.arange(390, 400), 50)
    tastes = np.column_stack([before.factors.users, np.ones(50)])
    expected = 3 + (tastes @ means().T)[users, KINDS[items]]
    np.testing.assert_allclose(after.predict(users, items), expected, atol=0.06)
    rated = np.arange(390)
    for name, pair in (("factors", before.factors), ("biases", before.biases), ("variances", before.variances)):
        if pair is not None:
            np.testing.assert_array_equal(getattr(after, name).items[rated], pair.items[rated])
            np.testing.assert_array_equal(getattr(after, name).users, pair.users)
    assert with_expected(before, Sides(None, None)) is before


def test_predictions_of_unrated_rows_are_as_unsure_as_rows_depart_from_what_is_expected() -> None:
    """Rows that are known for sure: the variance that is told is that of the predictions of many rows to come."""
    before = replace(
        model(ROWS, bayesian=True), variances=Sides(np.full(50, 0.5, np.float32), np.zeros(400, np.float32))
    )
    after = with_expected(before, Sides(None, FEATURES))
    fresh = np.random.default_rng(5).normal(size=(20_000, 3)) * [1, 0.5, 0.2]
    tastes = np.column_stack([before.factors.users, np.ones(50)])
    told = after.uncertainties(np.arange(50), np.full(50, 399))
    assert told is not None
    assert float((told**2).mean()) == pytest.approx((tastes @ fresh.T).var(), rel=0.15)
