"""Cutting ratings into parts: rows to train on, to validate on, to test on."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mfcli.config import PrepareConfig
from mfcli.errors import DataError, UsageError

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """Rows of the ratings in each part, in the part's order; together they are all rows, each once."""

    train: Rows
    val: Rows
    test: Rows


def split(
    config: PrepareConfig,
    n: int,
    users: npt.NDArray[np.int32],
    timestamps: npt.NDArray[np.int64] | None,
    test: Rows | None,
) -> Split:
    """Cut n ratings.

    Args:
        config: which split, its fractions and its seed.
        n: number of ratings.
        users: (n,) user of each.
        timestamps: (n,) or None.
        test: the test rows, where the user brought their own.

    Raises:
        UsageError: the options do not go together.
        DataError: a part would be empty, or timestamps are missing.
    """
    if test is not None:
        train = np.setdiff1d(np.arange(n), test, assume_unique=True)
    elif config.folds is not None and config.fold is not None:
        train, test = _fold(n, config.folds, config.fold, config.seed)
    elif config.split == "random":
        train, test = _random(np.arange(n), config.test_fraction, config.seed, "test")
    else:
        if timestamps is None:
            raise DataError(f"--split {config.split} needs timestamps, and the ratings have none")
        if config.split == "time":
            train, test = _latest(np.arange(n), timestamps, config.test_fraction)
        else:
            train, test = _leave_last(users, timestamps)
    val = np.empty(0, np.int64)
    if config.validation_fraction > 0:
        if config.split == "time" and timestamps is not None and config.test is None and config.folds is None:
            train, val = _latest(train, timestamps, config.validation_fraction)
        else:
            train, val = _random(train, config.validation_fraction, config.seed, "validation")
    if not len(train) or not len(test):
        raise DataError(f"the {'test' if len(train) else 'training'} part would be empty: {n} ratings are too few")
    return Split(train, val, test)


def check_options(config: PrepareConfig) -> None:
    """Raise UsageError where the split's options contradict each other."""
    if (config.folds is None) != (config.fold is None):
        raise UsageError("--folds and --fold belong together")
    if config.folds is not None and config.fold is not None and config.fold > config.folds:
        raise UsageError(f"--fold {config.fold}: there are {config.folds} folds")
    chosen = [
        name
        for name, given in (
            ("--test", config.test is not None),
            ("--folds", config.folds is not None),
            (f"--split {config.split}", config.split != "random"),
        )
        if given
    ]
    if len(chosen) > 1:
        raise UsageError(f"{' and '.join(chosen)} exclude each other")


def _random(rows: Rows, fraction: float, seed: int, part: str) -> tuple[Rows, Rows]:
    from sklearn.model_selection import train_test_split

    try:
        kept, cut = train_test_split(rows, test_size=fraction, random_state=seed)
    except ValueError:
        raise DataError(f"{len(rows)} ratings are too few to cut a {part} part of {fraction:g} from") from None
    return kept, cut


def _fold(n: int, folds: int, fold: int, seed: int) -> tuple[Rows, Rows]:
    from sklearn.model_selection import KFold

    try:
        parts: list[Any] = list(KFold(folds, shuffle=True, random_state=seed).split(np.arange(n)))
    except ValueError:
        raise DataError(f"{n} ratings are too few for {folds} folds") from None
    train, test = parts[fold - 1]
    return train, test


def _latest(rows: Rows, timestamps: npt.NDArray[np.int64], fraction: float) -> tuple[Rows, Rows]:
    """The earlier rows and the latest share of them; equal times stay in the order of the file."""
    ordered = rows[np.argsort(timestamps[rows], kind="stable")]
    cut = len(rows) - int(np.ceil(len(rows) * fraction))
    return ordered[:cut], ordered[cut:]


def _leave_last(users: npt.NDArray[np.int32], timestamps: npt.NDArray[np.int64]) -> tuple[Rows, Rows]:
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
