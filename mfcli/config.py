"""Every option once: its default, unit, range and help, and what it excludes.

A stage takes one frozen dataclass from here; the command line makes its options of the same fields,
so that a flag, an ``MFCLI_*`` variable, a key of ``--config`` and an argument from Python are one thing.
"""

import codecs
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from mfcli.errors import UsageError
from mfcli.option import NAME, Opt, Options

EVERY_COMMAND = "Options of every command"
SEEDS = "[0, 4294967295]"
YEARS = re.compile(r"\d{1,4}|\d{1,4}\.\.(\d{1,4})?|\.\.\d{1,4}")
SIMILAR_LEAST = 10  # training ratings of an item that is like another by more than chance
Part = Literal["train", "val", "test"]
Feedback = Literal["ratings", "clicks"]
"""What users gave: ratings, or clicks, plays or purchases, which tell who met what."""
RankBy = Literal["likely", "rating", "lower-bound", "exposure"]
RANK_BY = Opt(
    "What makes an item good. likely: how likely the user is to meet it and how well they would like it, together. "
    "rating: the predicted rating alone. lower-bound: that less two standard deviations of the prediction "
    "(solver gibbs). exposure: how likely the user is to meet it.",
    shared=True,
)


@dataclass(frozen=True, kw_only=True)
class Config(Options):
    """What every stage has: where the artifacts are and how long to wait for their lock."""

    panels: ClassVar = {EVERY_COMMAND: ("dir", "lock_timeout")}

    dir: Annotated[
        Path,
        Opt("The artifact directory, which all commands share.", short="-d", place=True, shared=True),
    ] = Path("artifacts")
    lock_timeout: Annotated[
        float,
        Opt(
            "Seconds to wait while another mfcli writes to the same place.",
            range="[0, inf)",
            recorded=False,
            shared=True,
        ),
    ] = 10.0


@dataclass(frozen=True, kw_only=True)
class DownloadConfig(Config):
    """Options of ``mfcli download``."""

    command: ClassVar[str] = "download"
    decider: ClassVar[str] = "name"
    panels: ClassVar = {
        "Where from": ("source", "mirror", "force", "retries", "timeout"),
        "For synthetic": ("users", "items", "ratings", "rank", "noise", "seed"),
    }

    name: Annotated[
        str,
        Opt("A data set of the catalogue (--list), or 'synthetic'.", argument=True, is_name=True),
    ] = "ml-latest-small"
    list: Annotated[bool, Opt("Show the catalogue and do nothing else.", recorded=False)] = False
    source: Annotated[
        Path | None,
        Opt(
            "Take the zip or folder at PATH instead of the network.",
            flag="--from",
            metavar="PATH",
            recorded=False,
        ),
    ] = None
    mirror: Annotated[str | None, Opt("Another base address to download from.", metavar="URL", recorded=False)] = None
    force: Annotated[bool, Opt("Fetch again what is already there.", recorded=False)] = False
    retries: Annotated[
        int,
        Opt("How often to try again after a failed download.", range="[0, 100]", recorded=False),
    ] = 3
    timeout: Annotated[
        float,
        Opt("Seconds to wait for an answer before a try counts as failed.", range="(0, 86400]", recorded=False),
    ] = 30.0
    users: Annotated[int, Opt("Number of users.", range="[2, 1e8]", only=("synthetic",))] = 1000
    items: Annotated[int, Opt("Number of items.", range="[2, 1e8]", only=("synthetic",))] = 1700
    ratings: Annotated[int, Opt("Number of ratings.", range="[10, 1e9]", only=("synthetic",))] = 100_000
    rank: Annotated[int, Opt("Number of planted factors.", range="[0, 1000]", only=("synthetic",))] = 8
    noise: Annotated[
        float,
        Opt("Standard deviation of the noise, in rating points.", range="[0, inf)", only=("synthetic",)),
    ] = 0.75
    seed: Annotated[int, Opt("Seed of synthetic data.", range=SEEDS, shared=True)] = 1234

    def check(self) -> None:
        if self.name == "synthetic" and (self.source is not None or self.mirror is not None):
            raise UsageError("--from and --mirror have no meaning for synthetic data")
        if self.source is not None and self.mirror is not None:
            raise UsageError("--from and --mirror exclude each other")
        if self.mirror is not None and not re.fullmatch(r"https?://[^/?#\s]+[^?#\s]*", self.mirror, re.IGNORECASE):
            raise UsageError(f"--mirror: '{self.mirror}' is no address (http://HOST/PATH or https://HOST/PATH)")


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
        "Which parts": ("test", "test_fraction", "folds", "fold", "validation_fraction", "seed"),
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
    decimal: Annotated[Literal[".", ","], Opt("The decimal point of the ratings.")] = "."
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
        Literal["random", "time", "leave-last"],
        Opt("How the test part is chosen: at random, the latest ratings of all, or the last rating of each user."),
    ] = "random"
    test: Annotated[Path | None, Opt("Your own test ratings, instead of a split.", metavar="FILE")] = None
    test_fraction: Annotated[float, Opt("Share of the ratings in the test part.", range="(0, 1)")] = 0.2
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
        Opt("Share of the training part set aside for early stopping; 0 for none.", range="[0, 1)"),
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
        if self.encoding is not None:
            try:
                codecs.lookup(self.encoding)
            except LookupError:
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
        return super().defaults() | ({"duplicates": "sum"} if self.feedback == "clicks" else {})

    def _check_split(self) -> None:
        """One way to choose the test part."""
        if (self.folds is None) != (self.fold is None):
            raise UsageError("--folds and --fold belong together")
        if self.folds is not None and self.fold is not None and self.fold > self.folds:
            raise UsageError(f"--fold {self.fold}: there are {self.folds} folds")
        ways = {
            "--test": self.test is not None,
            "--folds": self.folds is not None,
            f"--split {self.split}": self.split != "random",
        }
        chosen = [way for way, given in ways.items() if given]
        if len(chosen) > 1:
            raise UsageError(f"{' and '.join(chosen)} exclude each other")


