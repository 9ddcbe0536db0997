"""Options: flag over environment over --config over preset over default; nothing that cannot be gets through."""

import dataclasses
import json
import math
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from mfcli.cli.option import Output, options
from mfcli.config import (
    Config,
    DownloadConfig,
    EvaluateConfig,
    PlotConfig,
    PrepareConfig,
    RecommendConfig,
    TrainConfig,
    info,
)
from mfcli.errors import UsageError

KINDS: list[type[Config]] = [DownloadConfig, PrepareConfig, TrainConfig, EvaluateConfig, PlotConfig, RecommendConfig]
Parse = Callable[..., Any]


@pytest.fixture
def parse() -> Parse:
    """``parse(TrainConfig, "--epochs", "3")`` is the config that ``mfcli train --epochs 3`` would hand to its stage."""

    def parse(kind: type[Config], *arguments: str) -> Config:
        found: list[Config] = []

        def body(config: Config, output: Output) -> None:
            found.append(config)

        body.__name__ = kind.__name__.removesuffix("Config").lower()
        app = typer.Typer()
        app.command()(options(kind)(body))
        app(list(arguments), standalone_mode=False)
        return found[0]

    return parse


@pytest.mark.parametrize(
    ("kind", "field", "variable", "flag", "levels"),
    [
        (TrainConfig, "biases", "MFCLI_TRAIN_BIASES", "--biases", (True, "false", True)),
        (TrainConfig, "epochs", "MFCLI_TRAIN_EPOCHS", "--epochs=5", (3, "4", 5)),
        (TrainConfig, "lr", "MFCLI_TRAIN_LR", "-l0.5", (0.3, "0.4", 0.5)),
        (TrainConfig, "run", "MFCLI_RUN", "--run=flag", ("file", "variable", "flag")),
        (TrainConfig, "dir", "MFCLI_DIR", "--dir=flag", ("file", "variable", Path("flag"))),
        (EvaluateConfig, "max_rmse", "MFCLI_EVALUATE_MAX_RMSE", "--max-rmse=1", (0.8, "0.9", 1.0)),
        (PlotConfig, "compare", "MFCLI_PLOT_COMPARE", "--compare=e,f", (["a"], "c,d", ("e", "f"))),
        (RecommendConfig, "user", "MFCLI_RECOMMEND_USER", "--user=e,f", (["a"], "c d", ("e,f",))),
        (RecommendConfig, "n", "MFCLI_RECOMMEND_N", "--top=7", (5, "6", 7)),
    ],
)
def test_flag_over_environment_over_file_over_default(
    parse: Parse,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[Config],
    field: str,
    variable: str,
    flag: str,
    levels: tuple[Any, str, Any],
) -> None:
    in_file, in_environment, by_flag = levels
    wanted = typing.get_type_hints(kind)[field]
    file = tmp_path / "options.json"
    file.write_text(json.dumps({field: in_file}))

    def value(*arguments: str) -> Any:
        return getattr(parse(kind, *arguments), field)

    assert value() == getattr(kind(), field)
    expected = tuple(in_file) if isinstance(in_file, list) else Path(in_file) if wanted is Path else in_file
    assert value("--config", str(file)) == expected
    monkeypatch.setenv(variable, in_environment)
    assert value("--config", str(file)) != expected
    assert value("--config", str(file), flag) == by_flag == value(flag)


def test_a_file_may_use_tables_dashes_and_the_names_of_flags(parse: Parse, tmp_path: Path) -> None:
    file = tmp_path / "options.toml"
    file.write_text(
        "run = 'all'\nlock-timeout = 3\n[train]\nbias-l2 = 2\n[recommend]\ntop = 4\n[download]\nfrom = 'x'\n"
    )
    trained = parse(TrainConfig, "--config", str(file))
    assert (trained.run, trained.lock_timeout, trained.bias_l2) == ("all", 3, 2)
    recommended = parse(RecommendConfig, "--config", str(file))
    assert (recommended.run, recommended.n) == ("all", 4)
    assert parse(DownloadConfig, "--config", str(file)).source == Path("x")


