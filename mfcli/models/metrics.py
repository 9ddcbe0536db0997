"""How good predictions and rankings are: pure functions on arrays.

To add a ranking metric, write its function of (hits, n, relevant) and give it a line in RANKING.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]


def _errors(actual: Floats, predicted: Floats) -> npt.NDArray[np.float64]:
    if actual.shape != predicted.shape or actual.ndim != 1:
        raise ValueError(f"shapes {actual.shape} and {predicted.shape} are not one (n,)")
    if not len(actual):
        raise ValueError("no ratings to compare")
    return predicted.astype(np.float64) - actual.astype(np.float64)


def rmse(actual: Floats, predicted: Floats) -> float:
    """Root of the mean squared error over all ratings, in rating points.

    Args:
        actual: (n,) ratings.
        predicted: (n,) predictions.

    Raises:
        ValueError: the shapes differ, or n is 0.
    """
    return float(np.sqrt(np.mean(np.square(_errors(actual, predicted)))))


def mae(actual: Floats, predicted: Floats) -> float:
    """Mean absolute error over all ratings, in rating points. Arguments and errors as for :func:`rmse`."""
    return float(np.mean(np.abs(_errors(actual, predicted))))


def coverage(actual: Floats, predicted: Floats, deviations: Floats, width: float) -> float:
    """Share of the ratings that lie within ``width`` predictive standard deviations of their prediction.

    Args:
        actual, predicted, deviations: (n,), n > 0, in rating points.
        width: how many deviations; of a normal distribution 0.683 lie within 1 and 0.954 within 2.
    """
    return float(np.mean(np.abs(_errors(actual, predicted)) <= width * deviations.astype(np.float64)))


def log_density(actual: Floats, predicted: Floats, deviations: Floats) -> float:
    """Mean log density of the ratings under normal predictive distributions. Arguments as for :func:`coverage`."""
    scaled = _errors(actual, predicted) / deviations
    return float(np.mean(-0.5 * np.square(scaled) - np.log(deviations.astype(np.float64)) - 0.5 * np.log(2 * np.pi)))


Hits = npt.NDArray[np.bool_]


def precision_at(hits: Hits, n: int, relevant: int) -> float:
    """Share of the top n that is relevant; ranks that were not filled count as misses.

    Args:
        hits: (m,) booleans, best rank first: whether the item there is relevant. m may be less than n.
        n: ranks that count.
        relevant: number of relevant items, > 0, whether among the top n or not.
    """
    return float(hits[:n].sum() / n)


def recall_at(hits: Hits, n: int, relevant: int) -> float:
    """Share of the relevant items that is among the top n. Arguments as for :func:`precision_at`."""
    return float(hits[:n].sum() / relevant)


def ndcg_at(hits: Hits, n: int, relevant: int) -> float:
    """Normalized discounted cumulative gain of the top n with gains of 0 and 1 (Järvelin and Kekäläinen, TOIS 2002).

    The ideal list has min(n, relevant) relevant items first. Arguments as for :func:`precision_at`.
    """
    ranks = min(n, max(len(hits), relevant))
    discounts = 1.0 / np.log2(np.arange(2, ranks + 2))
    ideal = discounts[: min(n, relevant)].sum()
    return float((hits[:n] * discounts[: len(hits[:n])]).sum() / ideal)


RANKING: dict[str, Callable[[Hits, int, int], float]] = {
    "precision": precision_at,
    "recall": recall_at,
    "NDCG": ndcg_at,
}
"""Every ranking metric by its name, in the order in which ``evaluate --top`` shows them."""
