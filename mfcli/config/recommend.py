"""Options of ``mfcli recommend``."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from mfcli.config.common import RANK_BY, Config, RankBy
from mfcli.errors import UsageError
from mfcli.option import Opt, Option

SIMILAR_LEAST = 10  # training ratings of an item that is like another by more than chance
FILTERS = ("genre", "exclude_genre", "year", "items_from", "exclude", "min_ratings")
"""Options that say which items may be listed."""

YEARS = re.compile(r"\d{1,4}|\d{1,4}\.\.(\d{1,4})?|\.\.\d{1,4}")


@dataclass(frozen=True, kw_only=True)
class RecommendConfig(Config):
    """Options of ``mfcli recommend``."""

    command: ClassVar[str] = "recommend"
    for_several: ClassVar[bool] = True
    panels: ClassVar = {
        "Other questions": ("similar_to", "pairs", "columns", "list"),
        "Which items": (
            "items_new",
            "genre",
            "exclude_genre",
            "year",
            "items_from",
            "exclude",
            "min_ratings",
            "include_seen",
        ),
        "Where to": ("format", "output", "save"),
    }

    run: Annotated[
        str,
        Opt("The run whose model recommends.", is_name=True, shared=True, metavar="RUN"),
    ] = "default"
    user: Annotated[tuple[str, ...], Opt("A user's id, as in the ratings (repeatable).", short="-u", metavar="ID")] = ()
    users_from: Annotated[
        str | None,
        Opt("A file with one user id a line, or a column of them; - for standard input.", metavar="FILE"),
    ] = None
    all_users: Annotated[bool, Opt("Recommend to every user.")] = False
    ratings: Annotated[
        Path | None,
        Opt(
            "Recommend to somebody new, shown as user 'new', whose ratings FILE holds: columns item (an id or a title) "
            "and rating; with a column user to several people. Of clicks the items are enough. - for standard input.",
            metavar="FILE",
        ),
    ] = None
    user_attributes: Annotated[
        tuple[str, ...],
        Opt(
            "What is known of somebody new, who may have no ratings yet: age=25,gender=F, as in the users' file.",
            metavar="NAME=VALUE,...",
        ),
    ] = ()
    similar_to: Annotated[
        tuple[str, ...],
        Opt("List the items most like this one (repeatable): an id, a title or a part of a title.", metavar="ITEM"),
    ] = ()
    pairs: Annotated[
        str | None,
        Opt("Predict the ratings of the pairs in FILE: columns user, item; - for standard input.", metavar="FILE"),
    ] = None
    columns: Annotated[
        str | None,
        Opt("The columns of --pairs, by name or by number from 1.", metavar="USER,ITEM[,TIMESTAMP]"),
    ] = None
    list: Annotated[
        Literal["items", "users"] | None,
        Opt("Show the items that pass the filters, or the users, and how often each is in the ratings."),
    ] = None
    rank_by: Annotated[RankBy, RANK_BY] = "likely"
    n: Annotated[int, Opt("Items of each list.", flag="--top", short="-n", range="[1, inf)")] = 10
    include_seen: Annotated[bool, Opt("Recommend also what the user has rated.")] = False
    items_new: Annotated[
        Path | None,
        Opt(
            "Items that nobody has rated yet join, predicted by their features. FILE is as for prepare --items; - for "
            "standard input.",
            metavar="FILE",
        ),
    ] = None
    genre: Annotated[
        tuple[str, ...],
        Opt("Only items of this genre, or of one of these (repeatable).", metavar="GENRE"),
    ] = ()
    exclude_genre: Annotated[tuple[str, ...], Opt("No items of this genre (repeatable).", metavar="GENRE")] = ()
    year: Annotated[
        str | None,
        Opt("Only items of these years: 1990..1999, 1990.., ..1999 or 1995.", metavar="FROM..TO"),
    ] = None
    items_from: Annotated[
        str | None,
        Opt("Only items whose ids FILE holds, one a line or a column of them; - for standard input.", metavar="FILE"),
    ] = None
    exclude: Annotated[str | None, Opt("No items whose ids FILE holds.", metavar="FILE")] = None
    min_ratings: Annotated[
        int,
        Opt(f"Only items with so many training ratings. With --similar-to {SIMILAR_LEAST}.", range="[0, inf)"),
    ] = 0
    why: Annotated[bool, Opt("Add the user's own ratings that speak most for each item.")] = False
    strict: Annotated[
        bool,
        Opt("Stop at a user, an item or a rating of a file that cannot be used, instead of leaving it out."),
    ] = False
    with_std: Annotated[
        bool,
        Opt("Add the standard deviation of a rating about its prediction (runs of --solver gibbs)."),
    ] = False
    with_probabilities: Annotated[
        bool,
        Opt("Add how likely each rating is, that of 4 as column p_4 (runs of --solver gibbs)."),
    ] = False
    format: Annotated[
        Literal["table", "csv", "jsonl", "json", "parquet"] | None,
        Opt("Format of the recommendations. Default: by --output's ending, else table.", short="-f"),
    ] = None
    output: Annotated[
        Path | None,
        Opt("Write here instead of standard output (-).", short="-o", metavar="FILE", place=True),
    ] = None
    save: Annotated[
        bool,
        Opt("Write to recommendations.<format> in the run instead of standard output.", recorded=False),
    ] = False

    def check(self) -> None:
        self._check_question()
        self._check_files()
        if self.year is not None and not (YEARS.fullmatch(self.year) and self.years):
            raise UsageError(f"--year: '{self.year}' is not FROM..TO, FROM.., ..TO or one year")
        names = [name.lower() for name, _ in self._attributes]
        for name in names:
            if names.count(name) > 1:
                raise UsageError(f"--user-attributes: {name} is told twice")

    def _check_question(self) -> None:
        """One question is asked: lists for users, or another."""
        users = {
            "--user": self.user,
            "--users-from": self.users_from,
            "--all-users": self.all_users,
            "--ratings": self.ratings,
            "--user-attributes": self.user_attributes,
        }
        others = {"--similar-to": self.similar_to, "--pairs": self.pairs, "--list": self.list}
        given = [flag for flag, value in {**users, **others}.items() if value]
        if not given:
            raise UsageError(
                "whom to recommend to? --user ID, --users-from FILE, --all-users or --ratings FILE; "
                "or --similar-to ITEM, --pairs FILE, --list items"
            )
        if self.all_users and (self.user or self.users_from):
            raise UsageError("--all-users excludes --user and --users-from")
        if len(given) > 1 and given[-1] in others:
            raise UsageError(f"{given[-1]} and {given[0]} exclude each other")
        if given[0] in others:
            self._check_other(given[0])
        if self.columns is not None and not self.pairs:
            raise UsageError("--columns goes with --pairs FILE")

    def _check_other(self, question: str) -> None:
        """What is asked beside a question that is none for lists for users has a meaning there."""
        if self.why:
            raise UsageError(f"--why tells of a user's own ratings, and {question} has no user")
        if self.save:
            raise UsageError(f"--save keeps lists for users, and {question} makes none: give --output FILE")
        if self.pairs and self.filters:
            raise UsageError(f"{self.filters[0]} is for lists of items, and --pairs says itself which items")
        if self.spread and not self.pairs:
            raise UsageError(f"{self.spread[0]} is for predictions, and {question} makes none")
        if self.items_new and (self.similar_to or self.list == "users"):
            alike = "items are alike by who rated both" if self.similar_to else "it shows no items"
            raise UsageError(f"--items-new excludes {question}: {alike}")

    def _check_files(self) -> None:
        """Standard input is read once, and the answer goes to one place."""
        files = self.users_from, self.ratings, self.items_new, self.pairs, self.items_from, self.exclude
        if list(map(str, files)).count("-") > 1:
            raise UsageError("only one option can read standard input")
        if self.save and self.output is not None:
            raise UsageError("--save and --output exclude each other")

    def defaults(self) -> dict[str, Any]:
        return super().defaults() | ({"min_ratings": SIMILAR_LEAST} if self.similar_to else {})

    def why_unused(self, option: Option) -> str | None:
        """Also why what is asked for has no use for it."""
        of_lists = ("rank_by", "include_seen")
        unused = {
            "--pairs": (self.pairs is not None, (*of_lists, "n")),
            "--similar-to": (bool(self.similar_to), of_lists),
            "--list items": (self.list == "items", (*of_lists, "n")),
            "--list users": (self.list == "users", (*of_lists, "n", *FILTERS)),
        }
        for mode, (asked, names) in unused.items():
            if asked and option.name in names:
                return f"{option.flag} changes nothing with {mode}: leave it out"
        return super().why_unused(option)

    @property
    def to_file(self) -> Path | None:
        """The file that --output names; None for standard output."""
        return None if self.output == Path("-") else self.output

    @property
    def _attributes(self) -> tuple[tuple[str, str], ...]:
        """The names and values of --user-attributes. Raises UsageError."""
        found = []
        for told in (part.strip() for one in self.user_attributes for part in one.split(",")):
            name, _, value = map(str.strip, told.partition("="))
            if not (name and value):
                raise UsageError(f"--user-attributes: '{told}' is not NAME=VALUE")
            found.append((name, value))
        return tuple(found)

    @property
    def attributes_told(self) -> dict[str, str]:
        """What --user-attributes says: name -> value."""
        return dict(self._attributes)

    @property
    def spread(self) -> tuple[str, ...]:
        """Flags of the options that ask how far ratings may be from predictions, those that are given."""
        return tuple(self.option(name).flag for name in ("with_std", "with_probabilities") if getattr(self, name))

    @property
    def filters(self) -> tuple[str, ...]:
        """Flags of the options that say which items may be listed, those that are given."""
        return tuple(self.option(name).flag for name in FILTERS if getattr(self, name))

    @property
    def years(self) -> range | None:
        """The years that --year asks for."""
        if self.year is None:
            return None
        first, dots, last = self.year.partition("..")
        return range(int(first or -9999), int(last or 9999 if dots else first) + 1)
