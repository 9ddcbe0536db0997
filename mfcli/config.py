"""Every option once: its default, unit, range and help.

A stage takes one frozen dataclass from here; the command line builds its options from the same fields,
so that a flag, an ``MFCLI_*`` variable, a key of ``--config`` and an argument from Python are one thing.
"""

import dataclasses
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from mfcli.errors import UsageError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class OptionInfo:
    """What the command line needs to know of a field beside its type and default."""

    help: str
    flags: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None  # exclusive lower bound
    below: float | None = None  # exclusive upper bound
    choices: tuple[str, ...] = ()
    metavar: str | None = None
    argument: bool = False  # positional
    is_name: bool = False  # becomes a folder's name
    recorded: bool = True  # part of what made a result, kept in its stage.json
    shared: bool = False  # one MFCLI_<OPTION> variable for every command
    solvers: tuple[str, ...] = ()  # the only ones that it means something to


def option(default: Any, help: str, *flags: str, **info: Any) -> Any:
    """A dataclass field that is an option too."""
    return field(default=default, metadata={"option": OptionInfo(help, flags, **info)})


def info(f: "dataclasses.Field[Any]") -> OptionInfo:
    """The OptionInfo of a config field."""
    found: OptionInfo = f.metadata["option"]
    return found


def _flag(name: str, rule: OptionInfo) -> str:
    """The long flag of an option, as an error names it."""
    long = [flag.partition("/")[0] for flag in rule.flags if flag.startswith("--")]
    return long[0] if long else "--" + name.replace("_", "-")


def _fits(value: Any, wanted: Any) -> bool:
    if typing.get_origin(wanted) in (types.UnionType, typing.Union):
        return any(_fits(value, one) for one in typing.get_args(wanted))
    if typing.get_origin(wanted) is tuple:
        return isinstance(value, tuple) and all(_fits(v, typing.get_args(wanted)[0]) for v in value)
    if wanted is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if wanted is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, wanted)


@dataclass(frozen=True, kw_only=True)
class Config:
    """What every stage has: where the artifacts are and how long to wait for their lock."""

    dir: Path = option(
        Path("artifacts"),
        "The artifact directory, which all commands share.",
        "--dir",
        "-d",
        recorded=False,
        shared=True,
    )
    lock_timeout: float = option(
        10.0,
        "Seconds to wait while another mfcli writes to the same place.",
        minimum=0,
        recorded=False,
        shared=True,
    )

    def __post_init__(self) -> None:
        hints = typing.get_type_hints(type(self))
        for f in fields(self):
            self._check(f.name, getattr(self, f.name), hints[f.name], info(f))

    def _check(self, name: str, value: Any, wanted: Any, rule: OptionInfo) -> None:
        """Raise UsageError unless the value has the field's type and lies in its range."""
        flag = name.upper() if rule.argument else _flag(name, rule)
        if not _fits(value, wanted):
            raise UsageError(f"{flag}: {value!r} is not what it takes")
        if value is None or isinstance(value, (bool, Path)):
            return
        for one in value if isinstance(value, tuple) else (value,):
            if rule.choices and one not in rule.choices:
                raise UsageError(f"{flag}: '{one}' is not one of {', '.join(rule.choices)}")
            if rule.is_name and not NAME.fullmatch(one):
                raise UsageError(
                    f"{flag}: '{one}' is no name (letters, digits, '.', '_' and '-', not first '.' or '-')"
                )
            if isinstance(one, (int, float)):
                self._check_range(flag, one, rule)

    @staticmethod
    def _check_range(flag: str, value: float, rule: OptionInfo) -> None:
        if value != value or value in (float("inf"), float("-inf")):
            raise UsageError(f"{flag}: {value} is not a finite number")
        if rule.minimum is not None and value < rule.minimum:
            raise UsageError(f"{flag}: {value} is less than {rule.minimum}")
        if rule.above is not None and value <= rule.above:
            raise UsageError(f"{flag}: {value} must be more than {rule.above}")
        if rule.maximum is not None and value > rule.maximum:
            raise UsageError(f"{flag}: {value} is more than {rule.maximum}")
        if rule.below is not None and value >= rule.below:
            raise UsageError(f"{flag}: {value} must be less than {rule.below}")

    def recorded(self) -> dict[str, Any]:
        """The options that made a result, as JSON (and TOML) can hold them."""
        kept = {f.name: getattr(self, f.name) for f in fields(self) if info(f).recorded}
        return {k: _plain(v) for k, v in kept.items()}

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """The config that a JSON or TOML table describes. Raises UsageError on unknown keys and bad values."""
        hints = typing.get_type_hints(cls)
        unknown = sorted(set(values) - set(hints))
        if unknown:
            raise UsageError(f"no option is called '{unknown[0]}'")
        return cls(**{k: _typed(v, hints[k]) for k, v in values.items()})


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    return [_plain(v) for v in value] if isinstance(value, tuple) else value


