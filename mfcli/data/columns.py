"""Which column is what: by the names that people usually give them, by names that the user gives, or by number."""

import re
from dataclasses import dataclass, replace

from mfcli.data.files import short
from mfcli.data.remedies import BY_HAND, BY_OPTION, Remedies
from mfcli.data.text import INVISIBLE
from mfcli.errors import DataError, UsageError


@dataclass(frozen=True)
class Wanted:
    """The columns that a kind of file has.

    Attributes:
        names: role -> usual names, without case, blanks or punctuation; the first that is there is taken.
        needed: the first so many roles must be there.
        option: that names them otherwise, and its metavar.
        remedies: what errors in such a file advise.
    """

    names: dict[str, tuple[str, ...]]
    needed: int
    option: str
    metavar: str
    remedies: Remedies = BY_OPTION

    @property
    def roles(self) -> tuple[str, ...]:
        return tuple(self.names)

    @property
    def needed_text(self) -> str:
        *others, last = self.roles[: self.needed]
        return f"{', '.join(others)} and {last}" if others else f"{last} and more"


KIND = re.compile(r":(token|float)(_seq)?$")  # of a column, behind its name, in RecBole's files

USER = (
    "userid",
    "user",
    "uid",
    "username",
    "memberid",
    "customerid",
    "customer",
    "accountid",
    "visitorid",
    "reviewerid",
    "reviewer",
    "custid",
)
ITEM = (
    *("movieid", "itemid", "item", "movie", "iid", "bookid", "isbn", "parentasin", "asin", "productid", "product"),
    *("animeid", "artistid", "songid", "trackid", "gameid", "jokeid", "recipeid", "businessid", "tconst", "const"),
    *("filmid", "videoid", "showid", "appid", "articleid", "newsid", "placeid", "restaurantid", "hotelid"),
    *("beerid", "courseid", "profileid", "gmapid"),
)
RATING = (
    "rating",
    "ratings",
    "score",
    "stars",
    "overall",
    "bookrating",
    "userrating",
    "yourrating",
    "myrating",
    "starrating",
    "ratingvalue",
    "ratingval",
    "myscore",
)
TIME = (
    *("timestamp", "time", "ts", "unixtimestamp", "unixreviewtime", "datetime", "date", "ratedat", "ratingdate"),
    *("reviewdate", "reviewtime", "daterated", "createdat", "updatedat", "dateadded"),
)
TITLE = ("title", "name", "booktitle", "movietitle", "itemtitle", "primarytitle", "originaltitle", "itemname")

RATINGS = Wanted(
    {"user": USER, "item": ITEM, "rating": RATING, "timestamp": TIME}, 3, "--columns", "USER,ITEM,RATING[,TIMESTAMP]"
)
CLICKS = Wanted({"user": USER, "item": ITEM, "timestamp": TIME}, 2, "--columns", "USER,ITEM[,TIMESTAMP]")
SEPARATED = replace(BY_OPTION, separator=BY_HAND.separator)  # --separator is of ratings alone
USERS = Wanted(
    {"user": (*USER, "id")}, 1, "a header", "userId,age,gender", replace(SEPARATED, same_name=BY_HAND.same_name)
)
ITEMS = Wanted(
    {
        "item": (*ITEM, "id"),
        "title": TITLE,
        "genres": ("genres", "genre", "categories", "category"),
    },
    2,
    "--item-columns",
    "ITEM,TITLE[,GENRES]",
    SEPARATED,
)
NEWCOMERS = Wanted(
    {"item": (*ITEM, "id", *TITLE), "rating": RATING, "user": USER, "title": TITLE, "year": ("year",)},
    2,
    "a header",
    "item,rating",
    BY_HAND,
)
NEW_CLICKS = replace(
    NEWCOMERS, names={role: NEWCOMERS.names[role] for role in ("item", "user", "title", "year")}, needed=1
)


def plain_name(name: str) -> str:
    """A column's name as usual names are written: User-ID is userid, and so is RecBole's user_id:token."""
    return re.sub(r"[\W_]+", "", KIND.sub("", INVISIBLE.sub("", name))).lower()


