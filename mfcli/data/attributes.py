"""Attributes: columns that say something of users or items, and how their cells become features.

A feature is one value of an attribute, in words: ``genres=Comedy``, ``age=25-34``. An attribute keeps how its values
came about, so that somebody new is described by the same ones.
"""

import bisect
import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from mfcli.data.numerals import number_in

MISSING = frozenset(("", "na", "n/a", "nan", "none", "null", r"\n", "(no genres listed)"))

YEAR_OF_TITLE = re.compile(r"\((\d{4})(?:[-–]\d{0,4})?\)")
WHOLE = re.compile(r"^(-?\d+)\.0+$")
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


def _with_comma(cell: str) -> float | None:
    """1.234,5 and 4,5; a point that does not stand between thousands is a decimal point."""
    number = number_in(cell.strip(), ",")
    return number if number is not None and math.isfinite(number) else _number(cell)


def _with_either(cell: str) -> float | None:
    """4,5 and 4.5, and so 1.234 is little more than 1."""
    return _number(cell.replace(",", "."))


def _year_of_date(cell: str) -> float | None:
    date = DATE.fullmatch(cell.strip())
    return float(YEAR.findall(date[0])[0]) if date else None


def _year_of_title(cell: str) -> float | None:
    found = YEAR_OF_TITLE.findall(cell)
    return float(found[-1]) if found else _year_of_date(cell)  # to somebody new the year alone may be told


def _categories(cell: str) -> list[str]:
    """The values between ``|``; 1.0 is 1, as where a missing cell made floats of a column of whole numbers."""
    words = (WHOLE.sub(r"\1", word.strip()) for word in cell.split("|"))
    return [word for word in dict.fromkeys(words) if not is_missing(word)]


def _zip(cell: str) -> list[str]:
    """The first character of a postal code, a part of a country, and the first three, a town and about."""
    code = cell.strip()
    return [] if is_missing(code) else list(dict.fromkeys((code[:1], code[:3])))


COMMA_KIND, EITHER_KIND = "decimal comma", "decimal comma or point"

WORDS: dict[str, Callable[[str], list[str]]] = {"category": _categories, "zip": _zip}
NUMBERS: dict[str, Callable[[str], float | None]] = {
    "number": _number,
    COMMA_KIND: _with_comma,
    EITHER_KIND: _with_either,
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
        place = bisect.bisect_right(self.bins, number, key=lambda one: one[0]) - 1
        return [self.bins[max(place, 0)][1]] if self.bins else []


@dataclass(frozen=True)
class Described:
    """What is known of all users, or of all items.

    Attributes:
        attributes: those that have features.
        features: of every row, the features that it has.
        left_out: column -> why it has no features.
        dropped: how many features were left out because there were too many.
        with_commas: columns whose cells were taken for words, and are numbers where the decimal point is a comma.
    """

    attributes: tuple[Attribute, ...]
    features: list[list[str]]
    left_out: dict[str, str]
    dropped: int = 0
    with_commas: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """Rows of which something is known."""
        return sum(map(bool, self.features))
