"""What is given to ``mfcli prepare``, as it is read: one's own files, or a downloaded data set."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mfcli.artifacts import Artifacts
from mfcli.config.prepare import PrepareConfig
from mfcli.data.catalogue import CATALOGUE, PLANTED, SYNTHETIC, Layout, Planted, find
from mfcli.data.columns import CLICKS, RATINGS
from mfcli.data.faults import NoRatings
from mfcli.data.files import RATINGS_FILES, Source, find_source, find_sources, short
from mfcli.data.form import Reading
from mfcli.data.people import USERS_FILES, read_users
from mfcli.data.ratings import Sides
from mfcli.data.readers import read_ratings
from mfcli.data.sheet import Sheet
from mfcli.data.table import Table, join
from mfcli.data.titles import ITEMS_FILES, read_items, read_own_items
from mfcli.data.wide import read_wide
from mfcli.errors import ArtifactError, UsageError
from mfcli.progress import Progress
from mfcli.record import Record


@dataclass(frozen=True)
class Given:
    """What is to be prepared, as read.

    Attributes:
        dataset: its name.
        table: the ratings; one's own test ratings are among them, and marked.
        sheets: what is known of the users and of the items.
        inputs: name -> SHA-256 of what was read.
        oracle_rmse: of the true model, for synthetic data.
    """

    dataset: str
    table: Table
    sheets: Sides[Sheet]
    inputs: dict[str, str]
    oracle_rmse: float | None = None


def own_files(config: PrepareConfig, progress: Progress) -> Given:
    """One's own ratings, test ratings, items and users. Warns of files without ratings beside others.

    Raises:
        DataError: a file cannot be used; says where.
        UsageError: the columns asked for make no sense.
    """
    how = _how(config)
    table, inputs = _read(config.own, "clicks" if config.clicks else "ratings", config, how, progress)
    if config.test is not None:
        test, of_test = _read([config.test], "test", config, how, progress)
        table, inputs = join([table, replace(test, own_test=np.ones(len(test), bool))]), inputs | of_test
    sheets, of_sheets = _sheets(config, replace(how, columns=None, separator=None, header=None))
    names = ["standard input" if str(path) == "-" else short(path.absolute().name) for path in config.own]
    return Given(" and ".join(names), table, sheets, inputs | of_sheets)


def _how(config: PrepareConfig) -> Reading:
    """What the options say of the files of ratings."""
    return Reading(
        columns=config.columns,
        separator=config.separator,
        header=False if config.no_header else None,
        encoding=config.encoding,
        quoting=config.quoting,
        comment=config.comment,
        decimal=config.decimal,
        missing=tuple(text.strip() for text in (config.missing or "").split(",")) if config.missing is not None else (),
    )


def _read(
    paths: Sequence[Path], name: str, config: PrepareConfig, how: Reading, progress: Progress
) -> tuple[Table, dict[str, str]]:
    """The ratings in some files, and the SHA-256 of each: by the name, or if they are several by their own."""
    sources = [source for path in paths for source in find_sources(path, RATINGS_FILES)]
    tables: list[Table] = []
    for source in sources:
        try:
            tables.append(_table(source, config, how))
        except NoRatings as error:
            if len(sources) == 1 or (source is sources[-1] and not tables):
                raise
            progress.warn(str(error))
    return join(tables), {name if len(sources) == 1 else source.name: source.sha256() for source in sources}


def _table(source: Source, config: PrepareConfig, how: Reading) -> Table:
    if config.wide:
        return read_wide(source, how)
    return read_ratings(source, replace(how, weights=config.weights), CLICKS if config.clicks else RATINGS)


def _sheets(config: PrepareConfig, how: Reading) -> tuple[Sides[Sheet], dict[str, str]]:
    """What one's own files say of users and items, and the SHA-256 of each."""
    sheets, inputs = Sides(Sheet(), Sheet()), {}
    if config.items is not None:
        items = find_source(config.items, ITEMS_FILES)
        inputs["items"] = items.sha256()
        sheets = sheets._replace(items=read_own_items(items, replace(how, columns=config.item_columns)))
    if config.users is not None:
        users = find_source(config.users, USERS_FILES)
        inputs["users"] = users.sha256()
        sheets = sheets._replace(users=read_users(users, how))
    return sheets, inputs


def downloaded(config: PrepareConfig, artifacts: Artifacts) -> Given:
    """The downloaded data set that the options name, else the only one there is.

    Raises:
        ArtifactError: none was downloaded, or it is damaged.
        DataError: a file in it cannot be used.
        UsageError: there is none of that name, or there are several and none is named.
    """
    name = config.name or _only(artifacts)
    if name not in CATALOGUE and Path(name).exists():
        raise UsageError(f"no data set is called '{name}': a file of your own is given by --ratings {name}")
    layout = PLANTED if name == SYNTHETIC else find(name).layout
    return artifacts.raw(name).consistent(functools.partial(_read_raw, layout))


def _read_raw(layout: Layout, record: Record) -> Given:
    """A downloaded data set of that layout. Raises ArtifactError or DataError."""
    record.check()
    folder, name = record.path, record.name
    how = Reading(separator=layout.separator, header=None if layout.header else False)
    with record.unchanged():
        ratings, items = (find_source(folder / file) for file in (layout.ratings, layout.items))
        users = Sheet()
        if layout.users in record.files:  # a folder of one's own may be without
            users = read_users(find_source(folder / layout.users))
        sheets, table = Sides(users, read_items(items, layout)), read_ratings(ratings, how)
    inputs = {f"raw/{name}": record.fingerprint}
    return Given(name, table, sheets, inputs, record.told(Planted).oracle_rmse)


def _only(artifacts: Artifacts) -> str:
    """The data set that is downloaded. Where none is whole, one of which a part is there: who reads it says so."""
    names = artifacts.downloaded()
    if not names:
        for name in (*CATALOGUE, SYNTHETIC):
            if artifacts.raw(name).path.is_dir():
                return name
        raise ArtifactError(
            f"there are no data under {artifacts.root / 'raw'} yet: "
            f"run `{artifacts.raw('ml-latest-small').command}`, or give --ratings FILE"
        )
    if len(names) > 1:
        raise UsageError(f"several data sets are downloaded: `mfcli prepare NAME` with one of {', '.join(names)}")
    return names[0]