def by_usual_names(header: list[str], wanted: Wanted) -> dict[str, int]:
    """Role -> number of the column, from 0, that has one of its usual names; roles without one are left out."""
    places: dict[str, int] = {}
    for place, name in enumerate(header):
        places.setdefault(plain_name(name), place)
    found = {role: next((places[n] for n in names if n in places), None) for role, names in wanted.names.items()}
    return {role: place for role, place in found.items() if place is not None}


def mark_of_comment(line: str) -> str:
    """What a line begins with that may be a comment: a character that no name or number begins with; else ''."""
    line = line.lstrip()
    if line.startswith(("--", "+-")):  # a rule of a table
        return line[:2]
    return line[:1] if line[:1].isprintable() and not line[:1].isalnum() and line[:1] not in "\"'_-+.$" else ""


def given_columns(given: str, wanted: Wanted) -> list[str]:
    """The names or numbers in an option's value. Raises UsageError unless they are as many as there may be."""
    names = [part.strip() for part in given.split(",")]
    if not wanted.needed <= len(names) <= len(wanted.roles) or len(set(names)) < len(names) or not all(names):
        raise UsageError(f"{wanted.option}: '{given}' is not {wanted.metavar}, by names or by numbers from 1")
    return names


def by_number(names: list[str], wanted: Wanted) -> dict[str, int] | None:
    """Role -> number of the column, from 0, if all the names are numbers from 1."""
    if not all(re.fullmatch(r"[1-9][0-9]{0,5}", name) for name in names):
        return None
    return {role: int(name) - 1 for role, name in zip(wanted.roles, names, strict=False)}


def find_places(header: list[str], given: str | None, wanted: Wanted, where: str) -> dict[str, int]:
    """Role -> number of its column, from 0: by the names or numbers that the user gave, else by the usual names.

    Raises:
        DataError: a column is not there, or two have its name.
        UsageError: what the user gave cannot be.
    """
    known = short(", ".join(header))
    if given is None:
        places = by_usual_names(header, wanted)
        missing = [role for role in wanted.roles[: wanted.needed] if role not in places]
        if missing:
            hint = _hint(missing, header, wanted)
            raise DataError(f"{where}: no column looks like the {missing[0]} (columns: {known}): {hint}")
    else:
        names = given_columns(given, wanted)
        numbered = by_number(names, wanted)
        if numbered is not None and not set(names) <= set(header):
            check_width(numbered, len(header), where)
            return numbered
        for name in names:
            if name not in header:
                raise DataError(f"{where}: there is no column '{name}' (columns: {known})")
        places = {role: header.index(name) for role, name in zip(wanted.roles, names, strict=False)}
    for role, place in places.items():
        if header.count(header[place]) > 1:
            raise DataError(
                f"{where}: two columns have the same name '{short(header[place])}', one would be the {role}: "
                + wanted.remedies.same_name.format(wanted.option)
            )
    return places


def _hint(missing: list[str], header: list[str], wanted: Wanted) -> str:
    """What to do where no column has a usual name of these roles."""
    if header and (start := mark_of_comment(header[0])):
        return wanted.remedies.comment.format(start)
    hint = f"name them with {wanted.option} {wanted.metavar}"
    if missing == ["user"] and wanted in (RATINGS, CLICKS):
        hint += "; the ratings of one person are for `mfcli recommend --ratings`"
    if wanted is RATINGS and {"item", "rating"} <= set(missing) and len(header) > 4:
        hint += "; a matrix, a line a user and a column an item, is read by --wide"
    if missing == ["rating"] and wanted is RATINGS:
        hint += "; a file without ratings goes to --clicks"
    return hint


def find_place(header: list[str] | None, name: str, option: str, width: int, where: str) -> int:
    """The number, from 0, of the one column that an option names, by its name or by its number from 1.

    Raises:
        DataError: it is not there.
    """
    if header is not None and name in header:
        return header.index(name)
    if not re.fullmatch(r"[1-9][0-9]{0,5}", name):
        known = f" (columns: {short(', '.join(header))})" if header else ": columns without names have numbers"
        raise DataError(f"{where}: there is no column '{name}' for {option}{known}")
    check_width({"column": int(name) - 1}, width, where)
    return int(name) - 1


def check_width(places: dict[str, int], width: int, where: str) -> None:
    """Raise DataError unless there are that many columns."""
    most = max(places.values()) + 1
    if most > width:
        raise DataError(f"{where}: there is no column {most}: it has {width}")
