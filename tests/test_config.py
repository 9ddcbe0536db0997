"""Options: flag over environment over --config over preset over default; nothing that cannot be gets through."""

import copy
import dataclasses
import itertools
import json
import math
import pickle
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mfcli.config.common import Config
from mfcli.config.download import DownloadConfig
from mfcli.config.evaluate import EvaluateConfig
from mfcli.config.plot import PlotConfig
from mfcli.config.prepare import PrepareConfig
from mfcli.config.recommend import RecommendConfig
from mfcli.config.solvers import PRESETS, SOLVERS
from mfcli.config.train import TrainConfig
from mfcli.errors import UsageError
from mfcli.option import Interval, Option
from tests.conftest import Parse

KINDS: list[type[Config]] = [DownloadConfig, PrepareConfig, TrainConfig, EvaluateConfig, PlotConfig, RecommendConfig]
NEEDED: dict[type[Config], dict[str, Any]] = {RecommendConfig: {"all_users": True}}
"""What a config cannot be made without."""


# ── who wins ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclasses.dataclass(frozen=True)
class Said:
    """One option said in three ways, each time differently, and what the config then is.

    ``file`` is a value in a --config file, ``variable`` a variable and its text, ``flag`` a command line.
    """

    kind: type[Config]
    field: str
    file: Any
    variable: tuple[str, str]
    flag: str
    from_file: Any
    from_variable: Any
    from_flag: Any
    beside: str = ""  # what the command cannot do without


SAID = [
    Said(TrainConfig, "biases", True, ("MFCLI_TRAIN_BIASES", "false"), "--biases", True, False, True),
    Said(TrainConfig, "epochs", 3, ("MFCLI_TRAIN_EPOCHS", "4"), "--epochs=5", 3, 4, 5),
    Said(TrainConfig, "lr", 0.3, ("MFCLI_TRAIN_LR", "0.4"), "-l0.5", 0.3, 0.4, 0.5),
    Said(TrainConfig, "run", "a", ("MFCLI_RUN", "b"), "--run=c", "a", "b", "c"),
    Said(TrainConfig, "dir", "a", ("MFCLI_DIR", "b"), "--dir=c", Path("a"), Path("b"), Path("c")),
    Said(EvaluateConfig, "max_rmse", 0.8, ("MFCLI_EVALUATE_MAX_RMSE", "0.9"), "--max-rmse=1", 0.8, 0.9, 1.0),
    Said(EvaluateConfig, "part", "train", ("MFCLI_EVALUATE_PART", "val"), "--part=test", "train", "val", "test"),
    Said(PlotConfig, "compare", ["a"], ("MFCLI_PLOT_COMPARE", "c,d"), "--compare=e,f", ("a",), ("c", "d"), ("e", "f")),
    Said(RecommendConfig, "user", ["a"], ("MFCLI_RECOMMEND_USER", "c d"), "--user=e,f", ("a",), ("c", "d"), ("e,f",)),
    Said(EvaluateConfig, "top", 5, ("MFCLI_EVALUATE_TOP", "6,7"), "--top=8,9", (5,), (6, 7), (8, 9)),
    Said(RecommendConfig, "n", 5, ("MFCLI_RECOMMEND_N", "6"), "--top=7", 5, 6, 7, beside="--all-users"),
    Said(RecommendConfig, "n", 5, ("MFCLI_RECOMMEND_TOP", "6"), "-n7", 5, 6, 7, beside="--all-users"),
]


@pytest.mark.parametrize("said", SAID, ids=lambda said: said.flag)
def test_flag_over_environment_over_file_over_default(
    parse: Parse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: Said
) -> None:
    def value(*arguments: str) -> Any:
        return getattr(parse(said.kind, *arguments, *said.beside.split()), said.field)

    file = tmp_path / "options.json"
    file.write_text(json.dumps({said.field: said.file}))
    name, text = said.variable
    if said.field != "user":  # a user, or another way to name users, there must be
        assert value() == said.kind.option(said.field).default
    assert value("--config", str(file)) == said.from_file
    monkeypatch.setenv(name, text)
    assert value("--config", str(file)) == said.from_variable
    assert value("--config", str(file), said.flag) == said.from_flag
    assert value(said.flag) == said.from_flag


