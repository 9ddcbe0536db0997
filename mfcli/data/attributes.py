"""Attributes: columns that say something of users or items, and how their cells become features.

A feature is one value of an attribute, in words: ``genres=Comedy``, ``age=25-34``. An attribute keeps how its values
came about, so that somebody new is described by the same ones.
"""

import bisect
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

BINS = 15
FEW = 30  # different numbers, and no more: they are codes or steps, each a category
MOST = 2000  # features of a side: the link solves with their Gram matrix, which has as many rows and columns
NEARLY_ALL = 0.9  # of the cells must be numbers, or dates; of the values must differ to be free text
MISSING = frozenset(("", "na", "n/a", "nan", "none", "null", r"\n", "(no genres listed)"))
ZIP_NAMES = frozenset(("zip", "zipcode", "zip_code", "zip-code", "postcode", "postal_code", "postalcode"))

YEAR_OF_TITLE = re.compile(r"\((\d{4})(?:[-–]\d{0,4})?\)\s*$")
YEAR = re.compile(r"\d{4}")
DATE = re.compile(
    r"\d{4}([-/.]\d{1,2}([-/.]\d{1,2}([T ].*)?)?)?"  # 1995, 1995-01-31, 1995-01-31T12:00:00Z, 1995/01
    r"|\d{1,2}[-/. ](\d{1,2}|[A-Za-z]{3,9})[-/. ]\d{4}"  # 31.1.1995, 31-Jan-1995
    r"|[A-Za-z]{3,9} \d{1,2}, \d{4}"  # January 31, 1995
)


def is_missing(cell: str) -> bool:
    """Whether a cell says that nothing is known."""
    return cell.strip().lower() in MISSING


def _number(cell: str) -> float | None:
    try:
        number = float(cell)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _year_of_date(cell: str) -> float | None:
    date = DATE.fullmatch(cell.strip())
    return float(YEAR.findall(date[0])[0]) if date else None


def _year_of_title(cell: str) -> float | None:
    found = YEAR_OF_TITLE.search(cell)
    return float(found[1]) if found else _year_of_date(cell)  # to somebody new the year alone may be told


def _categories(cell: str) -> list[str]:
    """The values between ``|``; 1.0 is 1, as where a missing cell made floats of a column of whole numbers."""
    words = (re.sub(r"^(-?\d+)\.0+$", r"\1", word.strip()) for word in cell.split("|"))
    return [word for word in dict.fromkeys(words) if not is_missing(word)]


def _zip(cell: str) -> list[str]:
    """The first character of a postal code, a part of a country, and the first three, a town and about."""
    code = cell.strip()
    return [] if is_missing(code) else list(dict.fromkeys((code[:1], code[:3])))


WORDS: dict[str, Callable[[str], list[str]]] = {"category": _categories, "zip": _zip}
NUMBERS: dict[str, Callable[[str], float | None]] = {
    "number": _number,
    "date": _year_of_date,
    "title": _year_of_title,
}
"""Kind of attribute -> what its cells are read with."""


