"""Options of ``mfcli prepare``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from mfcli.config.common import SEEDS, Config, Feedback
from mfcli.errors import UsageError
from mfcli.option import NAME, Opt, Option

READING = (
    *("columns", "item_columns", "separator", "no_header", "encoding", "quoting", "comment", "decimal"),
    *("missing", "wide"),
)
"""Options that say how one's own files are to be read."""


@dataclass(frozen=True, kw_only=True)
class PrepareConfig(Config):
    """Options of ``mfcli prepare``."""

    command: ClassVar[str] = "prepare"
    panels: ClassVar = {
        "How the files are read": READING,
        "Clicks": ("clicks", "weights", "as_clicks", "at_least"),
        "Which ratings": ("duplicates", "min_user_ratings", "min_item_ratings"),
        "Which parts": (
            *("split", "test_fraction", "test_users_share", "test", "folds", "fold", "validation_fraction", "seed"),
        ),
    }

    name: Annotated[
        str | None,
        Opt("The downloaded data set to prepare. Default: the only one there is.", argument=True),
    ] = None
    ratings: Annotated[
        tuple[Path, ...],
        Opt(
            "Your own ratings: text, parquet, feather or JSON, in any container; a folder of parts; "
            "- for standard input. Repeat it for several files.",
            metavar="FILE",
        ),
    ] = ()
    clicks: Annotated[
        tuple[Path, ...],
        Opt(
            "Your own clicks, plays or purchases, which nobody has rated: columns user and item. Else as --ratings.",
            metavar="FILE",
        ),
    ] = ()
    weights: Annotated[
        str | None,
        Opt("The column of --clicks that says how often, how long or how much. Default: 1 a line.", metavar="COLUMN"),
    ] = None
    as_clicks: Annotated[bool, Opt("Take ratings for clicks: what was rated was clicked, however it was rated.")] = (
        False
    )
    at_least: Annotated[
        float | None, Opt("With --as-clicks, leave out ratings below this.", range="(-inf, inf)", metavar="R")
    ] = None
    items: Annotated[
        Path | None,
        Opt("Your items: columns item, title, genres; any other column makes features too.", metavar="FILE"),
    ] = None
    users: Annotated[
        Path | None, Opt("Your users: a column of their ids; any other column makes features.", metavar="FILE")
    ] = None
    item_features: Annotated[
        str | None,
        Opt(
            "The columns of the items to make features of, 'year' for that of the title; none for no features. "
            "Default: all.",
            metavar="NAME[,NAME]",
        ),
    ] = None
    user_features: Annotated[
        str | None,
        Opt("The columns of the users to make features of; none for no features. Default: all.", metavar="NAME[,NAME]"),
    ] = None
    columns: Annotated[
        str | None,
        Opt(
            "The columns of the ratings, by name or by number from 1; of clicks without RATING.",
            metavar="USER,ITEM,RATING[,TIMESTAMP]",
        ),
    ] = None
    item_columns: Annotated[
        str | None, Opt("The columns of the items, by name or by number from 1.", metavar="ITEM,TITLE[,GENRES]")
    ] = None
    separator: Annotated[
        str | None,
        Opt("What separates the columns: '\\t' is a tab, ' ' any run of blanks. Default: found in the file."),
    ] = None
    no_header: Annotated[bool, Opt("The first line is a rating. Default: found in the file.")] = False
    encoding: Annotated[
        str | None, Opt("Encoding of the text, such as cp1252. Default: by its byte order mark, else UTF-8.")
    ] = None
    quoting: Annotated[
        Literal["auto", "double", "backslash", "none"],
        Opt("How a quote is written within quotes; none: quotes are letters like others."),
    ] = "auto"
    comment: Annotated[str | None, Opt("Pass over lines that begin with this.", metavar="TEXT")] = None
    decimal: Annotated[Literal[".", ","], Opt("The decimal point of ratings and of features.")] = "."
    missing: Annotated[
        str | None, Opt("Leave out ratings that are one of these, such as 99,NA.", metavar="VALUE[,VALUE]")
    ] = None
    wide: Annotated[bool, Opt("The ratings are a matrix: a line a user, a column an item.")] = False
    duplicates: Annotated[
        Literal["error", "last", "mean", "sum"],
        Opt(
            "If a user rated an item more than once: stop, keep the last, the mean or the sum. Default of clicks: sum."
        ),
    ] = "error"
    min_user_ratings: Annotated[int, Opt("Leave out users with fewer ratings.", range="[1, inf)")] = 1
    min_item_ratings: Annotated[int, Opt("Leave out items with fewer ratings.", range="[1, inf)")] = 1
    split: Annotated[
        Literal["random", "latest", "time", "leave-last", "none"],
        Opt(
            "How the test part is chosen. random: at random. latest: the latest share of each user's ratings, rounded "
            "up. time: the latest ratings of all, many of them of users who are new. leave-last: the last rating of "
            "each user. none: nothing is held out, and nothing can be evaluated."
        ),
    ] = "random"
    test: Annotated[Path | None, Opt("Your own test ratings, instead of a split.", metavar="FILE")] = None
    test_fraction: Annotated[
        float,
        Opt("Share of the ratings in the test part, of --split random, latest and time.", range="(0, 1)"),
    ] = 0.2
    test_users_share: Annotated[
        float | None,
        Opt(
            "Test on this share of all pairs of user and item, chosen by a hash of the two ids: as data grow, a pair "
            "stays in its part, so that yesterday's model never trained on what today's is tested on.",
            range="(0, 1)",
            metavar="S",
        ),
    ] = None
    folds: Annotated[
        int | None,
        Opt("Cut K folds (scikit-learn's KFold) and test on one of them.", range="[2, inf)", metavar="K"),
    ] = None
    fold: Annotated[
        int | None,
        Opt("The fold that is the test part, counted from 1.", range="[1, inf)", metavar="I"),
    ] = None
    validation_fraction: Annotated[
        float,
        Opt(
            "Share of the training part set aside for early stopping; 0 for none, the default of --split none.",
            range="[0, 1)",
        ),
    ] = 0.1
    seed: Annotated[int, Opt("Seed of the split.", range=SEEDS, shared=True)] = 1234

    def check(self) -> None:
        self._check_source()
        self._check_split()

    def _check_source(self) -> None:
        """Either a downloaded data set or one's own files."""
        if self.own and self.name is not None:
            raise UsageError(
                f"--{'ratings' if self.ratings else 'clicks'} and the data set '{self.name}' exclude each other"
            )
        if self.name is not None and not NAME.fullmatch(self.name):
            raise UsageError(f"'{self.name}' is no name of a data set: a file of ratings goes to --ratings")
        if not self.own:
            for name in ("items", "users", "test", *READING):
                if getattr(self, name) != self.option(name).default:
                    raise UsageError(f"{self.option(name).flag} goes with --ratings FILE")
        if self.item_columns is not None and self.items is None:
            raise UsageError("--item-columns goes with --items FILE")
        self._check_clicks()
        if self.wide and self.columns is not None:
            raise UsageError("--wide and --columns exclude each other")
        if [*self.own, self.items, self.users, self.test].count(Path("-")) > 1:
            raise UsageError("standard input can be read but once: give - once")
        if any("\ud800" <= letter <= "\udfff" for letter in self.missing or ""):
            raise UsageError(f"--missing: '{self.missing}' is not UTF-8 text")
        if self.encoding is not None:
            try:
                b"a".decode(self.encoding, "replace")  # codecs.lookup finds those of other things than text too
            except (LookupError, ValueError):
                raise UsageError(f"--encoding: no encoding is called '{self.encoding}'") from None

    def _check_clicks(self) -> None:
        """Ratings, clicks, or ratings taken for clicks."""
        excluding = {"--ratings": bool(self.ratings), "--as-clicks": self.as_clicks, "--wide": self.wide}
        for flag, given in excluding.items():
            if self.clicks and given:
                raise UsageError(f"--clicks and {flag} exclude each other")
        if self.weights is not None and not self.clicks:
            raise UsageError("--weights goes with --clicks FILE")
        if self.at_least is not None and not self.as_clicks:
            raise UsageError("--at-least goes with --as-clicks")

    @property
    def own(self) -> tuple[Path, ...]:
        """One's own files of ratings or of clicks; none where a downloaded data set is prepared."""
        return self.ratings or self.clicks

    @property
    def feedback(self) -> Feedback:
        """What the data are prepared as."""
        return "clicks" if self.clicks or self.as_clicks else "ratings"

    def defaults(self) -> dict[str, Any]:
        of_clicks = {"duplicates": "sum"} if self.feedback == "clicks" else {}
        return super().defaults() | of_clicks | ({"validation_fraction": 0.0} if self.split == "none" else {})

    def _check_split(self) -> None:
        """One way to choose the test part."""
        if (self.folds is None) != (self.fold is None):
            raise UsageError("--folds and --fold belong together")
        if self.folds is not None and self.fold is not None and self.fold > self.folds:
            raise UsageError(f"--fold {self.fold}: there are {self.folds} folds")
        if len(self._ways) > 1:
            raise UsageError(f"{' and '.join(self._ways)} exclude each other")

    @property
    def _ways(self) -> list[str]:
        """The ways to choose the test part that are given, as flags; the random split if none is."""
        ways = {
            "--test": self.test is not None,
            "--folds": self.folds is not None,
            "--test-users-share": self.test_users_share is not None,
            f"--split {self.split}": self.split != "random",
        }
        return [way for way, given in ways.items() if given] or ["--split random"]

    def why_unused(self, option: Option) -> str | None:
        """Also why the way of choosing the test part has no use for it."""
        way = self._ways[0]
        by_share = way in ("--split random", "--split latest", "--split time")
        at_random = way in ("--split random", "--folds") or (
            way in ("--split leave-last", "--split none", "--test") and self.validation_fraction > 0
        )
        if not {"test_fraction": by_share, "seed": at_random}.get(option.name, True):
            return f"{option.flag} changes nothing with {way}: leave it out"
        return super().why_unused(option)
