"""Cutting ratings into parts: rows to train on, to validate on, to test on."""

import hashlib
from typing import Any

import numpy as np

from mfcli.arrays import Float64s, Int32s, Int64s
from mfcli.config.prepare import PrepareConfig
from mfcli.data.ratings import Parts, Ratings, Sides
from mfcli.errors import DataError

Rows = Int64s


def split(config: PrepareConfig, ratings: Ratings, ids: Sides[list[str]], own_test: Rows | None = None) -> Parts[Rows]:
    """Cut ratings into parts: the numbers of the ratings in each, in its order; together they are all, each once.

    Args:
        config: how to cut, the fractions, the seed.
        ratings: what to cut.
        ids: the original ids of the users and of the items, by row.
        own_test: the test part, where the user brought their own.

    Raises:
        DataError: the training part would be empty, or the test part though there is to be one, or timestamps are
            missing.
    """
    if config.test_users_share is not None:
        parts = _by_hash(pair_numbers(ratings, ids), config.test_users_share, config.validation_fraction)
    else:
        rest, test = _test_part(config, ratings, own_test)
        train, val = rest, np.empty(0, np.int64)
        if config.validation_fraction > 0:
            train, val = _validation_part(config, ratings, rest)
        parts = Parts(train, val, test)
    if not len(parts.train) or not (len(parts.test) or config.split == "none"):
        name = "test" if len(parts.train) else "training"
        raise DataError(f"the {name} part would be empty: {len(ratings)} ratings are too few")
    return parts


def _test_part(config: PrepareConfig, ratings: Ratings, own_test: Rows | None) -> tuple[Rows, Rows]:
    """The rest and the test part."""
    everything = np.arange(len(ratings))
    if own_test is not None:
        return np.setdiff1d(everything, own_test, assume_unique=True), own_test
    if config.folds is not None and config.fold is not None:
        return _fold(len(ratings), config.folds, config.fold, config.seed)
    match config.split:
        case "none":
            return everything, np.empty(0, np.int64)
        case "time":
            return _latest(everything, _timestamps(config, ratings), config.test_fraction)
        case "latest":
            return _latest_of_each(everything, ratings.users, _timestamps(config, ratings), config.test_fraction)
        case "leave-last":
            return _leave_last(ratings.users, _timestamps(config, ratings))
    return _random(everything, config.test_fraction, config.seed, "test", "--split none holds nothing out")


def _validation_part(config: PrepareConfig, ratings: Ratings, rest: Rows) -> tuple[Rows, Rows]:
    """What is left of the rest, and the validation part: the latest where the test part is the latest too."""
    match config.split:
        case "time":
            return _latest(rest, _timestamps(config, ratings), config.validation_fraction)
        case "latest":
            return _latest_of_each(rest, ratings.users, _timestamps(config, ratings), config.validation_fraction)
    return _random(rest, config.validation_fraction, config.seed, "validation", "--validation-fraction 0 cuts none")


def pair_numbers(ratings: Ratings, ids: Sides[list[str]]) -> Float64s:
    """(n,) numbers in [0, 1), each a hash of the ids of a rating's user and item: the same wherever the pair is.

    The ids are hashed by BLAKE2b, and the two hashes mixed by the last steps of SplitMix64 (Steele, Lea and Flood,
    OOPSLA 2014).
    """
    of_users, of_items = (
        np.array([_hash(text, what) for text in texts], np.uint64)
        for texts, what in zip(ids, (b"user", b"item"), strict=True)
    )
    mixed = of_users[ratings.users] + np.uint64(0x9E3779B97F4A7C15) * of_items[ratings.items]  # modulo 2^64
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed ^= mixed >> np.uint64(shift)
        mixed *= np.uint64(factor)
    mixed ^= mixed >> np.uint64(31)
    numbers: Float64s = (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return numbers


def _hash(text: str, what: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8, person=what).digest(), "little")


def _by_hash(numbers: Float64s, test_share: float, validation_fraction: float) -> Parts[Rows]:
    """Pairs whose number is below the share are tested on; those just above are validated on, and stay so too."""
    bound = test_share + (1 - test_share) * validation_fraction
    test, train = numbers < test_share, numbers >= bound
    return Parts(*map(np.flatnonzero, (train, ~train & ~test, test)))


def _timestamps(config: PrepareConfig, ratings: Ratings) -> Int64s:
    if ratings.timestamps is None:
        raise DataError(f"--split {config.split} needs timestamps, and the ratings have none")
    return ratings.timestamps


def _random(rows: Rows, fraction: float, seed: int, part: str, otherwise: str) -> tuple[Rows, Rows]:
    """What is kept and what is cut: row for row what scikit-learn's ``train_test_split`` gives.

    Where there is too little to cut the part from, the error says what can be done ``otherwise``.

    Written out, since its import alone would take half the time of ``prepare``.
    """
    n_cut = int(np.ceil(fraction * len(rows)))
    if not 0 < n_cut < len(rows):
        raise DataError(f"{len(rows)} ratings are too few to cut a {part} part of {fraction:g} from: {otherwise}")
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


def _latest_of_each(rows: Rows, users: Int32s, timestamps: Int64s, fraction: float) -> tuple[Rows, Rows]:
    """Each user's earlier rows and the latest share of them, rounded up; who has only one keeps it for training."""
    order = rows[np.lexsort((timestamps[rows], users[rows]))]  # stable: by user, then time, then place in the file
    counts = np.bincount(users[rows])
    ends = np.cumsum(counts)[users[order]]
    cut = np.minimum(np.ceil(counts * fraction), counts - 1).astype(np.int64)[users[order]]
    late = np.arange(len(order)) >= ends - cut
    return np.sort(order[~late]), np.sort(order[late])


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
