"""``mfcli prepare``: check ratings, give users and items dense indices, cut train, validation and test parts."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from mfcli.artifacts import Artifacts, sha256
from mfcli.config import PrepareConfig
from mfcli.data.catalog import CSV, SYNTHETIC, find
from mfcli.data.ratings import Ratings
from mfcli.data.readers import Raw, read_ratings
from mfcli.data.split import Split, check_options, split
from mfcli.data.titles import Titles, read_items, read_own_items
from mfcli.errors import ArtifactError, DataError, UsageError
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
    """What is to be prepared, as read, before any check that concerns more than one rating."""

    dataset: str
    raw: Raw
    own_test: Raw | None
    titles: Titles
    inputs: dict[str, str]
    oracle_rmse: float | None = None


def prepare(config: PrepareConfig, progress: Progress | None = None) -> PreparedSummary:
    """Prepare a downloaded data set, or one's own ratings, and commit the data stage.

    Raises:
        UsageError: the options do not go together.
        DataError: the ratings cannot be used; says where.
        ArtifactError: nothing was downloaded, it is damaged, or another process prepares.
    """
    progress = progress or Progress()
    check_options(config)
    artifacts = Artifacts(config.dir)
    stage = artifacts.data
    with stage.lock(config.lock_timeout):
        source = _own(config) if config.ratings is not None else _downloaded(config, artifacts)
        table = _Table.join(source.raw, source.own_test)
        table = table.without_duplicates(config.duplicates).with_at_least(
            config.min_user_ratings, config.min_item_ratings
        )
        parts = split(
            config,
            len(table.ratings),
            table.users,
            table.timestamps,
            np.flatnonzero(table.own_test) if config.test else None,
        )
        read = len(source.raw.ratings) + (len(source.own_test.ratings) if source.own_test else 0)
        progress.note(f"read {read:,} ratings of {source.dataset}")
        leaked = table.leaked()
        if leaked:
            progress.warn(f"{leaked:,} of the {len(parts.test):,} test ratings are also given to train on")
        ratings, user_ids, item_ids = table.compact()
        if source.titles and not any(str(one) in source.titles for one in item_ids):
            progress.warn("the items file has no title for any item of the ratings")
        figures = _figures(source, ratings, parts, read - len(ratings)) | {
            "user_ids": _kind(user_ids),
            "item_ids": _kind(item_ids),
        }
        with stage.replace(config, source.inputs, libraries=("scikit-learn",)) as draft:
            _write(draft.path, ratings, parts, user_ids, item_ids, source.titles)
            draft.results.update(figures)
    return PreparedSummary(path=stage.path, **figures)


def _own(config: PrepareConfig) -> _Source:
    assert config.ratings is not None
    if config.name is not None:
        raise UsageError(f"--ratings and the data set '{config.name}' exclude each other")

    def read(path: Path) -> Raw:
        return read_ratings(path, columns=config.columns, separator=config.separator, header=not config.no_header)

    raw = read(config.ratings)
    own_test = read(config.test) if config.test is not None else None
    titles = read_own_items(config.items) if config.items is not None else {}
    files = {"ratings": config.ratings, "test": config.test, "items": config.items}
    inputs = {name: sha256(path) for name, path in files.items() if path is not None}
    return _Source(config.ratings.name, raw, own_test, titles, inputs)


def _downloaded(config: PrepareConfig, artifacts: Artifacts) -> _Source:
    for name in ("columns", "separator", "no_header", "test", "items"):
        if getattr(config, name):
            raise UsageError(f"--{name.replace('_', '-')} goes with --ratings FILE")
    name = config.name or _only(artifacts)
    layout = CSV if name == SYNTHETIC else find(name).layout
    record = artifacts.raw(name).record()
    record.check()
    folder = record.stage.path
    raw = read_ratings(folder / layout.ratings, separator=layout.separator, header=layout.header)
    titles = read_items(folder / layout.items, layout)
    return _Source(name, raw, None, titles, {f"raw/{name}": record.fingerprint}, record.results.get("oracle_rmse"))


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


@dataclass(frozen=True)
class _Table:
    """All ratings that are to be split, ids coded in any order; ``own_test`` marks those of --test."""

    users: npt.NDArray[np.int32]
    items: npt.NDArray[np.int32]
    ratings: npt.NDArray[np.float32]
    timestamps: npt.NDArray[np.int64] | None
    own_test: npt.NDArray[np.bool_]
    user_ids: npt.NDArray[Any]
    item_ids: npt.NDArray[Any]
    locate: Callable[[int], str]

    @classmethod
    def join(cls, raw: Raw, test: Raw | None) -> "_Table":
        if test is None:
            marks = np.zeros(len(raw.ratings), bool)
            return cls(raw.users, raw.items, raw.ratings, raw.timestamps, marks, raw.user_ids, raw.item_ids, raw.locate)
        (users, user_ids), (items, item_ids) = (
            _join_ids(raw.users, raw.user_ids, test.users, test.user_ids),
            _join_ids(raw.items, raw.item_ids, test.items, test.item_ids),
        )
        n = len(raw.ratings)
        timestamps = None
        if raw.timestamps is not None and test.timestamps is not None:
            timestamps = np.concatenate([raw.timestamps, test.timestamps])
        return cls(
            users,
            items,
            np.concatenate([raw.ratings, test.ratings]),
            timestamps,
            np.arange(n + len(test.ratings)) >= n,
            user_ids,
            item_ids,
            lambda row: raw.locate(row) if row < n else test.locate(row - n),
        )

    def take(self, rows: npt.NDArray[Any]) -> "_Table":
        timestamps = None if self.timestamps is None else self.timestamps[rows]
        return replace(
            self,
            users=self.users[rows],
            items=self.items[rows],
            ratings=self.ratings[rows],
            timestamps=timestamps,
            own_test=self.own_test[rows],
        )

    def _pairs(self) -> npt.NDArray[np.int64]:
        """(n,) int64, equal where user and item are."""
        return self.users.astype(np.int64) * len(self.item_ids) + self.items

    def leaked(self) -> int:
        """How many ratings of --test have their user and item in the other ratings too."""
        if not self.own_test.any():
            return 0
        pairs = self._pairs()
        return int(np.isin(pairs[self.own_test], pairs[~self.own_test]).sum())

    def without_duplicates(self, policy: str) -> "_Table":
        """Each pair of user and item once in the ratings and once in one's own test. Raises DataError."""
        pairs = self._pairs() * 2 + self.own_test
        ordered = np.sort(pairs)
        if not (ordered[1:] == ordered[:-1]).any():
            return self
        import pandas as pd

        del ordered
        series = pd.Series(pairs)
        if policy == "error":
            row = int(series.duplicated().to_numpy().argmax())
            first = int((pairs == pairs[row]).argmax())
            raise DataError(
                f"{self.locate(row)}: user {self.user_ids[self.users[row]]} has rated item "
                f"{self.item_ids[self.items[row]]} before ({self.locate(first)}): --duplicates last or mean settles it"
            )
        table = self
        if self.timestamps is not None:  # the last in time; of equal times the last in the file
            order = np.argsort(self.timestamps, kind="stable")
            last = np.zeros(len(pairs), bool)
            last[order[~series.iloc[order].duplicated(keep="last").to_numpy()]] = True
        else:
            last = ~series.duplicated(keep="last").to_numpy()
        if policy == "mean":
            means = pd.Series(self.ratings.astype(np.float64)).groupby(pairs).transform("mean")
            table = replace(self, ratings=means.to_numpy().astype(np.float32))
        return table.take(np.flatnonzero(last))

    def with_at_least(self, of_user: int, of_item: int) -> "_Table":
        """Drop users and items with too few ratings, again and again until none is left. Raises DataError."""
        table = self
        while of_user > 1 or of_item > 1:
            users, items = np.bincount(table.users), np.bincount(table.items)
            keep = (users[table.users] >= of_user) & (items[table.items] >= of_item)
            if keep.all():
                break
            table = table.take(keep)
            if not len(table.ratings):
                raise DataError("no rating is left: lower --min-user-ratings or --min-item-ratings")
        return table

    def compact(self) -> tuple[Ratings, npt.NDArray[Any], npt.NDArray[Any]]:
        """Ratings with dense indices in the order of the ids, and the ids that are left."""
        users, user_ids = _dense(self.users, self.user_ids)
        items, item_ids = _dense(self.items, self.item_ids)
        return Ratings(users, items, self.ratings, len(user_ids), len(item_ids), self.timestamps), user_ids, item_ids