SMALLEST_BATCH = 2048
BATCHES_AN_EPOCH = 1000
"""What ``batch`` is where it is not given."""

CLICKS: dict[str, Any] = {"biases": False, "l2": 0.01, "factors": 64, "epochs": 30}
"""The defaults that solver ``ials`` has in the place of TrainConfig's."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Config):
    """Options of ``mfcli train``. The defaults serve MovieLens of every size without tuning."""

    command: ClassVar[str] = "train"
    decider: ClassVar[str] = "solver"
    panels: ClassVar = {
        "How it fits": (
            *("biases", "epochs", "patience", "tolerance", "burn_in", "samples", "batch", "lr", "schedule", "loss"),
            *("l2", "bias_l2", "unclicked", "init_std"),
        ),
        "Machine and seed": ("device", "threads", "seed"),
    }

    run: Annotated[
        str,
        Opt("Name of the run, to keep several side by side.", is_name=True, place=True, shared=True),
    ] = "default"
    preset: Annotated[
        Literal["article"] | None,
        Opt("Other defaults: 'article' is the model and the loop of the article, exactly.", only=("adam",)),
    ] = None
    solver: Annotated[
        Literal["adam", "als", "gibbs", "ials"],
        Opt(
            "adam: mini-batches, as in the article. als: alternating least squares, the fastest to a good fit. "
            "gibbs: Bayesian, the most accurate; it has nothing to tune, and tells how sure it is. "
            "ials: for clicks, plays and purchases."
        ),
    ] = "adam"
    factors: Annotated[int, Opt("Length of a user's and an item's factor vector.", short="-k", range="[1, 4096]")] = 32
    biases: Annotated[
        bool,
        Opt("Model the mean and the biases of users and items beside the factors.", only=("adam", "als", "gibbs")),
    ] = True
    epochs: Annotated[
        int,
        Opt(
            "Passes over the training part at the most; als and ials stop where more would change nothing.",
            short="-e",
            range="[1, 1e6]",
            only=("adam", "als", "ials"),
        ),
    ] = 15
    side: Annotated[
        tuple[Literal["auto", "none", "exposure", "items", "users", "time"], ...],
        Opt(
            "Side information, separated by commas: who rated what (exposure), features of items and of users, "
            "days (time, gibbs alone). auto: all there is; als and ials take none."
        ),
    ] = ("auto",)
    burn_in: Annotated[int, Opt("Sweeps before the first sample that counts.", range="[0, 1e6]", only=("gibbs",))] = 10
    samples: Annotated[int, Opt("Sweeps whose samples are averaged.", range="[1, 1e6]", only=("gibbs",))] = 90
    batch: Annotated[
        int,
        Opt(
            f"Ratings in a mini-batch; 0: {SMALLEST_BATCH}, or 1/{BATCHES_AN_EPOCH} of the training part if that is "
            "more.",
            short="-b",
            range="[0, 16777216]",
            only=("adam",),
        ),
    ] = 0
    lr: Annotated[
        float,
        Opt("Learning rate, at the schedule's peak.", short="-l", range="(0, inf)", only=("adam",)),
    ] = 0.02
    schedule: Annotated[
        Literal["one-cycle", "constant"],
        Opt("Learning rate over the run: rise and anneal, or constant.", only=("adam",)),
    ] = "one-cycle"
    loss: Annotated[Literal["mse", "rmse"], Opt("What a batch minimizes, beside L2.", only=("adam",))] = "mse"
    l2: Annotated[
        float,
        Opt(
            "L2 of the factors, λ; a row of n ratings pays λ√n‖p‖². "
            f"ials, default {CLICKS['l2']}: a row whose pairs weigh w in all pays λw‖p‖².",
            range="[0, inf)",
            only=("adam", "als", "ials"),
        ),
    ] = 1.0
    unclicked: Annotated[
        float,
        Opt(
            "Weight, α₀, of each pair of a user and an item; a click weighs 1 more.",
            range="(0, inf)",
            only=("ials",),
        ),
    ] = 0.3
    bias_l2: Annotated[float, Opt("L2 of the biases, scaled likewise.", range="[0, inf)", only=("adam", "als"))] = 0.3
    init_std: Annotated[
        float,
        Opt("Standard deviation of the initial factors.", range="[0, inf)", only=("adam",)),
    ] = 0.05
    tolerance: Annotated[
        float,
        Opt(
            "Stop when a round lowers the objective by less than this share of it.",
            range="[0, 1)",
            only=("als", "ials"),
        ),
    ] = 1e-4
    patience: Annotated[
        int,
        Opt(
            "Epochs without a better validation RMSE (ials: NDCG@10) before stopping early; 0: never stop early.",
            range="[0, inf)",
            only=("adam", "als", "ials"),
        ),
    ] = 5
    device: Annotated[str, Opt("Where to compute: auto, cpu, cuda or cuda:N.", shared=True)] = "auto"
    threads: Annotated[int, Opt("CPU threads; 0: as many cores as pay off.", range="[0, 1024]", shared=True)] = 0
    seed: Annotated[
        int,
        Opt("Seed of the initial factors, of the shuffling and of samples.", range=SEEDS, shared=True),
    ] = 1234
    resume: Annotated[
        bool,
        Opt(
            "Go on from the run's checkpoint, if there is one. It is written after every epoch, at most once a second.",
            recorded=False,
        ),
    ] = False

    def defaults(self) -> dict[str, Any]:
        of_solver = CLICKS if self.solver == "ials" else {}
        return super().defaults() | of_solver | PRESETS.get(self.preset or "", {})

    def _check_use(self) -> None:
        if not self.resume:  # else the solver is that of the checkpoint
            super()._check_use()

    def check(self) -> None:
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", self.device):
            raise UsageError(f"--device: '{self.device}' is not one of auto, cpu, cuda, cuda:N")
        self._check_side()

    def _check_side(self) -> None:
        """Either auto or none alone, or kinds that the solver can use."""
        if not self.side:
            raise UsageError("--side: say which, or none")
        for whole in ("auto", "none"):
            if whole in self.side and len(self.side) > 1:
                raise UsageError(f"--side {whole} stands alone")
        for kind in self.side:
            takers = [solver for solver, kinds in SIDE_KINDS.items() if kind in kinds]
            if takers and self.solver not in takers:
                raise UsageError(f"--side {kind} is for --solver {' or '.join(takers)}, not for {self.solver}")

    @property
    def side_kinds(self) -> tuple[str, ...]:
        """The kinds of side information to be used where there are any."""
        if self.side == ("auto",):
            return SIDE_KINDS.get(self.solver, ())
        return () if self.side == ("none",) else self.side

    def batch_for(self, ratings: int) -> int:
        """Ratings in a mini-batch of a training part of that size."""
        return self.batch or max(SMALLEST_BATCH, ratings // BATCHES_AN_EPOCH)


SIDE_KINDS: dict[str, tuple[str, ...]] = {
    "adam": ("exposure", "items", "users"),
    "gibbs": ("exposure", "items", "users", "time"),
}
"""What a solver can use of side information; one that is not here uses none."""

PRESETS: dict[str, dict[str, Any]] = {
    "article": {
        "side": ("none",),
        "biases": False,
        "factors": 100,
        "epochs": 30,
        "batch": 32,
        "lr": 1e-3,
        "schedule": "constant",
        "loss": "rmse",
        "l2": 0.0,
        "bias_l2": 0.0,
        "init_std": 1.0,
        "patience": 0,
    },
}
"""The defaults that ``preset`` puts in the place of TrainConfig's."""


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(Config):
    """Options of ``mfcli evaluate``."""

    command: ClassVar[str] = "evaluate"

    run: Annotated[str, Opt("The run to evaluate.", is_name=True, shared=True)] = "default"
    part: Annotated[Part, Opt("Which part of the ratings to predict.", formerly="split")] = "test"
    max_rmse: Annotated[
        float | None,
        Opt("Exit with 7 if the RMSE is above this.", range="[0, inf)", recorded=False),
    ] = None
    top: Annotated[
        tuple[int, ...],
        Opt(
            "Also judge every user's top N, beside the most popular items and chance; several N separated by commas; "
            "0: do not. Default of clicks: 10.",
            range="[0, inf)",
            metavar="N[,N...]",
        ),
    ] = ()
    rank_by: Annotated[RankBy, RANK_BY] = "likely"
    relevant: Annotated[
        float | None,
        Opt(
            "Rating from which a test item counts as relevant to --top. Default: above the training mean.",
            range="(-inf, inf)",
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class PlotConfig(Config):
    """Options of ``mfcli plot``."""

    command: ClassVar[str] = "plot"

    run: Annotated[str, Opt("The run to plot.", is_name=True, shared=True)] = "default"
    compare: Annotated[
        tuple[str, ...],
        Opt("Overlay the learning curves of these runs (repeat, or separate by commas).", metavar="RUN", is_name=True),
    ] = ()
    part: Annotated[Part, Opt("Which part of the ratings the predictions are plotted on.", formerly="split")] = "test"
    format: Annotated[Literal["png", "svg", "pdf"], Opt("Format of the figures.", short="-f")] = "png"
    output: Annotated[
        Path | None,
        Opt("Folder for the figures. Default: plots/ in the run.", short="-o", metavar="DIR", place=True),
    ] = None
    dpi: Annotated[int, Opt("Dots per inch of a png.", range="[30, 1200]")] = 150


@dataclass(frozen=True, kw_only=True)
class RecommendConfig(Config):
    """Options of ``mfcli recommend``."""

    command: ClassVar[str] = "recommend"
    panels: ClassVar = {
        "Other questions": ("similar_to", "pairs", "list"),
        "Which items": ("genre", "exclude_genre", "year", "items_from", "exclude", "min_ratings", "include_seen"),
        "Where to": ("format", "output", "save"),
    }

    run: Annotated[str, Opt("The run whose model recommends.", is_name=True, shared=True)] = "default"
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
    list: Annotated[
        Literal["items", "users"] | None,
        Opt("Show the items that pass the filters, or the users, and how often each is in the ratings."),
    ] = None
    rank_by: Annotated[RankBy, RANK_BY] = "likely"
    n: Annotated[int, Opt("Items of each list.", flag="--top", short="-n", range="[1, inf)")] = 10
    include_seen: Annotated[bool, Opt("Recommend also what the user has rated.")] = False
    genre: Annotated[tuple[str, ...], Opt("Only items of this genre, or of one of these (repeatable).")] = ()
    exclude_genre: Annotated[tuple[str, ...], Opt("No items of this genre (repeatable).")] = ()
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
    format: Annotated[
        Literal["table", "csv", "jsonl", "json", "parquet"] | None,
        Opt("Format of the recommendations. Default: by --output's ending, else table.", short="-f"),
    ] = None
    output: Annotated[
        Path | None,
        Opt("Write here instead of standard output.", short="-o", metavar="FILE", place=True),
    ] = None
    save: Annotated[
        bool,
        Opt("Write to recommendations.<format> in the run instead of standard output.", recorded=False),
    ] = False

    def check(self) -> None:
        users = {
            "--user": self.user,
            "--users-from": self.users_from,
            "--all-users": self.all_users,
            "--ratings": self.ratings,
            "--user-attributes": self.user_attributes,
        }
        modes = {"--similar-to": self.similar_to, "--pairs": self.pairs, "--list": self.list}
        given = [flag for flag, value in {**users, **modes}.items() if value]
        if not given:
            raise UsageError(
                "whom to recommend to? --user ID, --users-from FILE, --all-users or --ratings FILE; "
                "or --similar-to ITEM, --pairs FILE, --list items"
            )
        if self.all_users and (self.user or self.users_from):
            raise UsageError("--all-users excludes --user and --users-from")
        if len(given) > 1 and given[-1] in modes:
            raise UsageError(f"{given[-1]} and {given[0]} exclude each other")
        if self.why and given[0] in modes:
            raise UsageError(f"--why tells of a user's own ratings, and {given[0]} has no user")
        if self.save and given[0] in modes:
            raise UsageError(f"--save keeps lists for users, and {given[0]} makes none: give --output FILE")
        if self.pairs and self.filters:
            raise UsageError(f"{self.filters[0]} is for lists of items, and --pairs says itself which items")
        if self.with_std and (self.similar_to or self.list):
            raise UsageError(f"--with-std is for predictions, and {given[0]} makes none")
        if [self.users_from, str(self.ratings), self.pairs, self.items_from, self.exclude].count("-") > 1:
            raise UsageError("only one option can read standard input")
        if self.save and self.output is not None:
            raise UsageError("--save and --output exclude each other")
        if self.year is not None and not YEARS.fullmatch(self.year):
            raise UsageError(f"--year: '{self.year}' is not FROM..TO, FROM.., ..TO or one year")
        for told in self.attributes_told:
            if not re.fullmatch(r"[^=]+=.*", told):
                raise UsageError(f"--user-attributes: '{told}' is not NAME=VALUE")

    def defaults(self) -> dict[str, Any]:
        return super().defaults() | ({"min_ratings": SIMILAR_LEAST} if self.similar_to else {})

    @property
    def attributes_told(self) -> tuple[str, ...]:
        """What --user-attributes says, each as NAME=VALUE."""
        return tuple(part.strip() for told in self.user_attributes for part in told.split(","))

    @property
    def filters(self) -> tuple[str, ...]:
        """Flags of the options that say which items may be listed, those that are given."""
        names = ("genre", "exclude_genre", "year", "items_from", "exclude", "min_ratings")
        return tuple(self.option(name).flag for name in names if getattr(self, name))

    @property
    def years(self) -> range | None:
        """The years that --year asks for."""
        if self.year is None:
            return None
        first, dots, last = self.year.partition("..")
        return range(int(first or -9999), int(last or 9999 if dots else first) + 1)