def test_a_file_may_use_tables_dashes_and_the_names_of_flags(parse: Parse, tmp_path: Path) -> None:
    file = tmp_path / "options.toml"
    file.write_text(
        "run = 'all'\nlock-timeout = 3\n[train]\nbias-l2 = 2\n[recommend]\ntop = 4\n[download]\nfrom = 'x'\n"
    )
    trained = parse(TrainConfig, "--config", str(file))
    assert (trained.run, trained.lock_timeout, trained.bias_l2) == ("all", 3, 2)
    recommended = parse(RecommendConfig, "--config", str(file), "--all-users")
    assert (recommended.run, recommended.n) == ("all", 4)
    assert parse(DownloadConfig, "--config", str(file)).source == Path("x")


def test_the_table_of_the_command_wins_over_the_top(parse: Parse, tmp_path: Path) -> None:
    file = tmp_path / "options.toml"
    file.write_text("seed = 1\n[train]\nseed = 2\n")
    assert parse(TrainConfig, "--config", str(file)).seed == 2
    assert parse(PrepareConfig, "--config", str(file)).seed == 1


@pytest.mark.parametrize("kind", [EvaluateConfig, PlotConfig])
def test_the_older_name_of_an_option_still_works_everywhere(
    parse: Parse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Config]
) -> None:
    file = tmp_path / "options.toml"
    file.write_text(f"[{kind.command}]\nsplit = 'val'\n")
    assert parse(kind, "--config", str(file)).part == "val"
    assert parse(kind, "--split", "val").part == "val"
    assert parse(kind, "--split", "val", "--part", "train").part == "train"
    monkeypatch.setenv(f"MFCLI_{kind.command.upper()}_SPLIT", "val")
    assert parse(kind).part == "val"
    assert parse(kind, "--split", "train").part == "train"


# ── presets ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_preset_is_below_everything_that_was_said(parse: Parse, tmp_path: Path) -> None:
    file = tmp_path / "options.toml"
    file.write_text("preset = 'article'\nepochs = 7\n")
    config = parse(TrainConfig, "--config", str(file), "--batch", "64")
    assert (config.factors, config.epochs, config.batch, config.biases) == (100, 7, 64, False)


def test_a_preset_is_the_same_from_python_as_from_the_shell(parse: Parse) -> None:
    config = TrainConfig(preset="article")
    assert config == parse(TrainConfig, "--preset", "article") == TrainConfig(preset="article", **PRESETS["article"])
    assert {name: getattr(config, name) for name in PRESETS["article"]} == PRESETS["article"]
    own = TrainConfig(preset="article", factors=32, patience=5)  # the defaults without a preset, but said
    assert (own.factors, own.patience, own.epochs) == (32, 5, 30)
    assert dataclasses.replace(config, resume=True).epochs == 30


def test_every_solver_has_its_options() -> None:
    assert TrainConfig.option("solver").choices == tuple(SOLVERS)


def test_a_preset_is_for_its_solver() -> None:
    with pytest.raises(UsageError, match="--preset is for --solver adam, not for als"):
        TrainConfig(preset="article", solver="als")