def _join_ids(
    a: npt.NDArray[np.int32], a_ids: npt.NDArray[Any], b: npt.NDArray[np.int32], b_ids: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[Any]]:
    """Codes of both into one list of ids, which are integers only if both are."""
    if a_ids.dtype != b_ids.dtype:
        a_ids, b_ids = (np.array([str(v) for v in ids], dtype=object) for ids in (a_ids, b_ids))
    ids, which = np.unique(np.concatenate([a_ids, b_ids]), return_inverse=True)
    return np.concatenate([which[a], which[len(a_ids) + b]]).astype(np.int32), ids


def _dense(codes: npt.NDArray[np.int32], ids: npt.NDArray[Any]) -> tuple[npt.NDArray[np.int32], npt.NDArray[Any]]:
    used = np.flatnonzero(np.bincount(codes, minlength=len(ids)))
    used = used[np.argsort(ids[used], kind="stable")]
    place = np.full(len(ids), -1, np.int32)
    place[used] = np.arange(len(used), dtype=np.int32)
    return place[codes], ids[used]


def _write(
    folder: Path, ratings: Ratings, parts: Split, user_ids: npt.NDArray[Any], item_ids: npt.NDArray[Any], titles: Titles
) -> None:
    train = ratings.take(parts.train)
    _write_table(train.to_parquet(), folder / "train.parquet")
    if len(parts.val):
        _write_table(ratings.take(parts.val).to_parquet(), folder / "val.parquet")
    _write_table(ratings.take(parts.test).to_parquet(), folder / "test.parquet")
    users = {
        "index": pa.array(np.arange(len(user_ids), dtype=np.int32)),
        "id": pa.array(user_ids),
        "ratings": ratings.user_counts(),
        "train_ratings": train.user_counts(),
    }
    _write_table(pa.table(users), folder / "users.parquet")
    named = [titles.get(str(one), ("", "")) for one in item_ids]
    items = {
        "index": pa.array(np.arange(len(item_ids), dtype=np.int32)),
        "id": pa.array(item_ids),
        "title": pa.array([title for title, _ in named], pa.string()),
        "genres": pa.array([genres for _, genres in named], pa.string()),
        "ratings": ratings.item_counts(),
        "train_ratings": train.item_counts(),
    }
    _write_table(pa.table(items), folder / "items.parquet")