def _typed(value: Any, wanted: Any) -> Any:
    if isinstance(value, str) and (wanted is Path or Path in typing.get_args(wanted)):
        return Path(value)
    if wanted is str and isinstance(value, int) and not isinstance(value, bool):
        return str(value)  # an id, bare in the file
    if isinstance(value, list):
        element = typing.get_args(wanted)
        return tuple(_typed(v, element[0] if element else str) for v in value)
    return value


@dataclass(frozen=True, kw_only=True)
class DownloadConfig(Config):
    """Options of ``mfcli download``."""

    name: str = option(
        "ml-latest-small", "A data set of the catalogue (--list), or 'synthetic'.", argument=True, is_name=True
    )
    list: bool = option(False, "Show the catalogue and do nothing else.", "--list", recorded=False)
    source: Path | None = option(
        None, "Take the zip or folder at PATH instead of the network.", "--from", metavar="PATH", recorded=False
    )
    mirror: str | None = option(None, "Another base address to download from.", metavar="URL", recorded=False)
    force: bool = option(False, "Fetch again what is already there.", "--force", recorded=False)
    retries: int = option(3, "How often to try again after a failed download.", minimum=0, maximum=100, recorded=False)
    timeout: float = option(
        30.0, "Seconds without an answer before a try has failed.", above=0, maximum=86_400, recorded=False
    )
    users: int = option(1000, "synthetic: number of users.", minimum=2, maximum=100_000_000)
    items: int = option(1700, "synthetic: number of items.", minimum=2, maximum=100_000_000)
    ratings: int = option(100_000, "synthetic: number of ratings.", minimum=10, maximum=1_000_000_000)
    rank: int = option(8, "synthetic: number of planted factors.", minimum=0, maximum=1000)
    noise: float = option(0.75, "synthetic: standard deviation of the noise, in rating points.", minimum=0)
    seed: int = option(1234, "synthetic: seed.", minimum=0, maximum=2**32 - 1, shared=True)


