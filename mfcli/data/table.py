"""Ratings with the ids that people gave, on their way to dense rows of users and items."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from mfcli.arrays import Bools, Int32s, Int64s
from mfcli.data.files import short
from mfcli.data.ratings import Ratings, Sides
from mfcli.data.text import INVISIBLE
from mfcli.errors import DataError

Ids = npt.NDArray[Any]
"""(n,) int64 where all ids are integers, else object array of str."""

INTEGER = re.compile(r"(0|-?[1-9][0-9]{0,18})(\.0*)?")
INT64 = range(-(2**63), 2**63)


def plain_id(text: str) -> str:
    """An id as people mean it: without blanks around it, invisible characters, and the .0 of a number."""
    text = (text if text.isascii() else INVISIBLE.sub("", text)).strip()
    number = INTEGER.fullmatch(text)
    return number[1] if number else text


def code_ids(texts: list[str]) -> tuple[Ids, Int32s | None]:
    """Ids that n texts stand for.

    Returns:
        (d,) distinct ids, int64 or texts, and (n,) int32 places of the texts' ids among them; None where the
        places are 0, 1, 2, ...
    """
    plain = [plain_id(text) for text in texts]
    numbers = all(INTEGER.fullmatch(text) and int(text) in INT64 for text in plain)
    if not numbers:  # where not all ids are numbers, 1.0 stands for 1 only if there is a 1 too
        bare = [(text if text.isascii() else INVISIBLE.sub("", text)).strip() for text in texts]
        there = set(bare)
        plain = [whole if whole in there else text for text, whole in zip(bare, plain, strict=True)]
    ids = np.array([int(text) for text in plain], np.int64) if numbers else np.array(plain, dtype=object)
    distinct, which = np.unique(ids, return_inverse=True)
    return (ids, None) if len(distinct) == len(ids) else (distinct, which.astype(np.int32))


@dataclass(frozen=True)
class Origin:
    """Where ratings were read, and what there is to say of it.

    Attributes:
        name: of the file.
        lines: read, of text; else rows.
        columns: role -> what the file calls its column.
        locate: says where the n-th rating was read: file and line.
        missing: rows left out, since their rating is one of --missing.
        no_times: why there are no timestamps, though there is a column of them.
        places: role -> number of its column, from 0, in a text.
        told_by: what tells which column is which, as :class:`Form` has it.
        parts: the origins of the tables that were joined.
    """

    name: str
    lines: int
    columns: dict[str, str]
    locate: Callable[[int], str]
    missing: int = 0
    no_times: str | None = None
    places: dict[str, int] = field(default_factory=dict)
    told_by: str = "names"
    parts: tuple["Origin", ...] = ()

    def each(self) -> tuple["Origin", ...]:
        """Of each file by itself."""
        return self.parts or (self,)


@dataclass(frozen=True, kw_only=True)
class Table(Ratings):
    """Ratings as read. Their rows are codes, in any order, into the original ids; some may not occur.

    Attributes:
        ids: the original ids of users and items.
        own_test: (n,) bool, the ratings that are one's own test part.
        origin: of a table as it was read; :meth:`take` keeps it as it is.
    """

    ids: Sides[Ids]
    own_test: Bools
    origin: Origin

    columns: ClassVar[tuple[str, ...]] = (*Ratings.columns, "own_test")

    def _pairs(self) -> Int64s:
        """(n,) int64, equal where user and item are."""
        return self.users.astype(np.int64) * self.n_items + self.items

    def leaked(self) -> int:
        """How many ratings of one's own test have their user and item in the other ratings too."""
        if not self.own_test.any():
            return 0
        pairs = self._pairs()
        return int(np.isin(pairs[self.own_test], pairs[~self.own_test]).sum())

    def without_duplicates(self, policy: str) -> "Table":
        """Each pair of user and item once in the ratings, and once in one's own test.

        Args:
            policy: ``error``; ``last`` keeps the last in time, of equal times the last in the file; ``mean`` and
                ``sum`` give that one the mean or the sum of all.

        Raises:
            DataError: with policy ``error``, naming where both were read.
        """
        pairs = self._pairs() * 2 + self.own_test
        ordered = np.sort(pairs)
        repeated = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
        if not len(repeated):
            return self
        del ordered
        among = repeated[np.minimum(np.searchsorted(repeated, pairs), len(repeated) - 1)] == pairs
        rows = np.flatnonzero(among)
        by_time = () if self.timestamps is None or policy == "error" else (self.timestamps[rows],)
        order = rows[np.lexsort((*by_time, pairs[rows]))]  # stable: by pair, then time, then place in the file
        is_first = np.append(True, np.diff(pairs[order]) != 0)
        if policy == "error":
            row = int(order[~is_first].min())
            first = int((pairs == pairs[row]).argmax())
            user, item = (short(str(one)) for one in (self.ids.users[self.users[row]], self.ids.items[self.items[row]]))
            raise DataError(
                f"{self.origin.locate(row)}: user {user} has rated item {item} before "
                f"({self.origin.locate(first)}): --duplicates last or mean settles it"
            )
        last = order[np.append(is_first[1:], True)]
        ratings = self.ratings
        if policy in ("mean", "sum"):
            starts = np.flatnonzero(is_first)
            sums = np.add.reduceat(ratings[order].astype(np.float64), starts)
            ratings = ratings.copy()
            ratings[last] = sums / (np.diff(np.append(starts, len(order))) if policy == "mean" else 1)
        among[last] = False
        return replace(self, ratings=ratings).take(~among)

    def as_clicks(self, at_least: float | None) -> "Table":
        """Ratings, or those that are not below a bound, as clicks that weigh 1. Raises DataError if none is left."""
        kept = self if at_least is None else self.take(self.ratings >= at_least)
        if not len(kept):
            raise DataError(f"no rating is {at_least:g} or more: lower --at-least")
        return replace(kept, ratings=np.ones_like(kept.ratings))

    def clicked(self) -> "Table":
        """The clicks without those that weigh 0. Raises DataError if a weight is below 0, or if none is left."""
        if (self.ratings < 0).any():
            row = int((self.ratings < 0).argmax())
            raise DataError(f"{self.origin.locate(row)}: the weight {self.ratings[row]:g} of a click is below 0")
        if not self.ratings.any():
            raise DataError("every click weighs 0: does --weights name the right column?")
        return self.take(self.ratings > 0)

    def with_at_least(self, of_user: int, of_item: int) -> "Table":
        """Drop users and items with fewer ratings than that, again and again until none is left. Raises DataError."""
        table = self
        while of_user > 1 or of_item > 1:
            keep = (table.user_counts()[table.users] >= of_user) & (table.item_counts()[table.items] >= of_item)
            if keep.all():
                break
            table = table.take(keep)
            if not len(table):
                raise DataError("no rating is left: lower --min-user-ratings or --min-item-ratings")
        return table

    def compact(self) -> tuple[Ratings, Sides[Ids]]:
        """The ratings of dense rows, in the order of the ids, and the ids that are left."""
        users, user_ids = _dense(self.users, self.ids.users)
        items, item_ids = _dense(self.items, self.ids.items)
        values: dict[str, Any] = {name: getattr(self, name) for name in Ratings.columns}
        ratings = Ratings(**values | {"users": users, "items": items}, n_users=len(user_ids), n_items=len(item_ids))
        return ratings, Sides(user_ids, item_ids)


