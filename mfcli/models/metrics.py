"""How good predictions and rankings are: pure functions on arrays.

To add a ranking metric, write its function of (hits, n, relevant) and give it a line in OF_LISTS.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from mfcli.arrays import Bools, Float64s, Floats


def errors(actual: Floats, predicted: Floats) -> Float64s:
    """(n,) predicted less actual ratings, in rating points.

    Args:
        actual: (n,) ratings.
        predicted: (n,) predictions.

    Raises:
        ValueError: the shapes differ, or n is 0.
    """
    if actual.shape != predicted.shape or actual.ndim != 1:
        raise ValueError(f"shapes {actual.shape} and {predicted.shape} are not one (n,)")
    if not len(actual):
        raise ValueError("no ratings to compare")
    return predicted.astype(np.float64) - actual.astype(np.float64)


def rmse(actual: Floats, predicted: Floats) -> float:
    """Root of the mean squared error over all ratings, in rating points. Arguments and errors as for :func:`errors`."""
    return float(np.sqrt(np.mean(np.square(errors(actual, predicted)))))


def mae(actual: Floats, predicted: Floats) -> float:
    """Mean absolute error over all ratings, in rating points. Arguments and errors as for :func:`errors`."""
    return float(np.mean(np.abs(errors(actual, predicted))))


def coverage(actual: Floats, predicted: Floats, deviations: Floats, width: float) -> float:
    """Share of the ratings that lie within ``width`` predictive standard deviations of their prediction.

    Args:
        actual, predicted, deviations: (n,), n > 0, in rating points.
        width: how many deviations; of a normal distribution 0.683 lie within 1 and 0.954 within 2.
    """
    return float(np.mean(np.abs(errors(actual, predicted)) <= width * deviations.astype(np.float64)))


def log_density(actual: Floats, predicted: Floats, deviations: Floats) -> float:
    """Mean log density of the ratings under normal predictive distributions: the higher, the better.

    It is the logarithmic score (Gneiting and Raftery, Journal of the American Statistical Association 2007).
    Arguments as for :func:`coverage`.
    """
    scaled = errors(actual, predicted) / deviations
    return float(np.mean(-0.5 * np.square(scaled) - np.log(deviations.astype(np.float64)) - 0.5 * np.log(2 * np.pi)))


Hits = Bools
Counts = npt.NDArray[np.integer]


def precision_at(hits: Hits, n: int, relevant: Counts) -> Float64s:
    """Share of the top n that is relevant; ranks that were not filled count as misses.

    Args:
        hits: (users, m) booleans, best rank first: whether the item there is relevant. m may be less than n.
        n: ranks that count.
        relevant: (users,) numbers of relevant items, > 0, whether among the top n or not.

    Returns:
        (users,) float64, as all metrics of lists do.
    """
    shares: Float64s = _hits(hits, n) / n
    return shares


def recall_at(hits: Hits, n: int, relevant: Counts) -> Float64s:
    """Share of the relevant items that is among the top n. Arguments as for :func:`precision_at`."""
    shares: Float64s = _hits(hits, n) / relevant
    return shares


def ndcg_at(hits: Hits, n: int, relevant: Counts) -> Float64s:
    """Normalized discounted cumulative gain of the top n with gains of 0 and 1 (Järvelin and Kekäläinen, TOIS 2002).

        Σ_r hit_r / log₂(r + 1), over what it is for the ideal list, which has min(n, relevant) relevant items first

    Arguments as for :func:`precision_at`.
    """
    most = np.minimum(n, relevant)
    gains = 1 / np.log2(np.arange(2, max(hits.shape[1], most.max(initial=0)) + 2))
    ideal = np.append(0, np.cumsum(gains))[most]
    found: Float64s = (hits[:, :n] @ gains[: hits[:, :n].shape[1]]) / ideal
    return found


def average_precision_at(hits: Hits, n: int, relevant: Counts) -> Float64s:
    """Average precision of the top n, whose mean over users is MAP (Buckley and Voorhees, SIGIR 2000).

        Σ_r hit_r · (hits up to rank r) / r, over the number of relevant items

    Arguments as for :func:`precision_at`.
    """
    ranks = np.arange(1, hits[:, :n].shape[1] + 1)
    precisions: Float64s = np.cumsum(hits[:, :n], axis=1) / ranks
    found: Float64s = (precisions * hits[:, :n]).sum(1) / relevant
    return found


def reciprocal_rank_at(hits: Hits, n: int, relevant: Counts) -> Float64s:
    """1 over the rank of the first hit, 0 without one; its mean over users is MRR (Voorhees, TREC-8, 1999).

    Arguments as for :func:`precision_at`.
    """
    ranks = np.arange(1, hits[:, :n].shape[1] + 1)
    reciprocals: Float64s = (hits[:, :n] / ranks).max(1, initial=0)
    return reciprocals


def hit_rate_at(hits: Hits, n: int, relevant: Counts) -> Float64s:
    """1 where any of the top n is relevant, else 0. Arguments as for :func:`precision_at`."""
    hit: Float64s = np.minimum(_hits(hits, n), 1)
    return hit


def _hits(hits: Hits, n: int) -> Float64s:
    """(users,) hits among the top n."""
    found: Float64s = hits[:, :n].sum(1, dtype=np.float64)
    return found


def catalogue_coverage(counts: Counts) -> float:
    """Share of all items that are in any list (Herlocker, Konstan, Terveen and Riedl, TOIS 2004).

    Args:
        counts: (n_items,) in how many lists each item of the catalogue is.
    """
    return float((counts > 0).mean())


def gini(counts: Counts) -> float:
    """How unequally the lists treat items: 0 if all are in as many, 1 if one takes every place (Gini, 1912).

        Σ_i (2i - n - 1) x_i / (n Σ_i x_i),  x the n counts, rising

    Arguments as for :func:`catalogue_coverage`; the counts must not all be 0.
    """
    rising = np.sort(counts).astype(np.float64)
    n = len(rising)
    return float(((2 * np.arange(1, n + 1) - n - 1) * rising).sum() / (n * rising.sum()))


def mean_popularity(counts: Counts, popularity: Counts) -> float:
    """Training ratings of the items in the lists, on average over all places of all lists.

    Args:
        counts: as for :func:`catalogue_coverage`; not all 0.
        popularity: (n_items,) training ratings.
    """
    return float(counts @ popularity.astype(np.float64) / counts.sum())


OF_LISTS: dict[str, Callable[[Hits, int, Counts], Float64s]] = {
    "precision": precision_at,
    "recall": recall_at,
    "NDCG": ndcg_at,
    "MAP": average_precision_at,
    "MRR": reciprocal_rank_at,
    "hit_rate": hit_rate_at,
}
"""Every metric of a user's list by its name, in the order in which ``evaluate --top`` shows their means."""
