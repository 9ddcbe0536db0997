"""Candidates: the items that may be recommended, by what is known of them or by lists of ids."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mfcli.arrays import Bools, Int32s
from mfcli.config.recommend import RecommendConfig
from mfcli.data.lookup import Doubt, known_rows
from mfcli.data.prepared import Prepared
from mfcli.errors import DataError


def find_candidates(config: RecommendConfig, prepared: Prepared, doubt: Doubt) -> Int32s | None:
    """(m,) int32 rows of the items that pass all filters, ascending; None if there is no filter.

    Args:
        config: says which filters there are.
        prepared: knows the items.
        doubt: is told of ids that are unknown.

    Raises:
        DataError: no item is of a genre asked for, or a file cannot be read.
    """
    items = prepared.items

    def listed(file: str) -> Bools:
        from mfcli.data.id_files import IDS, read_ids

        rows = np.zeros(len(items), bool)
        rows[known_rows(prepared, "items", read_ids(Path(file), IDS.items), file, doubt)] = True
        return rows

    masks: list[Bools] = []
    if config.genre:
        masks.append(_of_genres(items, config.genre))
    if config.exclude_genre:
        masks.append(~_of_genres(items, config.exclude_genre))
    if config.years is not None:
        masks.append(_of_years(items, config.years))
    if config.items_from is not None:
        masks.append(listed(config.items_from))
    if config.exclude is not None:
        masks.append(~listed(config.exclude))
    if config.min_ratings:
        masks.append(np.from_dlpack(items["train_ratings"].combine_chunks()) >= config.min_ratings)
    return np.flatnonzero(np.logical_and.reduce(masks)).astype(np.int32) if masks else None


def _of_genres(items: Any, wanted: Sequence[str]) -> Bools:
    """Which items are of one of these genres, in any case of letters. Raises DataError for one that no item is of."""
    genres = [set(text.casefold().split("|")) for text in items["genres"].to_pylist()]
    known = {one for text in dict.fromkeys(items["genres"].to_pylist()) for one in text.split("|") if one}
    folded = {one.casefold() for one in wanted}
    for one in wanted:
        if one.casefold() not in {genre.casefold() for genre in known}:
            known_ones = f"the genres are {', '.join(sorted(known))}" if known else "the items have no genres"
            raise DataError(f"no item is of genre '{one}': {known_ones}")
    return np.array([bool(folded & of_item) for of_item in genres], bool)


def _of_years(items: Any, wanted: range) -> Bools:
    """Which items are of these years. Raises DataError if no year is known."""
    if items["year"].null_count == len(items):
        raise DataError("--year: the items have no years, neither in a column nor in their titles")
    return np.array([year in wanted for year in items["year"].to_pylist()], bool)