# ── what cannot be ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("foo = 1", r"--config .*options\.toml: no option is called 'foo'$"),
        ("epocs = 1", r"--config .*options\.toml: no option is called 'epocs' \(is epochs meant\?\)"),
        ("[nonsense]\nepochs = 1", r"options\.toml: no command is called 'nonsense'$"),
        ("[trian]\nepochs = 1", r"no command is called 'trian' \(is train meant\?\)"),
        ("train = 1", "no option is called 'train'"),
        ("[train]\nuser = ['1']", "train has no option 'user'"),
        ("[train]\nbias-12 = 1", r"options\.toml: train has no option 'bias-12' \(is bias_l2 meant\?\)"),
        ("[train]\nepochs = 'x'", "--epochs: 'x' is not a whole number"),
        ("[train]\nepochs = 1.5", "--epochs: 1.5 is not a whole number"),
        ("[train]\nepochs = true", "--epochs: True is not a whole number"),
        ("[train]\nbiases = 1", "--biases: 1 is not true or false"),
        ("[train]\nepochs = [1]", "--epochs: .* is not a whole number"),
        ("[train]\nepochs = {a = 1}", "--epochs: .* is not a whole number"),
        ("[train]\npreset = ['article']", "--preset: .* is not one of article"),
        ("[train]\npreset = 'other'", "--preset: 'other' is not one of article"),
        ("[train]\nrun = '../x'", r"--run: '\.\./x' is no name"),
        ("[train]\nrun = true", "--run: True is not a text"),
        ("[train]\ndir = 1", "--dir: 1 is not a path"),
        ("[plot]\ncompare = 1.5", "--compare: 1.5 is not a text"),
        ("[train]\nlr = nan", r"--lr: nan is not in \(0, inf\)"),
        ("[train]\nlr = 2024-01-01", "--lr: .* is not a number"),
        ("[train", "Expected .]. at the end"),
        ("a = " + "[" * 5000, "recursion"),
        ("\xff", "not UTF-8 text"),
    ],
)
def test_what_a_file_cannot_say_is_a_usage_error(parse: Parse, tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "options.toml"
    file.write_bytes(content.encode("latin-1"))
    kind = PlotConfig if content.startswith("[plot]") else TrainConfig
    with pytest.raises(UsageError, match=message):
        parse(kind, "--config", str(file))


@pytest.mark.parametrize(
    ("kind", "said", "message"),
    [
        (TrainConfig, "--factors abc", "--factors: 'abc' is not a whole number"),
        (TrainConfig, "--factors 1.5", "--factors: '1.5' is not a whole number"),
        (TrainConfig, "--epochs=", "--epochs: '' is not a whole number"),
        (TrainConfig, "--epochs ٣", "--epochs: '٣' is not a whole number"),
        (TrainConfig, "-l 0,1", "--lr: '0,1' is not a number"),
        (TrainConfig, "--solver other", "--solver: 'other' is not one of adam, als, gibbs, ials"),
        (TrainConfig, "--side none,other", "--side: 'other' is not one of auto, none, "),
        (EvaluateConfig, "--top 3,x", "--top: 'x' is not a whole number"),
        (TrainConfig, "MFCLI_TRAIN_EPOCHS=many", "--epochs: 'many' is not a whole number"),
        (TrainConfig, "MFCLI_TRAIN_BIASES=maybe", "--biases: 'maybe' is not true or false"),
        (TrainConfig, "MFCLI_JSON=maybe", "--json: 'maybe' is not true or false"),
    ],
)
def test_what_flags_and_variables_cannot_say_is_told_as_that_of_files(
    parse: Parse, monkeypatch: pytest.MonkeyPatch, kind: type[Config], said: str, message: str
) -> None:
    if said.startswith("MFCLI_"):
        monkeypatch.setenv(*said.split("="))
        said = ""
    with pytest.raises(UsageError, match=f"^{message}"):
        parse(kind, *said.split())


@pytest.mark.parametrize("content", ["[]", "1", "", "{", "[" * 100_000])
def test_json_that_is_no_table_is_a_usage_error(parse: Parse, tmp_path: Path, content: str) -> None:
    file = tmp_path / "options.json"
    file.write_text(content)
    with pytest.raises(UsageError, match=r"--config .*options\.json: "):
        parse(TrainConfig, "--config", str(file))


@pytest.mark.parametrize("name", ["missing.toml", "."])
def test_a_file_that_cannot_be_read_is_a_usage_error(parse: Parse, tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"--config .*(No such file|Is a directory)"):
        parse(TrainConfig, "--config", str(tmp_path / name))


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("[0, 1]", [0, 0.5, 1], [-1e-9, 1 + 1e-9]),
        ("(0, 1)", [1e-9, 1 - 1e-9], [0, 1]),
        ("[0, 1)", [0, 1 - 1e-9], [-1e-9, 1]),
        ("(0, 1]", [1e-9, 1], [0, 1 + 1e-9]),
        ("[1, inf)", [1, 1e300, 10**400], [0, math.inf]),
        ("(-inf, inf)", [-1e300, 0, 1e300], [-math.inf, math.inf]),
    ],
)
def test_an_interval_is_read_as_in_mathematics(text: str, inside: list[float], outside: list[float]) -> None:
    assert all(value in Interval(text) for value in inside)
    assert not any(value in Interval(text) for value in [*outside, math.nan])


