"""Reading items that nobody has rated yet: what is known of them, in the words of the features that the data have."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mfcli.data.attributes import Attribute
from mfcli.data.columns import ITEMS
from mfcli.data.files import find_source, short
from mfcli.data.ids import find_ids
from mfcli.data.lookup import Doubt
from mfcli.data.prepared import Prepared
from mfcli.data.remedies import BY_HAND
from mfcli.data.sheet import Sheet
from mfcli.data.table import INTEGER
from mfcli.data.titles import ITEMS_FILES, read_own_items
from mfcli.data.years import years
from mfcli.errors import DataError, UsageError

WANTED = replace(ITEMS, option="a header", metavar="itemId,title,genres", remedies=BY_HAND)


def read_new_items(path: Path, prepared: Prepared, doubt: Doubt) -> Any:
    """The items in a file that are not in the data, as a pyarrow table of the columns of :attr:`Prepared.items`.

    Args:
        path: items as ``mfcli prepare --items`` takes them; - for standard input.
        prepared: the data.
        doubt: is told, with counts, of items that are there already, of ids of another kind, of columns that features
            were not made of or that are missing, and of values that are no features.

    Raises:
        UsageError: the data have no features of items.
        DataError: the file has a fault, or no item in it is new.
    """
    features = prepared.features.items
    if features is None:
        raise UsageError(
            "--items-new: the data hold no features of items to predict by; `mfcli prepare` makes them of an items file"
        )
    sheet = read_own_items(find_source(path, ITEMS_FILES), wanted=WANTED)
    ids = _new(list(sheet.rows), prepared, str(path), doubt)
    columns = _columns(sheet, features.attributes, str(path), doubt)
    described: list[list[str]] = [[] for _ in ids]
    unknown: dict[str, int] = {}
    for attribute, column in columns.items():
        for row, cell in zip(described, sheet.column(column, ids), strict=True):
            words = attribute.words(cell)
            row += [f"{attribute.name}={word}" for word in words if word in attribute.values]
            for word in words:
                if word not in attribute.values and not (attribute.kind == "title" and word == cell.strip()):
                    unknown[f"{attribute.name}={word}"] = unknown.get(f"{attribute.name}={word}", 0) + 1
    if unknown:
        doubt(f"{path}: {sum(unknown.values()):,} values are no features and say nothing: {short(', '.join(unknown))}")
    return _table(ids, sheet, described, prepared)


def _new(ids: list[str], prepared: Prepared, where: str, doubt: Doubt) -> list[str]:
    """Those of the ids that are not in the data. Raises DataError if there is none."""
    known = find_ids(prepared.items["id"], ids) >= 0
    if known.any():
        there = [ids[place] for place in np.flatnonzero(known).tolist()]
        doubt(f"{where}: {len(there):,} of {len(ids):,} items are in the data already: {short(', '.join(there))}")
    new = [one for one, there in zip(ids, known, strict=True) if not there]
    if prepared.record.results["item_ids"] == "integer":
        odd = [one for one in new if not INTEGER.fullmatch(one)]
        if odd:
            doubt(
                f"{where}: {len(odd):,} items have no whole number for an id, as the data have: {short(', '.join(odd))}"
            )
        new = [one for one in new if INTEGER.fullmatch(one)]
    if not new:
        raise DataError(f"{where}: no item in it is new")
    return new


def _columns(sheet: Sheet, attributes: Sequence[Attribute], where: str, doubt: Doubt) -> dict[Attribute, str]:
    """The column of every attribute that the file has, by its name in any case of letters, or by its role."""
    named = {column.lower(): column for column in sheet.columns} | {
        role: role for role in sheet.roles if role != "item"
    }
    sources = {one: "title" if one.kind == "title" else one.source.lower() for one in attributes}
    missing = [one.source for one, source in sources.items() if source not in named]
    if missing:
        doubt(f"{where}: it has no column {', '.join(missing)}, of which features were made")
    roles = {sheet.roles.get(role, "") for role in ("title", "genres")}
    used = {sheet.roles.get(named[source], named[source]) for source in sources.values() if source in named}
    useless = [column for column in sheet.columns if column not in roles | used]
    if useless:
        doubt(
            f"{where}: {len(useless):,} columns say nothing, no features were made of them: {short(', '.join(useless))}"
        )
    return {one: named[source] for one, source in sources.items() if source in named}


def _table(ids: list[str], sheet: Sheet, described: list[list[str]], prepared: Prepared) -> Any:
    """The rows of these items behind those of the data."""
    import pyarrow as pa

    schema = prepared.items.schema
    columns = {
        "index": range(prepared.n_items, prepared.n_items + len(ids)),
        "id": [int(one) for one in ids] if pa.types.is_integer(schema.field("id").type) else ids,
        "title": sheet.column("title", ids),
        "genres": sheet.column("genres", ids),
        "year": years(sheet, ids),
        "features": described,
    }
    nothing = [0] * len(ids)  # ratings
    return pa.table(
        {name: pa.array(columns.get(name, nothing), schema.field(name).type) for name in schema.names}, schema
    )
