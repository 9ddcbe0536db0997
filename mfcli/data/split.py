"""Cutting ratings into parts: rows to train on, to validate on, to test on."""

from typing import Any

import numpy as np
import numpy.typing as npt

from mfcli.config.prepare import PrepareConfig
from mfcli.data.ratings import Int32s, Int64s, Parts, Ratings
from mfcli.errors import DataError

Rows = npt.NDArray[np.int64]


def split(config: PrepareConfig, ratings: Ratings, own_test: Rows | None = None) -> Parts[Rows]:
    """Cut ratings into parts: the numbers of the ratings in each, in its order; together they are all, each once.

    Args:
        config: how to cut, the fractions, the seed.
        ratings: what to cut.
        own_test: the test part, where the user brought their own.

    Raises:
        DataError: a part would be empty, or timestamps are missing.
    """
    everything = np.arange(len(ratings))
    by_time = config.split == "time" and own_test is None and config.folds is None
    if own_test is not None:
        train, test = np.setdiff1d(everything, own_test, assume_unique=True), own_test
    elif config.folds is not None and config.fold is not None:
        train, test = _fold(len(ratings), config.folds, config.fold, config.seed)
    elif by_time:
        train, test = _latest(everything, _timestamps(config, ratings), config.test_fraction)
    elif config.split == "leave-last":
        train, test = _leave_last(ratings.users, _timestamps(config, ratings))
    else:
        train, test = _random(everything, config.test_fraction, config.seed, "test")
    val = np.empty(0, np.int64)
    if config.validation_fraction > 0 and by_time:
        train, val = _latest(train, _timestamps(config, ratings), config.validation_fraction)
    elif config.validation_fraction > 0:
        train, val = _random(train, config.validation_fraction, config.seed, "validation")
    if not len(train) or not len(test):
        raise DataError(
            f"the {'test' if len(train) else 'training'} part would be empty: {len(ratings)} ratings are too few"
        )
    return Parts(train, val, test)


def _timestamps(config: PrepareConfig, ratings: Ratings) -> Int64s:
    if ratings.timestamps is None:
        raise DataError(f"--split {config.split} needs timestamps, and the ratings have none")
    return ratings.timestamps


def _random(rows: Rows, fraction: float, seed: int, part: str) -> tuple[Rows, Rows]:
    """What is kept and what is cut: row for row what scikit-learn's ``train_test_split`` gives.

    Written out, since its import alone would take half the time of ``prepare``.
    """
    n_cut = int(np.ceil(fraction * len(rows)))
    if not 0 < n_cut < len(rows):
        raise DataError(f"{len(rows)} ratings are too few to cut a {part} part of {fraction:g} from")
    shuffled = rows[np.random.RandomState(seed).permutation(len(rows))]
    return shuffled[n_cut:], shuffled[:n_cut]


def _fold(n: int, folds: int, fold: int, seed: int) -> tuple[Rows, Rows]:
    from sklearn.model_selection import KFold

    try:
        parts: list[Any] = list(KFold(folds, shuffle=True, random_state=seed).split(np.arange(n)))
    except ValueError:
        raise DataError(f"{n} ratings are too few for {folds} folds") from None
    train, test = parts[fold - 1]
    return train, test


def _latest(rows: Rows, timestamps: Int64s, fraction: float) -> tuple[Rows, Rows]:
    """The earlier rows and the latest share of them; equal times stay in the order of the file."""
    ordered = rows[np.argsort(timestamps[rows], kind="stable")]
    cut = len(rows) - int(np.ceil(len(rows) * fraction))
    return ordered[:cut], ordered[cut:]


def _leave_last(users: Int32s, timestamps: Int64s) -> tuple[Rows, Rows]:
    """Each user's last rating is for the test; who has only one keeps it for training."""
    order = np.lexsort((timestamps, users))  # stable: by user, then time, then place in the file
    sorted_users = users[order]
    last = np.append(sorted_users[1:] != sorted_users[:-1], True)
    first = np.insert(sorted_users[1:] != sorted_users[:-1], 0, True)
    test = np.zeros(len(users), bool)
    test[order[last & ~first]] = True
    if not test.any():
        raise DataError("--split leave-last needs a user with two ratings, and there is none")
    return np.flatnonzero(~test), np.flatnonzero(test)
