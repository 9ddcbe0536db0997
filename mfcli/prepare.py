"""``mfcli prepare``: check ratings, give users and items dense indices, cut train, validation and test parts."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mfcli.artifacts import Artifacts
from mfcli.atomic import sha256
from mfcli.config import PrepareConfig
from mfcli.data.attributes import Described
from mfcli.data.catalog import CSV, SYNTHETIC, find
from mfcli.data.prepared import write
from mfcli.data.ratings import Parts, Ratings, Sides
from mfcli.data.readers import read_ratings
from mfcli.data.split import split
from mfcli.data.table import Table, join
from mfcli.data.titles import Titles, read_items, read_own_items
from mfcli.errors import ArtifactError, UsageError
from mfcli.progress import Progress


@dataclass(frozen=True)
class PreparedSummary:
    """The result; the same is in the stage's stage.json.

    Attributes:
        path: the data stage.
        dataset: name of the data set or of the ratings file.
        users, items, ratings: how many there are in all.
        train, val, test: ratings in each part.
        density: ratings / (users * items).
        mean, minimum, maximum: of the ratings.
        histogram: rating (or the middle of a bin of them) as text -> how many.
        test_users_unseen, test_items_unseen: of the test part's, those without a training rating.
        test_ratings_unseen: test ratings of such a user or item.
        dropped: ratings left out by --min-user-ratings, --min-item-ratings or as duplicates.
        user_ids, item_ids: ``integer`` or ``string``.
        oracle_rmse: of the true model, for synthetic data.
    """

    path: Path
    dataset: str
    users: int
    items: int
    ratings: int
    train: int
    val: int
    test: int
    density: float
    mean: float
    minimum: float
    maximum: float
    histogram: dict[str, int]
    test_users_unseen: int
    test_items_unseen: int
    test_ratings_unseen: int
    dropped: int
    user_ids: str
    item_ids: str
    oracle_rmse: float | None = None


@dataclass(frozen=True)
class _Source:
    """What is to be prepared, as read.

    Attributes:
        dataset: its name.
        table: the ratings; one's own test ratings are among them, and marked.
        titles: of the items.
        inputs: name -> SHA-256 of what was read.
        oracle_rmse: of the true model, for synthetic data.
    """

    dataset: str
    table: Table
    titles: Titles
    inputs: dict[str, str]
    oracle_rmse: float | None = None


def prepare(config: PrepareConfig, progress: Progress | None = None) -> PreparedSummary:
    """Prepare a downloaded data set, or one's own ratings, and commit the data stage.

    Raises:
        UsageError: several data sets are downloaded and none is named.
        DataError: the ratings cannot be used; says where.
        ArtifactError: nothing was downloaded, it is damaged, or another process prepares.
    """
    progress = progress or Progress()
    artifacts = Artifacts(config.dir)
    stage = artifacts.data
    with stage.lock(config.lock_timeout):
        source = _own(config) if config.ratings is not None else _downloaded(config, artifacts)
        table = source.table.without_duplicates(config.duplicates)
        table = table.with_at_least(config.min_user_ratings, config.min_item_ratings)
        ratings, ids = table.compact()
        rows = split(config, ratings, np.flatnonzero(table.own_test) if config.test else None)
        progress.note(f"read {len(source.table):,} ratings of {source.dataset}")
        leaked = table.leaked()
        if leaked:
            progress.warn(f"{leaked:,} of the {len(rows.test):,} test ratings are also given to train on")
        if source.titles and not any(str(one) in source.titles for one in ids.items):
            progress.warn("the items file has no title for any item of the ratings")
        parts = Parts(*(ratings.take(one) for one in rows))
        results = _results(source, ratings, parts, ids)
        with stage.replace(config, source.inputs, libraries=("scikit-learn",)) as draft:
            nothing = Sides(*(Described((), [[] for _ in one], {}) for one in ids))
            write(draft.path, parts, ids, source.titles, nothing)
            draft.results.update(results)
    return PreparedSummary(path=stage.path, **results)


def _own(config: PrepareConfig) -> _Source:
    assert config.ratings is not None

    def read(path: Path) -> Table:
        return read_ratings(path, columns=config.columns, separator=config.separator, header=not config.no_header)

    table = read(config.ratings)
    if config.test is not None:
        test = read(config.test)
        table = join([table, replace(test, own_test=np.ones(len(test), bool))])
    titles = read_own_items(config.items) if config.items is not None else {}
    files = {"ratings": config.ratings, "test": config.test, "items": config.items}
    inputs = {name: sha256(path) for name, path in files.items() if path is not None}
    return _Source(config.ratings.name, table, titles, inputs)


def _downloaded(config: PrepareConfig, artifacts: Artifacts) -> _Source:
    name = config.name or _only(artifacts)
    layout = CSV if name == SYNTHETIC else find(name).layout
    record = artifacts.raw(name).record()
    record.check()
    folder = record.stage.path
    table = read_ratings(folder / layout.ratings, separator=layout.separator, header=layout.header)
    titles = read_items(folder / layout.items, layout)
    return _Source(name, table, titles, {f"raw/{name}": record.fingerprint}, record.results.get("oracle_rmse"))


def _only(artifacts: Artifacts) -> str:
    names = artifacts.downloaded()
    if not names:
        raise ArtifactError(
            f"there are no data under {artifacts.root / 'raw'} yet: "
            f"run `{artifacts.raw('ml-latest-small').command}`, or give --ratings FILE"
        )
    if len(names) > 1:
        raise UsageError(f"several data sets are downloaded: `mfcli prepare NAME` with one of {', '.join(names)}")
    return names[0]


def _results(source: _Source, ratings: Ratings, parts: Parts[Ratings], ids: Sides[npt.NDArray[Any]]) -> dict[str, Any]:
    """What the stage records of itself: all of the summary but the path."""
    train, val, test = parts
    new_user, new_item = train.user_counts() == 0, train.item_counts() == 0
    results = {
        "dataset": source.dataset,
        "users": ratings.n_users,
        "items": ratings.n_items,
        "ratings": len(ratings),
        "train": len(train),
        "val": len(val),
        "test": len(test),
        "density": len(ratings) / (ratings.n_users * ratings.n_items),
        "mean": float(ratings.ratings.mean(dtype=np.float64)),
        "minimum": float(ratings.ratings.min()),
        "maximum": float(ratings.ratings.max()),
        "histogram": histogram(ratings.ratings),
        "test_users_unseen": int(new_user[np.unique(test.users)].sum()),
        "test_items_unseen": int(new_item[np.unique(test.items)].sum()),
        "test_ratings_unseen": int((new_user[test.users] | new_item[test.items]).sum()),
        "dropped": len(source.table) - len(ratings),
        "user_ids": _kind(ids.users),
        "item_ids": _kind(ids.items),
    }
    return results | ({} if source.oracle_rmse is None else {"oracle_rmse": source.oracle_rmse})


def _kind(ids: npt.NDArray[Any]) -> str:
    return "integer" if ids.dtype == np.int64 else "string"


def histogram(ratings: npt.NDArray[np.float32], most: int = 20) -> dict[str, int]:
    """How often each rating occurs; with more than ``most`` different ones, how many fall into each of ten bins.

    Args:
        ratings: (n,) float32, n > 0.

    Returns:
        The rating, or its bin's middle, as text -> how many; ascending.
    """
    values, counts = np.unique(ratings, return_counts=True)
    if len(values) > most:
        counts, edges = np.histogram(ratings.astype(np.float64), bins=10)
        values = (edges[:-1] + edges[1:]) / 2
    texts = (f"{{:.{digits}g}}".format for digits in (6, 9, 17))  # as short as tells them apart
    names = next(names for text in texts if len(set(names := [text(float(value)) for value in values])) == len(values))
    return dict(zip(names, map(int, counts), strict=True))
