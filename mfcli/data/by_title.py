"""Looking up items by what people call them."""

import functools
import re
import unicodedata
from collections.abc import Sequence
from typing import Any

from mfcli.data.lookup import MOST
from mfcli.data.titles import ARTICLES, YEAR_BEHIND, upright

ARTICLE = re.compile("^(" + "|".join(one if one.endswith("'") else f"{one} " for one in ARTICLES) + ")", re.IGNORECASE)


class Titles:
    """The items by what people call them.

    Case, accents and an article in front do not count, and the year may be left out.
    """

    def __init__(self, items: Any) -> None:
        """``items`` is the table of :attr:`mfcli.data.prepared.Prepared.items`."""
        self.items = items
        self.titles: list[str] = items["title"].to_pylist()

    def find(self, text: str) -> list[int]:
        """Rows of the items that a text may mean: one if it is clear, none if there is no such item.

        It may be a title, else a title but for the article or the year, else a part of a title with a letter in it: a
        number is an id that is not known.
        """
        wanted = _folded(upright(text.strip()))
        if not wanted:
            return []
        forms = (wanted, _without_article(wanted))
        for spelling in self._spellings:
            for form in forms:
                if form in spelling:
                    return spelling[form]
        if not any(map(str.isalpha, wanted)):
            return []
        parts = ([row for row, title in enumerate(self._folded) if form in title] for form in forms)
        return next(filter(None, parts), [])

    def named(self, rows: Sequence[int]) -> str:
        """Items as a message names them: id, title and how often they were rated; the most rated first."""
        counts, ids = self.items["ratings"].to_pylist(), self.items["id"].to_pylist()
        most = sorted(rows, key=lambda row: -counts[row])
        named = [f"{ids[row]} {self.titles[row]} ({counts[row]:,} ratings)" for row in most[:MOST]]
        rest = f" and {len(rows) - MOST:,} more" if len(rows) > MOST else ""
        return "; ".join(named) + rest

    @functools.cached_property
    def _folded(self) -> list[str]:
        return [_folded(title) for title in self.titles]

    @functools.cached_property
    def _spellings(self) -> list[dict[str, list[int]]]:
        """Rows by each spelling of their titles, the closest first."""
        spellings: list[dict[str, list[int]]] = [{}, {}, {}, {}]
        for row, title in enumerate(self._folded):
            short = YEAR_BEHIND.sub("", title)
            forms = (title, short, _without_article(title), _without_article(short))
            for spelling, form in zip(spellings, forms, strict=True):
                spelling.setdefault(form, []).append(row)
        return spellings


def _folded(text: str) -> str:
    """Without case and accents."""
    if not text.isascii():
        text = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return text.casefold()


def _without_article(title: str) -> str:
    """``the matrix`` is ``matrix``; a title that is nothing else stays."""
    return ARTICLE.sub("", title, count=1) or title