def numbers(kind: type[Config]) -> list[Option]:
    return [option for option in kind.options() if option.kind in (int, float)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_number_has_a_range_that_holds_its_default(kind: type[Config]) -> None:
    for option in numbers(kind):
        assert option.opt.range, option.name
        for default in option.default if option.several else (option.default,):
            assert default is None or default in Interval(option.opt.range), option.name


def _out_of_range() -> Iterator[tuple[type[Config], str, Any]]:
    for kind in KINDS:
        for option in numbers(kind):
            interval, step = Interval(option.opt.range or ""), 1 if option.kind is int else 1e-9
            candidates = (interval.low - step, interval.low, interval.high, interval.high + step)
            outside = [value for value in candidates if value not in interval]
            assert len(outside) >= 2
            for value in [*outside, math.nan]:
                bad = option.kind(value) if math.isfinite(value) else value
                yield kind, option.name, (bad,) if option.several else bad


@pytest.mark.parametrize(("kind", "field", "value"), [*_out_of_range()])
def test_no_number_outside_its_range_gets_through(kind: type[Config], field: str, value: Any) -> None:
    with pytest.raises(UsageError, match=r"^--[a-z0-9-]+: .* is not (in [\[(]|a whole number)"):
        kind(**{field: value})


@pytest.mark.parametrize("name", ["../x", "/x", "..", ".", ".x", "", "a/b", "a\\b", "a\nb", "-x", "a b", "ü", "a\0"])
def test_names_that_become_folders_cannot_climb(name: str) -> None:
    for make in (
        lambda: TrainConfig(run=name),
        lambda: DownloadConfig(name=name),
        lambda: PrepareConfig(name=name),
        lambda: PlotConfig(compare=(name,)),
    ):
        with pytest.raises(UsageError, match="is no name"):
            make()


RATINGS, TEST = (Path("ratings.csv"),), Path("test.csv")


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        (TrainConfig, {"solver": "gibbs", "epochs": 3}, "--epochs is for --solver adam, als or ials, not for gibbs"),
        (TrainConfig, {"samples": 3}, "--samples is for --solver gibbs, not for adam"),
        (TrainConfig, {"side": ("time",)}, "--side time is for --solver gibbs, not for adam"),
        (
            TrainConfig,
            {"side": ("time",), "solver": "als"},
            "--side time is for --solver gibbs, not for als",
        ),
        (TrainConfig, {"side": ("none", "items")}, "--side none stands alone"),
        (TrainConfig, {"side": ()}, "--side: say which, or none"),
        (TrainConfig, {"device": "gpu"}, "--device: 'gpu' is not one of auto, cpu, cuda, cuda:N"),
        (PrepareConfig, {"name": "a", "ratings": RATINGS}, "--ratings and the data set 'a' exclude each other"),
        (RecommendConfig, {"user": ("1",), "columns": "1,2"}, "--columns goes with --pairs FILE"),
        (PrepareConfig, {"no_header": True}, "--no-header goes with --ratings FILE"),
        (PrepareConfig, {"test": TEST}, "--test goes with --ratings FILE"),
        (PrepareConfig, {"folds": 3}, "--folds and --fold belong together"),
        (PrepareConfig, {"fold": 1}, "--folds and --fold belong together"),
        (PrepareConfig, {"folds": 3, "fold": 4}, "--fold 4: there are 3 folds"),
        (PrepareConfig, {"folds": 3, "fold": 1, "split": "time"}, "--folds and --split time exclude each other"),
        (PrepareConfig, {"split": "leave-last", "test_fraction": 0.3}, "--test-fraction changes nothing with --split"),
        (PrepareConfig, {"split": "latest", "seed": 3}, "--seed changes nothing with --split latest: leave it out"),
        (PrepareConfig, {"split": "none", "seed": 3}, "--seed changes nothing with --split none: leave it out"),
        (PrepareConfig, {"folds": 3, "fold": 1, "test_fraction": 0.3}, "--test-fraction changes nothing with --folds"),
        (PrepareConfig, {"test_users_share": 0.1, "seed": 3}, "--seed changes nothing with --test-users-share"),
        (PrepareConfig, {"test_users_share": 0.1, "split": "time"}, "--test-users-share and --split time exclude each"),
        (
            PrepareConfig,
            {"folds": 3, "fold": 1, "ratings": RATINGS, "test": TEST},
            "--test and --folds exclude each other",
        ),
        (
            PrepareConfig,
            {"split": "leave-last", "ratings": RATINGS, "test": TEST},
            "--test and --split leave-last exclude each other",
        ),
        (RecommendConfig, {}, "whom to recommend to?"),
        (RecommendConfig, {"pairs": "x", "rank_by": "rating"}, "--rank-by changes nothing with --pairs: leave it out"),
        (
            RecommendConfig,
            {"similar_to": ("x",), "include_seen": True},
            "--include-seen changes nothing with --similar",
        ),
        (RecommendConfig, {"list": "users", "genre": ("x",)}, "--genre changes nothing with --list users"),
        (RecommendConfig, {"list": "items", "n": 3}, "--top changes nothing with --list items"),
        (RecommendConfig, {"user": ("1",), "year": "2000..1990"}, "--year: '2000..1990' is not FROM..TO"),
        (RecommendConfig, {"user_attributes": ("age=1, Age = 2",)}, "--user-attributes: age is told twice"),
        (RecommendConfig, {"user_attributes": ("age= ",)}, "--user-attributes: 'age=' is not NAME=VALUE"),
        (RecommendConfig, {"all_users": True, "user": ("1",)}, "--all-users excludes --user and --users-from"),
        (RecommendConfig, {"all_users": True, "save": True, "output": Path("x")}, "--save and --output exclude"),
    ],
)
def test_options_that_contradict_each_other_are_a_usage_error(
    kind: type[Config], given: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message.replace("?", r"\?")):
        kind(**given)