def join(tables: Sequence[Table]) -> Table:
    """All ratings of some tables, one table's behind the other's. Ids stay integers only if they are in all of them.

    Raises DataError if files with names of columns and files without have them in different orders.
    """
    if len(tables) == 1:
        return tables[0]
    users, user_ids = _join_codes([(table.users, table.ids.users) for table in tables])
    items, item_ids = _join_codes([(table.items, table.ids.items) for table in tables])
    ends = np.cumsum([len(table) for table in tables])
    origins = [table.origin for table in tables]
    parts = tuple(part for origin in origins for part in origin.each())
    _check_order(parts)

    def locate(row: int) -> str:
        which = int(np.searchsorted(ends, row, side="right"))
        return origins[which].locate(row - int(ends[which]) + len(tables[which]))

    times = [table.timestamps for table in tables if table.timestamps is not None]
    no_times = [one.no_times for one in origins if one.no_times]
    if times:
        no_times += [f"{one.name} has no column of them" for one in parts if "timestamp" not in one.columns]
    return Table(
        users=users,
        items=items,
        ratings=np.concatenate([table.ratings for table in tables]),
        timestamps=np.concatenate(times) if len(times) == len(tables) else None,
        own_test=np.concatenate([table.own_test for table in tables]),
        n_users=len(user_ids),
        n_items=len(item_ids),
        ids=Sides(user_ids, item_ids),
        origin=Origin(
            parts[0].name,
            sum(one.lines for one in origins),
            parts[0].columns,
            locate,
            sum(one.missing for one in origins),
            next(iter(no_times), None),
            parts=parts,
        ),
    )


def _check_order(origins: Sequence[Origin]) -> None:
    """Raise DataError if only the order tells the columns of one file, and they are named in another order elsewhere.

    So it is with the pieces of a file that was cut: only the first has the header.
    """
    named = next((one for one in origins if one.told_by == "names" and one.places), None)
    for one in origins:
        if one.told_by == "order" and named and any(named.places.get(r, at) != at for r, at in one.places.items()):
            columns = ",".join(str(place + 1) for place in named.places.values())
            raise DataError(
                f"{one.name}: it names no columns, and those of {named.name} are in another order than user, item, "
                f"rating: if it has that order too, give --columns {columns}"
            )


def _join_codes(sides: list[tuple[Int32s, Ids]]) -> tuple[Int32s, Ids]:
    """The codes of several tables, one behind the other, into one list of ids."""
    codes, ids = zip(*sides, strict=True)
    if len({one.dtype for one in ids}) > 1:
        ids = tuple(np.array([str(v) for v in one], dtype=object) for one in ids)
    joined, which = np.unique(np.concatenate(ids), return_inverse=True)
    starts = np.cumsum([0, *map(len, ids)])
    moved = [which[start + one] for start, one in zip(starts, codes, strict=False)]
    return np.concatenate(moved).astype(np.int32), joined


def _dense(codes: Int32s, ids: Ids) -> tuple[Int32s, Ids]:
    """Codes into the ids that occur, which are sorted."""
    used = np.flatnonzero(np.bincount(codes, minlength=len(ids)))
    used = used[np.argsort(ids[used], kind="stable")]
    place = np.full(len(ids), -1, np.int32)
    place[used] = np.arange(len(used), dtype=np.int32)
    return place[codes], ids[used]
