"""What is odd about ratings that can be used: it may not be what their owner means."""

import re
from typing import Any

import numpy as np
import numpy.typing as npt

from mfcli.data.faults import is_none
from mfcli.data.ratings import Sides

COMMON = 0.05  # share of the ratings from which a value that does not fit the others is told of
COMMON_ZERO = 0.2
TIMES_FROM = 1e8  # ratings that are all larger look like seconds since 1970
SHORTENED = re.compile(r"\d([.,]\d+)?[eE]\+\d+")  # a long number in a spreadsheet
FEWEST_OTHERS = 4  # different values, to speak of a scale


def odd_values(values: npt.NDArray[Any], counts: npt.NDArray[Any]) -> list[str]:
    """Warnings of ratings that are all alike, and of a value that may stand for no rating.

    Args:
        values: (k,) different ratings, ascending.
        counts: (k,) how often each occurs.
    """
    if len(values) == 1:
        return [f"all ratings are {values[0]:g}: they say who met what, but not who liked what (--as-clicks)"]
    if values[0] >= TIMES_FROM:
        return [f"all ratings are above {TIMES_FROM:,.0f}, like times: --columns says which column is what"]
    found = []
    for at, others in ((0, values[1:]), (-1, values[:-1])):
        share = float(counts[at] / counts.sum())
        if len(others) >= FEWEST_OTHERS and _is_marker(
            float(values[at]), others, share, bool(counts[at] == counts.max())
        ):
            found.append(
                f"{share:.0%} of the ratings are {values[at]:g}, the others {others[0]:g} to {others[-1]:g}: "
                f"if it stands for no rating, --missing {values[at]:g} leaves it out"
            )
    return found


def odd_times(timestamps: npt.NDArray[np.int64]) -> list[str]:
    """A warning of (n,) seconds that are a number of another kind, of a column that nobody has named."""
    if not len(timestamps) or np.abs(timestamps).max() >= TIMES_FROM:
        return []
    return [
        f"the timestamps are {timestamps.min():,} to {timestamps.max():,} seconds after 1970, unlike times: "
        "--columns says which column is what"
    ]


def odd_ids(ids: Sides[npt.NDArray[Any]]) -> list[str]:
    """Warnings of ids that a spreadsheet has shortened, so that several may have become one, and of one that is none.

    Args:
        ids: of the users and of the items; int64, or object arrays of str.
    """
    found = []
    for side, some in zip(ids._fields, ids, strict=True):
        texts = [] if some.dtype == np.int64 else some.tolist()
        found += [f"one of the {side} is called '{one}': take out lines without an id" for one in texts if is_none(one)]
        bad = [one for one in texts if SHORTENED.fullmatch(one)]
        if bad:
            found.append(
                f"{len(bad):,} ids of {side} are like {bad[0]}, as spreadsheets shorten long numbers: "
                "different ones may have become the same"
            )
    return found


def _is_marker(value: float, others: npt.NDArray[Any], share: float, is_most_common: bool) -> bool:
    """Whether a value at an end of the scale is far from the others, alone below zero, or a zero before ones."""
    gap = min(abs(value - float(others[0])), abs(value - float(others[-1])))
    far = gap > float(others[-1]) - float(others[0])
    alone_below_zero = value < 0 <= others[0]
    zero = value == 0 and others[0] >= 1 and is_most_common and share >= COMMON_ZERO
    return share >= COMMON and bool(far or alone_below_zero or zero)
