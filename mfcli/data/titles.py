"""Reading what is known of items: titles, genres and more, in every layout of the catalogue and in anybody's own."""

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from mfcli.data.catalogue import DAT, ML100K, Layout
from mfcli.data.columns import ITEMS, Wanted, find_places, plain_name
from mfcli.data.faults import width_fault
from mfcli.data.files import UNREADABLE, Source, one_line
from mfcli.data.form import Form, Reading, find_form, find_text
from mfcli.data.frames import read_all
from mfcli.data.sheet import Sheet, rows_of_frame, sheet_of
from mfcli.data.table import INTEGER
from mfcli.data.text import Row, Text, encoding_doubts, guess_encoding
from mfcli.errors import DataError

ITEMS_FILES = ("movies.csv", "movies.dat", "u.item")
"""What the items are called in the folder or archive of a whole data set."""

ML100K_GENRES = (
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama"),
    *("Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western"),
)
"""Of u.item's flags, where no u.genre lies beside it."""

ARTICLES = (
    "The A An La Le Les L' El Los Las Lo Il I Gli Un Une Una Der Die Das Ein Eine De Het Den Det En Et O Os As Um Uma"
).split()
INVERTED = re.compile(r"^(?P<rest>[^()]+?), (?P<article>" + "|".join(map(re.escape, ARTICLES)) + r")(?=$| \()")
INVERTED_INSIDE = re.compile(r"\((?P<rest>[^()]+?), (?P<article>" + "|".join(map(re.escape, ARTICLES)) + r")\)")
YEAR_BEHIND = re.compile(r" \(\d{4}\)$")  # a title


def upright(title: str) -> str:
    """A title with its article in front: 'Matrix, The (1999)' is 'The Matrix (1999)'."""

    def turn(match: "re.Match[str]") -> str:
        article = match["article"]
        return f"{article}{'' if article.endswith(chr(39)) else ' '}{match['rest']}"

    title = INVERTED.sub(turn, title)
    return INVERTED_INSIDE.sub(lambda m: f"({turn(m)})", title)


def _genres(text: str) -> str:
    """Genres as they are kept; '' for those that say that there are none."""
    text = text.strip()
    return "" if text in ("(no genres listed)", "\\N") else text


def read_items(source: Source, layout: Layout) -> Sheet:
    """The items file of a data set of the catalogue. Raises DataError.

    What is not UTF-8, though the layout says so, is taken as Windows and old Unix wrote it.
    """
    encoding = guess_encoding(source, None) if layout.items_encoding == "utf-8" else layout.items_encoding
    separator = {"csv": ",", "dat": "::", "u.item": "|"}[layout.items_style]
    text = Text(source, encoding, separator, "double" if layout.items_style == "csv" else "none")
    rows = ((number, row) for number, row in text.rows() if any(row))
    try:
        return _by_place(text.name, rows, layout.items_style)
    except UNREADABLE as error:
        raise DataError(f"{source.name}: {one_line(error)}") from None


def read_own_items(source: Source, how: Reading | None = None, wanted: Wanted = ITEMS) -> Sheet:
    """Anybody's items: columns id, title[, genres] by name or by number, and any others. Raises DataError, UsageError.

    ``wanted`` says what errors name as the remedy.

    Two files without a header are known too: a '::' file is taken as ml-1m's movies.dat, and u.item as ml-100k's.
    """
    how = how or Reading()
    if source.kind != "text":
        table = read_all(source)
        places = find_places(table.column_names, how.columns, wanted, source.name)
        return _items(rows_of_frame(table), table.column_names, places)
    told = how.encoding
    how = replace(how, encoding=guess_encoding(source, told, wanted.remedies))
    text, lines = find_text(source, how, wanted)
    if how.columns is None and text.separator == DAT.separator:
        return read_items(source, DAT)
    first = next(line for _, line in lines if line.strip())
    if (
        how.columns is None
        and text.separator == "|"
        and (Path(source.name).name == ML100K.items or len(first.split("|")) == 5 + len(ML100K_GENRES))
    ):
        return read_items(source, ML100K)
    form = find_form(source, how, wanted)
    try:
        sheet = _items(_own_rows(form), form.header, form.places, commas=_is_imdbs(form))
    except UNREADABLE as error:
        raise DataError(f"{source.name}: {one_line(error)}") from None
    return replace(sheet, doubts=(*encoding_doubts(form.text.encoding, told), *sheet.doubts))


def _by_place(name: str, rows: Iterable[Row], style: str) -> Sheet:
    """Id first, then the title; the genres are last, or flags from the sixth column on."""
    flags = _u_genre(Path(name).with_name("u.genre")) if style == "u.item" else ()
    items = []
    for number, row in rows:
        if style == "csv" and number == 1:
            if "title" not in row[1:2]:
                raise DataError(f"{name}, line 1: its columns are {', '.join(row)[:80]}, not movieId,title,genres")
            continue
        if len(row) < 3 or (flags and len(row) != 5 + len(flags)):
            raise DataError(
                f"{name}, line {number}: {len(row)} columns, not {5 + len(flags) if flags else 'at least 3'}"
            )
        if flags:
            genres = "|".join(genre for genre, flag in zip(flags, row[5:], strict=True) if flag.strip() == "1")
        else:
            genres = _genres(row[-1])
        title = "::".join(row[1:-1]) if style == "dat" else row[1]
        items.append([row[0], title, genres])
    if not items:
        raise DataError(f"{name}: there is no item in it")
    return _items(items, None, {"item": 0, "title": 1, "genres": 2})


def _u_genre(path: Path) -> tuple[str, ...]:
    """ml-100k's genres in the order of their flags."""
    try:
        lines = path.read_text("latin-1").splitlines()
    except OSError:
        return ML100K_GENRES
    return tuple(line.split("|")[0] for line in lines if line.strip())


def _own_rows(form: Form) -> Iterable[list[str]]:
    """The rows of a text. Raises DataError."""
    item, title = form.places["item"], form.places["title"]
    numbered = all(INTEGER.fullmatch(text) for text in form.sample_of("item"))

    def is_row(row: list[str]) -> bool:
        """A line within quotes that is no line of a title."""
        return len(row) == form.width and bool(INTEGER.fullmatch(row[item].strip()) if numbered else row[item].split())

    for number, row in form.rows(is_row):
        if form.header is None and title == form.width - 1:  # a title may hold the separator, as Netflix's do
            row[title:] = [form.text.separator.join(row[title:])]
        if fault := width_fault(row, form.width, form.text.remedies):
            raise DataError(f"{form.text.name}, line {number}: {fault}")
        yield row


def _is_imdbs(form: Form) -> bool:
    """Whether it is one of IMDb's own files, which have commas between genres."""
    return form.header is not None and plain_name(form.header[form.places["item"]]) == "tconst"


def _items(
    rows: Iterable[list[str]], header: list[str] | None, places: dict[str, int], *, commas: bool = False
) -> Sheet:
    """The sheet of rows of which the columns in ``places`` are known. ``commas``: they stand between genres."""
    title, genres = places["title"], places.get("genres")
    width = len(header) if header is not None else max(places.values()) + 1
    names = header or [{place: role for role, place in places.items()}.get(place, "") for place in range(width)]

    def cells(row: list[str]) -> list[str]:
        row[title] = upright(row[title].strip())
        if genres is not None:
            row[genres] = _genres(row[genres].replace(",", "|") if commas else row[genres])
        return row

    roles = {role: names[place].strip() for role, place in places.items()}
    return sheet_of(map(cells, rows), names, places["item"], kinds={roles["title"]: "title"}, roles=roles)
