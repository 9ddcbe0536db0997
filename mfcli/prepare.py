"""``mfcli prepare``: check ratings, give users and items dense indices, cut train, validation and test parts."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mfcli.artifacts import Artifacts
from mfcli.config.prepare import PrepareConfig
from mfcli.data.attributes import Described
from mfcli.data.describe import MOST, describe
from mfcli.data.facts import Facts
from mfcli.data.files import short
from mfcli.data.given import Given, downloaded, own_files
from mfcli.data.oddities import odd_ids, odd_times, odd_values
from mfcli.data.prepared import write
from mfcli.data.ratings import Parts, Ratings, Sides
from mfcli.data.sheet import Sheet
from mfcli.data.split import split
from mfcli.data.table import Table
from mfcli.data.years import years
from mfcli.errors import DataError
from mfcli.progress import Progress

FEW = 20  # different ratings, each of which is counted
WEIGHTLESS = "of weight 0"

Steps = dict[str, Callable[[Table], Table]]
"""Why some ratings are left out -> what takes them out."""


@dataclass(frozen=True, kw_only=True)
class PreparedSummary(Facts):
    """The result: what is recorded of the ratings, and where.

    Attributes:
        path: the data stage.
    """

    path: Path


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
        given = own_files(config, progress) if config.own else downloaded(config, artifacts)
        _tell(given, config, progress)
        table, left_out = _selected(given.table, config, progress)
        ratings, ids = table.compact()
        texts = Sides(*([str(one) for one in side] for side in ids))
        rows = split(config, ratings, texts, np.flatnonzero(table.own_test) if config.test else None)
        leaked = table.leaked()
        if leaked:
            progress.warn(f"{leaked:,} of the {len(rows.test):,} test ratings are also given to train on")
        described = _described(given.sheets, texts, config, progress)
        values, counts = np.unique(ratings.ratings, return_counts=True)
        warnings = odd_values(values, counts) if config.feedback == "ratings" else []
        for warning in (*warnings, *odd_ids(ids)):
            progress.warn(warning)
        parts = Parts(*(ratings.take(one) for one in rows))
        _warn_of_new_users(config, parts, progress)
        results = _results(given, ratings, parts, ids) | _feature_counts(described)
        results |= {"feedback": config.feedback, "histogram": histogram(values, counts), "left_out": left_out}
        with stage.replace(config, given.inputs, libraries=("scikit-learn",)) as draft:
            names = {role: given.sheets.items.column(role, texts.items) for role in ("title", "genres")}
            write(draft.path, parts, ids, names, years(given.sheets.items, texts.items), described)
            draft.results.update(results)
    return PreparedSummary(path=stage.path, **results)


def _warn_of_new_users(config: PrepareConfig, parts: Parts[Ratings], progress: Progress) -> None:
    """Warn if most of what is tested of users is of those that training knows nothing of."""
    if config.split == "time":
        new = float((parts.train.user_counts()[parts.test.users] == 0).mean())
        if new > 0.5:
            progress.warn(
                f"{new:.0%} of the test ratings are of users without a training rating, of whom nothing can be learnt: "
                "--split latest tests on the latest ratings of each user"
            )


def _described(
    sheets: Sides[Sheet], ids: Sides[list[str]], config: PrepareConfig, progress: Progress
) -> Sides[Described]:
    """The features of the users and of the items. Raises DataError if one that is asked for is not there."""
    wanted = Sides(config.user_features, config.item_features)
    for sheet, of_side, what in zip(sheets, ids, ("user", "item"), strict=True):
        unknown = sum(one not in sheet.rows for one in of_side)
        if sheet.rows and unknown == len(of_side):
            progress.warn(f"the {what}s file says nothing of any {what} of the ratings")
        elif sheet.rows and unknown:
            progress.note(f"the {what}s file says nothing of {unknown:,} of the {len(of_side):,} {what}s")
    made = []
    for sheet, of_side, names, what in zip(sheets, ids, wanted, ("user", "item"), strict=True):
        described = describe(sheet, of_side, _names(names), decimal=config.decimal)
        if described.with_commas and config.own:
            progress.warn(
                f"{short(', '.join(described.with_commas))} of the {what}s: are these numbers with a decimal comma? "
                "--decimal , reads them; now they are words"
            )
        odd = ", ".join(f"{name} ({why})" for name, why in described.left_out.items())
        if odd:
            progress.note(f"no {what} features are made of {odd}")
        if described.dropped:
            progress.note(f"of the {what} features the {MOST:,} most frequent are kept, {described.dropped:,} are not")
        made.append(described)
    return Sides(*made)


def _names(option: str | None) -> list[str] | None:
    """What --item-features and --user-features name; None for all."""
    if option is None:
        return None
    return [] if option.strip().lower() == "none" else [name.strip() for name in option.split(",")]


def _feature_counts(described: Sides[Described]) -> dict[str, Any]:
    """What the stage records of features."""
    counts = [{one.name: len(one.values) for one in side.attributes} for side in described]
    return {
        "user_features": counts[0],
        "item_features": counts[1],
        "users_described": described.users.rows,
        "items_described": described.items.rows,
    }


def _selected(table: Table, config: PrepareConfig, progress: Progress) -> tuple[Table, dict[str, int]]:
    """The ratings, or the clicks that they are taken for, of each user and item once, where there are enough of them.

    Also why others are left out, in words -> how many. Raises DataError.
    """
    once: Steps = {"duplicates": lambda table: table.without_duplicates(config.duplicates)}
    chosen: Steps = {}
    if config.as_clicks:
        chosen["below --at-least"] = lambda table: table.as_clicks(config.at_least)
    elif config.clicks:
        chosen[WEIGHTLESS] = Table.clicked
    steps = chosen | once if config.duplicates == "sum" else once | chosen
    least = config.min_user_ratings, config.min_item_ratings
    steps |= {"of users or items with too few": lambda table: table.with_at_least(*least)}
    left_out = {}
    for reason, step in steps.items():
        before = len(table)
        table = step(table)
        if len(table) < before:
            left_out[reason] = before - len(table)
    if WEIGHTLESS in left_out:
        progress.warn(f"left out {left_out[WEIGHTLESS]:,} clicks {WEIGHTLESS}")
    return table, left_out


def _tell(given: Given, config: PrepareConfig, progress: Progress) -> None:
    """Say what was read and as what. Raises DataError if the split needs timestamps that cannot be used."""
    origin = given.table.origin
    what = f"{len(given.table):,} {'clicks' if config.clicks else 'ratings'} in {origin.lines:,} lines"
    progress.note(f"read {what} of {given.dataset}: {_columns(origin.columns)}{_span(given.table.timestamps)}")
    told = [origin.columns]
    for one in origin.each():
        if one.columns not in told:
            told.append(one.columns)
            progress.note(f"but of {short(Path(one.name).name)}: {_columns(one.columns)}")
    for sheet, path, what in zip(given.sheets, (config.users, config.items), ("users", "items"), strict=True):
        if path is not None:
            progress.note(f"read {len(sheet.rows):,} {what} of {short(path.name)}: {_columns(sheet.roles)}")
        for doubt in sheet.doubts:
            progress.warn(f"{short(path.name) if path else what}: {doubt}")
    if given.table.timestamps is not None and any(one.told_by == "order" for one in origin.each()):
        for warning in odd_times(given.table.timestamps):
            progress.warn(warning)
    if origin.no_times and config.split in ("latest", "time", "leave-last"):
        raise DataError(f"--split {config.split} needs the time of every rating: {origin.no_times}")
    if origin.no_times:
        progress.warn(f"timestamps are left out: {origin.no_times}")
    if origin.missing:
        progress.note(f"left out {origin.missing:,} lines whose rating is one of --missing '{config.missing}'")


def _columns(named: dict[str, str]) -> str:
    return ", ".join(f"{role} = {short(name)}" for role, name in named.items())


def _span(timestamps: npt.NDArray[np.int64] | None) -> str:
    """The days of the first and of the last of n timestamps, by which a wrong unit or a wrong column shows."""
    if timestamps is None:
        return ""
    days = np.array([timestamps.min(), timestamps.max()], "datetime64[s]").astype("datetime64[D]")
    return f", from {days[0]} to {days[1]}"


def _results(given: Given, ratings: Ratings, parts: Parts[Ratings], ids: Sides[npt.NDArray[Any]]) -> dict[str, Any]:
    """What the stage records of itself: all of the summary but the path."""
    train, val, test = parts
    new_user, new_item = train.user_counts() == 0, train.item_counts() == 0
    results = {
        "dataset": given.dataset,
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
        "test_users_unseen": int(new_user[np.unique(test.users)].sum()),
        "test_items_unseen": int(new_item[np.unique(test.items)].sum()),
        "test_ratings_unseen": int((new_user[test.users] | new_item[test.items]).sum()),
        "lines": given.table.origin.lines,
        "columns": given.table.origin.columns,
        "missing": given.table.origin.missing,
        "user_ids": _kind(ids.users),
        "item_ids": _kind(ids.items),
    }
    return results | ({} if given.oracle_rmse is None else {"oracle_rmse": given.oracle_rmse})


def _kind(ids: npt.NDArray[Any]) -> str:
    return "integer" if ids.dtype == np.int64 else "string"


def histogram(values: npt.NDArray[Any], counts: npt.NDArray[Any]) -> dict[str, int]:
    """How often each rating occurs; with more than :data:`FEW` different ones, how many fall into each of ten bins.

    Args:
        values: (k,) different ratings, ascending.
        counts: (k,) how often each occurs.

    Returns:
        The rating, or its bin's middle, as text -> how many; ascending.
    """
    if len(values) > FEW:
        counts, edges = np.histogram(values.astype(np.float64), bins=10, weights=counts)
        values = (edges[:-1] + edges[1:]) / 2
    texts = (f"{{:.{digits}g}}".format for digits in (6, 9, 17))  # as short as tells them apart
    names = next(names for text in texts if len(set(names := [text(float(value)) for value in values])) == len(values))
    return dict(zip(names, map(int, counts), strict=True))