@dataclass(frozen=True)
class Attribute:
    """How the cells of a column become features.

    Attributes:
        name: what stands before the ``=`` of its features.
        source: the column, where that is called otherwise: the year is in the title.
        kind: a key of :data:`WORDS` or :data:`NUMBERS`.
        values: in words, those that are features.
        bins: of numbers, the least number of each bin and the bin in words, ascending.
    """

    name: str
    source: str
    kind: str
    values: tuple[str, ...] = ()
    bins: tuple[tuple[float, str], ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in WORDS and self.kind not in NUMBERS:
            raise ValueError(f"no kind of attribute is called {self.kind!r}")

    @property
    def features(self) -> list[str]:
        """Its features, as they are called in the tables."""
        return [f"{self.name}={value}" for value in self.values]

    def words(self, cell: str) -> list[str]:
        """What a cell says, in words: its values, features or not. A number below the first bin belongs to it."""
        if self.kind in WORDS:
            return WORDS[self.kind](cell)
        if is_missing(cell):
            return []
        number = NUMBERS[self.kind](cell)
        if number is None:
            return [cell.strip()]
        place = bisect.bisect_right([start for start, _ in self.bins], number) - 1
        return [self.bins[max(place, 0)][1]] if self.bins else []


@dataclass(frozen=True)
class Described:
    """What is known of all users, or of all items.

    Attributes:
        attributes: those that have features.
        features: of every row, the features that it has.
        left_out: column -> why it has no features.
        dropped: features beyond the most frequent :data:`MOST`.
    """

    attributes: tuple[Attribute, ...]
    features: list[list[str]]
    left_out: dict[str, str]
    dropped: int = 0

    @property
    def rows(self) -> int:
        """Rows of which something is known."""
        return sum(map(bool, self.features))


def describe(columns: Mapping[str, Sequence[str]], kinds: Mapping[str, str], rows: int) -> Described:
    """Make features of columns. They look at nothing else, at no rating least of all.

    Args:
        columns: name -> a cell for each of the rows; an empty one where nothing is known.
        kinds: name -> kind of attribute, where that is known; it is found by looking otherwise.
        rows: how many there are.
    """
    found: list[tuple[Attribute, list[list[str]], Counter[str]]] = []
    left_out: dict[str, str] = {}
    for column, cells in columns.items():
        attribute = _attribute(column, cells, kinds.get(column))
        said = _said(attribute, cells)
        counts = Counter(word for words in said for word in words)
        reason = _useless(attribute, counts, rows)
        if reason is None:
            found.append((attribute, said, Counter({word: n for word, n in counts.items() if n > 1})))
        else:
            left_out[column] = reason
    kept, dropped = _most_frequent([counts for _, _, counts in found])
    attributes = [replace(one, values=_in_order(one, words)) for (one, _, _), words in zip(found, kept, strict=True)]
    features: list[list[str]] = [[] for _ in range(rows)]
    for attribute, (_, said, _) in zip(attributes, found, strict=True):
        names = dict(zip(attribute.values, attribute.features, strict=True))
        for row, words in zip(features, said, strict=True):
            row.extend(names[word] for word in words if word in names)
    return Described(tuple(one for one in attributes if one.values), features, left_out, dropped)


def _said(attribute: Attribute, cells: Sequence[str]) -> list[list[str]]:
    """What every cell says, in words. Cells that are alike are read once."""
    known = {cell: attribute.words(cell) for cell in dict.fromkeys(cells)}
    return [known[cell] for cell in cells]


def _attribute(column: str, cells: Sequence[str], kind: str | None) -> Attribute:
    """The attribute in a column, its values still to be found."""
    filled = [cell for cell in cells if not is_missing(cell)]
    kind = kind or _guess(column, filled)
    if kind in WORDS:
        return Attribute(column, column, kind)
    numbers = np.array([number for cell in filled if (number := NUMBERS[kind](cell)) is not None])
    name = "year" if kind == "title" else column
    return Attribute(name.replace("=", " "), column, kind, bins=_bins(numbers))


def _guess(column: str, filled: list[str]) -> str:
    """The kind of a column, by its name and cells."""
    if column.lower() in ZIP_NAMES:
        return "zip"
    for kind in ("number", "date"):  # a year by itself is a number
        numbers = [NUMBERS[kind](cell) for cell in filled]
        known = len(numbers) - numbers.count(None)
        if known and known >= NEARLY_ALL * len(numbers):
            return kind if kind == "date" or len(set(numbers)) > FEW else "category"
    return "category"


def _bins(numbers: npt.NDArray[np.float64]) -> tuple[tuple[float, str], ...]:
    """About :data:`BINS` bins with as many numbers each; of fewer different numbers, each has its own."""
    values, counts = np.unique(numbers, return_counts=True)
    least = 0.0 if len(values) <= BINS else len(numbers) / BINS
    starts, held = [], math.inf
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        if held >= least:
            starts.append(value)
            held = 0
        held += count
    if len(starts) > 1 and held < least / 2:
        starts.pop()
    return tuple(zip(starts, _ranges(starts, values), strict=True))


def _ranges(starts: list[float], values: npt.NDArray[np.float64]) -> list[str]:
    """Bins in words: whole numbers from 18 to 24 are ``18-24``, others from 1.5 to below 2 are ``1.5-2``."""
    whole = bool((values == np.floor(values)).all()) and np.abs(values).max(initial=0) < 1e15
    ends = [end - 1 for end in starts[1:]] if whole else starts[1:]
    ends += values[-1:].tolist()
    to = " to " if starts and starts[0] < 0 else "-"
    for digits in (6, 17):  # as short as tells them apart
        texts = [[f"{x:.0f}" if whole else f"{x:.{digits}g}" for x in pair] for pair in zip(starts, ends, strict=True)]
        ranges = [low if low == high else f"{low}{to}{high}" for low, high in texts]
        if len(set(ranges)) == len(ranges):
            break
    return ranges


def _useless(attribute: Attribute, counts: Counter[str], rows: int) -> str | None:
    """Why what was found in a column makes no feature; None if it does."""
    if not counts:
        return "nothing in it" if attribute.kind != "title" else "no year in it"
    if attribute.kind == "category" and len(counts) > NEARLY_ALL * counts.total():
        return "nearly every row has its own"
    if max(counts.values()) == 1:
        return "no two rows share a value"
    if len(counts) == 1 and counts.total() == rows:
        return "the same in every row"
    return None


def _most_frequent(counts: list[Counter[str]]) -> tuple[list[set[str]], int]:
    """Of every attribute, the values among the :data:`MOST` most frequent of all; and how many are not."""
    ordered = sorted((-count, place, word) for place, one in enumerate(counts) for word, count in one.items())
    kept: list[set[str]] = [set() for _ in counts]
    for _, place, word in ordered[:MOST]:
        kept[place].add(word)
    return kept, max(len(ordered) - MOST, 0)


def _in_order(attribute: Attribute, words: set[str]) -> tuple[str, ...]:
    """Bins from small to large, other values by the alphabet."""
    return tuple(word for _, word in attribute.bins if word in words) or tuple(sorted(words))