# ── what a config knows of itself ────────────────────────────────────────────────────────────────────────────────────


def test_a_config_knows_which_options_were_given(parse: Parse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert TrainConfig().explicit == frozenset()
    assert TrainConfig(preset="article", seed=1234).explicit == {"preset", "seed"}
    (tmp_path / "options.toml").write_text("l2 = 1.0")
    monkeypatch.setenv("MFCLI_SEED", "1234")
    config = parse(TrainConfig, "--epochs", "15", "--config", str(tmp_path / "options.toml"))
    assert config.explicit == {"l2", "seed", "epochs"}
    assert pickle.loads(pickle.dumps(config)).explicit == copy.copy(config).explicit == config.explicit
    assert TrainConfig(seed=1234) == TrainConfig()
    assert "explicit" not in config.recorded()


def test_a_variable_of_several_commands_is_no_error_where_it_has_no_use(
    parse: Parse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MFCLI_SEED", "7")
    monkeypatch.setenv("MFCLI_RUN", "candidate")
    latest = parse(PrepareConfig, "--split", "latest", "--validation-fraction", "0")
    assert (latest.seed, "seed" in latest.explicit) == (1234, False)
    assert parse(PrepareConfig).seed == parse(TrainConfig).seed == 7
    assert parse(EvaluateConfig, "--all").run == ("default",)
    assert parse(EvaluateConfig).run == ("candidate",)
    with pytest.raises(UsageError, match="--seed changes nothing with --split latest: leave it out"):
        parse(PrepareConfig, "--split", "latest", "--seed", "7")
    with pytest.raises(UsageError, match="--all and --run exclude each other"):
        parse(EvaluateConfig, "--all", "--run", "candidate")


@pytest.mark.parametrize("kind", KINDS)
def test_a_recorded_config_makes_the_same_config_again(kind: type[Config]) -> None:
    config = kind(**NEEDED.get(kind, {}))
    recorded = json.loads(json.dumps(config.recorded()))
    assert kind.from_mapping(recorded) == config.again(recorded) == config


def test_a_config_is_made_again_in_its_place() -> None:
    earlier = TrainConfig(solver="als", factors=8, run="a", dir=Path("x"), resume=True)
    later = TrainConfig(run="b", lock_timeout=3, seed=9).again(earlier.recorded())
    assert later == TrainConfig(solver="als", factors=8, run="b", lock_timeout=3)


def test_a_contradiction_is_what_was_said_and_is_recorded_otherwise() -> None:
    recorded = TrainConfig(solver="als", factors=8, seed=7).recorded()
    assert TrainConfig(run="other").contradiction(recorded) is None
    assert TrainConfig(solver="als", factors=8, resume=True).contradiction(recorded) is None
    assert TrainConfig(seed=7, solver="adam").contradiction(recorded) == "--solver"
    assert TrainConfig(factors=32).contradiction(recorded) == "--factors", "the default, but said"


@pytest.mark.parametrize(
    ("config", "line"),
    [
        (TrainConfig(), "mfcli train"),
        (TrainConfig(resume=True, lock_timeout=3), "mfcli train"),
        (TrainConfig(run="k8", factors=8, dir=Path("a b")), "mfcli train --run k8 --factors 8 --dir 'a b'"),
        (TrainConfig(preset="article", epochs=5), "mfcli train --epochs 5 --preset article"),
        (TrainConfig(biases=False, l2=0.0), "mfcli train --no-biases --l2 0.0"),
        (DownloadConfig(), "mfcli download ml-latest-small"),
        (PrepareConfig(ratings=(Path("r.csv"),), separator="\t"), "mfcli prepare --ratings r.csv --separator '\t'"),
        (PrepareConfig(name="a", no_header=False), "mfcli prepare a"),
        (PlotConfig(compare=("a", "b")), "mfcli plot --compare a --compare b"),
    ],
)
def test_a_config_says_the_command_that_it_stands_for(parse: Parse, config: Config, line: str) -> None:
    assert config.shell_line() == line
    again = parse(type(config), *shlex.split(line)[2:])
    assert again.recorded() == config.recorded()


@pytest.mark.parametrize("kind", KINDS)
def test_unknown_keys_are_refused(kind: type[Config]) -> None:
    with pytest.raises(UsageError, match="no option is called 'nonsense'"):
        kind.from_mapping({"nonsense": 1})


@pytest.mark.parametrize("kind", KINDS)
def test_no_two_options_of_a_command_share_a_name(kind: type[Config]) -> None:
    for one, other in itertools.combinations(kind.options(), 2):
        assert not {*one.names, one.opt.short} & {*other.names, other.opt.short or ""}, (one.name, other.name)