@dataclass(frozen=True, kw_only=True)
class PrepareConfig(Config):
    """Options of ``mfcli prepare``."""

    name: str | None = option(
        None,
        "The downloaded data set to prepare. Default: the only one there is.",
        argument=True,
        is_name=True,
    )
    ratings: Path | None = option(
        None, "Your own ratings: CSV, TSV, '::' or ';' separated, parquet; may be gzipped.", metavar="FILE"
    )
    items: Path | None = option(None, "Titles and genres of your items: columns item, title, genres.", metavar="FILE")
    columns: str | None = option(None, "Names of the columns in the header.", metavar="USER,ITEM,RATING[,TIMESTAMP]")
    separator: str | None = option(None, "What separates the columns ('\\t' is a tab). Default: found by looking.")
    no_header: bool = option(
        False, "The file has no header: columns are user, item, rating[, timestamp].", "--no-header"
    )
    duplicates: str = option(
        "error",
        "What to do when a user rated an item more than once.",
        choices=("error", "last", "mean"),
    )
    min_user_ratings: int = option(1, "Drop users with fewer ratings.", minimum=1)
    min_item_ratings: int = option(1, "Drop items with fewer ratings.", minimum=1)
    split: str = option(
        "random",
        "How the test part is chosen: at random, the latest ratings of all, or each user's last.",
        choices=("random", "time", "leave-last"),
    )
    test: Path | None = option(None, "Your own test ratings, instead of a split.", metavar="FILE")
    test_fraction: float = option(0.2, "Share of the ratings in the test part.", above=0, below=1)
    folds: int | None = option(
        None, "Cut K folds (scikit-learn's KFold) and test on one of them.", minimum=2, metavar="K"
    )
    fold: int | None = option(None, "Which of the K folds is the test part, from 1.", minimum=1, metavar="I")
    validation_fraction: float = option(
        0.1, "Share of the training part set aside for early stopping; 0 for none.", minimum=0, below=1
    )
    seed: int = option(1234, "Seed of the split.", minimum=0, maximum=2**32 - 1, shared=True)


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Config):
    """Options of ``mfcli train``. The defaults serve MovieLens of every size without tuning."""

    run: str = option(
        "default", "Name of the run, to keep several side by side.", is_name=True, recorded=False, shared=True
    )
    preset: str | None = option(
        None, "A set of defaults: 'article' is the article's model and loop exactly.", choices=("article",)
    )
    solver: str = option(
        "adam",
        "adam: mini-batches, the article's way, made right. als: the fastest to a good fit. "
        "gibbs: Bayesian, the most accurate, nothing to tune, and says how sure it is.",
        choices=("adam", "als", "gibbs"),
    )
    factors: int = option(
        32, "Length of a user's and an item's factor vector.", "--factors", "-k", minimum=1, maximum=4096
    )
    biases: bool = option(True, "Mean, user and item biases beside the factors.", "--biases/--no-biases")
    epochs: int | None = option(
        None,
        "Passes over the training part. Default: 15 (adam), at most 15 (als).",
        "--epochs",
        "-e",
        minimum=1,
        maximum=1_000_000,
        solvers=("adam", "als"),
    )
    burn_in: int = option(
        10, "gibbs: sweeps before the first sample that counts.", minimum=0, maximum=1_000_000, solvers=("gibbs",)
    )
    samples: int = option(
        90, "gibbs: sweeps whose samples are averaged.", minimum=1, maximum=1_000_000, solvers=("gibbs",)
    )
    batch: int = option(
        0,
        "adam: ratings in a mini-batch; 0: 2048, or a thousandth of the training part if that is more.",
        "--batch",
        "-b",
        minimum=0,
        maximum=2**24,
        solvers=("adam",),
    )
    lr: float = option(0.02, "adam: learning rate, at the schedule's peak.", "--lr", "-l", above=0, solvers=("adam",))
    schedule: str = option(
        "one-cycle",
        "adam: learning rate over the run: rise and anneal, or constant.",
        choices=("one-cycle", "constant"),
        solvers=("adam",),
    )
    loss: str = option("mse", "adam: what a batch minimizes, beside L2.", choices=("mse", "rmse"), solvers=("adam",))
    l2: float = option(
        1.0,
        "adam, als: L2 of the factors, λ; a row of n ratings pays λ√n‖p‖².",
        minimum=0,
        solvers=("adam", "als"),
    )
    bias_l2: float = option(0.3, "adam, als: L2 of the biases, scaled likewise.", minimum=0, solvers=("adam", "als"))
    init_std: float = option(0.05, "adam: standard deviation of the initial factors.", minimum=0, solvers=("adam",))
    tolerance: float = option(
        1e-4,
        "als: stop when a round lowers the objective by less than this share of it.",
        minimum=0,
        below=1,
        solvers=("als",),
    )
    patience: int = option(
        5,
        "adam, als: epochs without a better validation RMSE before stopping early; 0: never stop early.",
        minimum=0,
        solvers=("adam", "als"),
    )
    device: str = option("auto", "auto, cpu, cuda or cuda:N.", shared=True)
    threads: int = option(0, "CPU threads; 0: as many cores as pay off.", minimum=0, maximum=1024, shared=True)
    seed: int = option(
        1234, "Seed of the initial factors, of the shuffling and of samples.", minimum=0, maximum=2**32 - 1, shared=True
    )
    resume: bool = option(
        False,
        "Go on from the run's checkpoint, if there is one. It is written after every epoch, at most once a second.",
        "--resume",
        recorded=False,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", self.device):
            raise UsageError(f"--device: '{self.device}' is not one of auto, cpu, cuda, cuda:N")
        for f in fields(self):
            solvers = info(f).solvers
            if solvers and self.solver not in solvers and getattr(self, f.name) != f.default:
                flag = _flag(f.name, info(f))
                raise UsageError(f"{flag} is for --solver {' or '.join(solvers)}, not for {self.solver}")

    @property
    def passes(self) -> int:
        """Epochs, rounds or sweeps of a whole run."""
        return self.burn_in + self.samples if self.solver == "gibbs" else self.epochs or 15

    def batch_for(self, ratings: int) -> int:
        """Ratings in a mini-batch of a training part of that size."""
        return self.batch or max(2048, ratings // 1000)


PRESETS: dict[str, dict[str, Any]] = {
    "article": {
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
"""Defaults that ``--preset`` replaces on the command line; from Python, ``TrainConfig(**PRESETS["article"])``."""


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(Config):
    """Options of ``mfcli evaluate``."""

    run: str = option("default", "The run to evaluate.", is_name=True, shared=True)
    split: str = option("test", "Which part to predict.", choices=("train", "val", "test"))
    max_rmse: float | None = option(None, "Exit with 7 if the RMSE is above this.", minimum=0, recorded=False)
    top: int = option(
        0, "Also rank: precision, recall and NDCG of every user's top N; 0: do not.", minimum=0, metavar="N"
    )
    relevant: float | None = option(
        None, "Rating from which a test item counts as relevant to --top. Default: above the training mean."
    )


@dataclass(frozen=True, kw_only=True)
class PlotConfig(Config):
    """Options of ``mfcli plot``."""

    run: str = option("default", "The run to plot.", is_name=True, shared=True)
    compare: tuple[str, ...] = option(
        (), "Overlay the learning curves of these runs (repeat, or separate by commas).", metavar="RUN", is_name=True
    )
    split: str = option("test", "Which part the predictions are plotted on.", choices=("train", "val", "test"))
    format: str = option("png", "Format of the figures.", "--format", "-f", choices=("png", "svg", "pdf"))
    output: Path | None = option(
        None, "Folder for the figures. Default: plots/ in the run.", "--output", "-o", metavar="DIR", recorded=False
    )
    dpi: int = option(150, "Dots per inch of a png.", minimum=30, maximum=1200)


@dataclass(frozen=True, kw_only=True)
class RecommendConfig(Config):
    """Options of ``mfcli recommend``."""

    run: str = option("default", "The run whose model recommends.", is_name=True, shared=True)
    user: tuple[str, ...] = option((), "A user's id, as in the ratings (repeatable).", "--user", "-u", metavar="ID")
    users_from: str | None = option(None, "A file with one user id a line; - for standard input.", metavar="FILE")
    all_users: bool = option(False, "Every user.", "--all-users")
    ratings: Path | None = option(
        None,
        "Recommend to somebody new, shown as user 'new', whose ratings FILE (columns item, rating) holds.",
        metavar="FILE",
    )
    n: int = option(10, "Items for each user.", "-n", "--top", minimum=1)
    include_seen: bool = option(False, "Also items that the user has rated.", "--include-seen")
    with_std: bool = option(
        False, "Also the standard deviation of a rating about its prediction (solver gibbs).", "--with-std"
    )
    format: str | None = option(
        None,
        "Format of the recommendations. Default: by --output's ending, else table.",
        "--format",
        "-f",
        choices=("table", "csv", "jsonl", "json", "parquet"),
    )
    output: Path | None = option(
        None, "Write here instead of standard output.", "--output", "-o", metavar="FILE", recorded=False
    )
    save: bool = option(
        False, "Write to recommendations.<format> in the run instead of standard output.", "--save", recorded=False
    )
