"""Finding features: what kind of attribute a column is, in what bins its numbers fall, which of its values count."""

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from mfcli.arrays import Float64s
from mfcli.data.attributes import COMMA_KIND, EITHER_KIND, NUMBERS, WORDS, Attribute, Described, is_missing
from mfcli.data.files import short
from mfcli.data.numerals import number_in
from mfcli.data.sheet import Sheet
from mfcli.errors import DataError

BINS = 15
FEW = 30  # different numbers, and no more: they are codes or steps, each a category
MOST = 2000  # features of a side: the link solves with their Gram matrix, which has as many rows and columns
NEARLY_ALL = 0.9  # of the cells must be numbers, or dates; of the values must differ to be free text
ZIP_NAMES = frozenset(("zip", "zipcode", "zip_code", "zip-code", "postcode", "postal_code", "postalcode"))


def describe(sheet: Sheet, ids: Sequence[str], wanted: Sequence[str] | None = None, *, decimal: str = ".") -> Described:
    """Make features of a sheet. They look at nothing else, at no rating least of all.

    Args:
        sheet: what is known.
        ids: of all rows.
        wanted: names of the attributes to make features of; None for all that there are.
        decimal: the decimal point of the numbers.

    Raises:
        DataError: there is no attribute of a name that is wanted.
    """
    found: list[tuple[Attribute, list[list[str]], Counter[str]]] = []
    left_out: dict[str, str] = {}
    with_commas: list[str] = []
    for name, column in _columns(sheet, wanted).items():
        cells = sheet.column(column, ids)
        filled = {cell: count for cell, count in Counter(cells).items() if not is_missing(cell)}
        kind = sheet.kinds.get(column) or _guess(column, filled, decimal)
        doubtful = kind == "category" and column not in sheet.kinds and decimal == "."
        if doubtful and _guess(column, filled, ",") in NUMBERS:
            with_commas.append(name)
        attribute = _attribute(name, column, filled, kind)
        said = _said(attribute, cells)
        counts = Counter(itertools.chain.from_iterable(said))
        reason = _useless(attribute, counts, len(ids))
        if reason is None:
            found.append((attribute, said, Counter({word: n for word, n in counts.items() if n > 1})))
        elif attribute.kind != "title" or wanted is not None:  # most titles are not of films
            left_out[name] = reason
    kept, dropped = _most_frequent([counts for _, _, counts in found])
    attributes = [replace(one, values=_in_order(one, words)) for (one, _, _), words in zip(found, kept, strict=True)]
    features: list[list[str]] = [[] for _ in ids]
    for attribute, (_, said, _) in zip(attributes, found, strict=True):
        names = dict(zip(attribute.values, attribute.features, strict=True))
        for row, words in zip(features, said, strict=True):
            row.extend(names[word] for word in words if word in names)
    kept_attributes = tuple(one for one in attributes if one.values)
    return Described(kept_attributes, features, left_out, dropped, tuple(with_commas))


def _columns(sheet: Sheet, wanted: Sequence[str] | None) -> dict[str, str]:
    """Name of every attribute that is wanted -> its column. ``year`` is the title's, unless a column is called so."""
    columns = {column.replace("=", " "): column for column in sheet.columns if sheet.kinds.get(column) != "title"}
    if "title" in sheet.roles and "year" not in map(str.lower, columns):
        columns["year"] = sheet.roles["title"]
    if wanted is None:
        return columns
    named = {name.lower(): name for name in columns}
    for name in wanted:
        if name.lower() not in named:
            known = f"the columns are {short(', '.join(columns))}" if columns else "nothing is known beside ratings"
            raise DataError(f"no features can be made of '{name}': {known}")
    return {named[name.lower()]: columns[named[name.lower()]] for name in wanted}


def _said(attribute: Attribute, cells: Sequence[str]) -> list[list[str]]:
    """What every cell says, in words. Cells that are alike are read once."""
    known = {cell: attribute.words(cell) for cell in dict.fromkeys(cells)}
    return [known[cell] for cell in cells]


def _attribute(name: str, column: str, filled: dict[str, int], kind: str) -> Attribute:
    """The attribute in a column by how often each of its cells occurs, its values still to be found."""
    if kind in WORDS:
        return Attribute(name, column, kind)
    numbers = [(number, count) for cell, count in filled.items() if (number := NUMBERS[kind](cell)) is not None]
    return Attribute(name, column, kind, bins=_bins(*np.array(numbers or np.empty((0, 2))).T))


def _guess(column: str, filled: dict[str, int], decimal: str) -> str:
    """The kind of a column, by its name and how often each of its cells occurs."""
    if column.lower() in ZIP_NAMES:
        return "zip"
    for kind in (*_kinds_of_number(filled, decimal), "date"):  # a year by itself is a number
        numbers = {cell: number for cell in filled if (number := NUMBERS[kind](cell)) is not None}
        if numbers and sum(filled[cell] for cell in numbers) >= NEARLY_ALL * sum(filled.values()):
            return kind if kind == "date" or len(set(numbers.values())) > FEW else "category"
    return "category"


def _kinds_of_number(cells: Iterable[str], decimal: str) -> tuple[str, ...]:
    """How a column may be read as numbers. One point that is not between thousands makes all points decimal ones."""
    if decimal == ".":
        return ("number",)
    pointed = (cell for cell in cells if "." in cell and NUMBERS["number"](cell) is not None)
    between_thousands = all(number_in(cell.strip(), decimal) is not None for cell in pointed)
    return (COMMA_KIND,) if between_thousands else (EITHER_KIND, COMMA_KIND)


def _bins(numbers: Float64s, rows: Float64s) -> tuple[tuple[float, str], ...]:
    """About :data:`BINS` bins with as many rows each; of fewer different numbers, each has its own.

    Args:
        numbers: (n,).
        rows: (n,), how many rows have each of them.
    """
    values, which = np.unique(numbers, return_inverse=True)
    counts = np.bincount(which, rows)
    least = 0.0 if len(values) <= BINS else float(rows.sum()) / BINS
    starts: list[float] = []
    held = math.inf
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        if held >= least:
            starts.append(value)
            held = 0
        held += count
    if len(starts) > 1 and held < least / 2:
        starts.pop()
    return tuple(zip(starts, _ranges(starts, values), strict=True))


def _ranges(starts: list[float], values: Float64s) -> list[str]:
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
        return "nothing in it" if attribute.kind != "title" else "no year in any title"
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