def test_the_table_of_the_command_wins_over_the_top(parse: Parse, tmp_path: Path) -> None:
    file = tmp_path / "options.toml"
    file.write_text("seed = 1\n[train]\nseed = 2\n")
    assert parse(TrainConfig, "--config", str(file)).seed == 2
    assert parse(PrepareConfig, "--config", str(file)).seed == 1


def test_a_preset_is_below_everything_that_was_said(parse: Parse, tmp_path: Path) -> None:
    file = tmp_path / "options.toml"
    file.write_text("preset = 'article'\nepochs = 7\n")
    config = parse(TrainConfig, "--config", str(file), "--batch", "64")
    assert (config.factors, config.epochs, config.batch, config.biases) == (100, 7, 64, False)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("foo = 1", "no option or command is called 'foo'"),
        ("[nonsense]\nepochs = 1", "no option or command is called 'nonsense'"),
        ("train = 1", "no option or command is called 'train'"),
        ("[train]\nuser = ['1']", "train has no option 'user'"),
        ("[train]\nepochs = 'x'", "--epochs: 'x' is not what it takes"),
        ("[train]\nepochs = 1.5", "--epochs: 1.5 is not what it takes"),
        ("[train]\nepochs = true", "--epochs: True is not what it takes"),
        ("[train]\nbiases = 1", "--biases: 1 is not what it takes"),
        ("[train]\nepochs = [1]", "--epochs: .* is not what it takes"),
        ("[train]\nepochs = {a = 1}", "--epochs: .* is not what it takes"),
        ("[train]\npreset = ['article']", "--preset: .* is not what it takes"),
        ("[train]\npreset = 'other'", "--preset: 'other' is not one of article"),
        ("[train]\nrun = '../x'", r"--run: '\.\./x' is no name"),
        ("[train]\nlr = nan", "--lr: nan is not a finite number"),
        ("[train]\nlr = 2024-01-01", "--lr: .* is not what it takes"),
        ("[train", "Expected .]. at the end"),
        ("a = " + "[" * 5000, "recursion"),
        ("\xff", "utf-8"),
    ],
)
def test_what_a_file_cannot_say_is_a_usage_error(parse: Parse, tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "options.toml"
    file.write_bytes(content.encode("latin-1"))
    with pytest.raises(UsageError, match=message):
        parse(TrainConfig, "--config", str(file))


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


def _out_of_range() -> Iterator[tuple[type[Config], str, float]]:
    for kind in KINDS:
        hints = typing.get_type_hints(kind)
        for f in dataclasses.fields(kind):
            rule, types = info(f), (hints[f.name], *typing.get_args(hints[f.name]))
            if float in types:
                yield from ((kind, f.name, bad) for bad in (math.nan, math.inf, -math.inf))
            step = 1 if int in types else 1e-9
            if rule.minimum is not None:
                yield kind, f.name, rule.minimum - step
            if rule.maximum is not None:
                yield kind, f.name, rule.maximum + step
            yield from ((kind, f.name, bound) for bound in (rule.above, rule.below) if bound is not None)


@pytest.mark.parametrize(("kind", "field", "value"), [*_out_of_range()])
def test_no_number_outside_its_range_gets_through(kind: type[Config], field: str, value: float) -> None:
    with pytest.raises(UsageError, match=r"--[a-z0-9-]+: "):
        kind(**{field: value})


@pytest.mark.parametrize("kind", KINDS)
def test_every_number_has_a_lower_bound(kind: type[Config]) -> None:
    """But for the rating from which an item is relevant: ratings may be negative."""
    hints = typing.get_type_hints(kind)
    for f in dataclasses.fields(kind):
        if {int, float} & {hints[f.name], *typing.get_args(hints[f.name])} and f.name != "relevant":
            assert info(f).minimum is not None or info(f).above is not None, f.name


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


@pytest.mark.parametrize("kind", KINDS)
def test_a_recorded_config_makes_the_same_config_again(kind: type[Config]) -> None:
    config = kind()
    assert kind.from_mapping(json.loads(json.dumps(config.recorded()))) == config


@pytest.mark.parametrize("kind", KINDS)
def test_unknown_keys_are_refused(kind: type[Config]) -> None:
    with pytest.raises(UsageError, match="no option is called 'nonsense'"):
        kind.from_mapping({"nonsense": 1})