def _write_table(table: pa.Table, path: Path) -> None:
    with path.open("wb") as file:  # pyarrow cannot open every path that Python can
        pq.write_table(table, file)


def _figures(source: _Source, ratings: Ratings, parts: Split, dropped: int) -> dict[str, Any]:
    train, test = ratings.take(parts.train), ratings.take(parts.test)
    new_user, new_item = train.user_counts() == 0, train.item_counts() == 0
    figures = {
        "dataset": source.dataset,
        "users": ratings.n_users,
        "items": ratings.n_items,
        "ratings": len(ratings),
        "train": len(parts.train),
        "val": len(parts.val),
        "test": len(parts.test),
        "density": len(ratings) / (ratings.n_users * ratings.n_items),
        "mean": float(ratings.ratings.mean(dtype=np.float64)),
        "minimum": float(ratings.ratings.min()),
        "maximum": float(ratings.ratings.max()),
        "histogram": histogram(ratings.ratings),
        "test_users_unseen": int(new_user[np.unique(test.users)].sum()),
        "test_items_unseen": int(new_item[np.unique(test.items)].sum()),
        "test_ratings_unseen": int((new_user[test.users] | new_item[test.items]).sum()),
        "dropped": dropped,
    }
    return figures | ({} if source.oracle_rmse is None else {"oracle_rmse": source.oracle_rmse})


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
