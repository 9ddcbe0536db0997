"""--print-config and --config: what one prints the other takes back; an option that holds one value is given once."""

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mfcli.cli.settings import read_settings, settings_toml
from mfcli.config.common import Config
from mfcli.config.plot import PlotConfig
from mfcli.config.train import TrainConfig
from mfcli.errors import UsageError
from mfcli.option import Interval, Option
from tests.conftest import Parse, Runner
from tests.test_config import KINDS, NEEDED

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=9)


def values(option: Option) -> st.SearchStrategy[Any]:
    """What an option can be given; None cannot be said."""
    one: st.SearchStrategy[Any] = TEXTS
    if option.choices:
        one = st.sampled_from(option.choices)
    elif option.opt.is_name:
        one = st.from_regex(r"[a-z][a-z0-9._-]{0,5}", fullmatch=True)
    elif option.kind is bool:
        one = st.booleans()
    elif option.kind in (int, float):
        interval = Interval(option.opt.range or "")
        low, high = max(interval.low, -1e9), min(interval.high, 1e9)
        numbers = st.integers(int(low), int(high)) if option.kind is int else st.floats(low, high)
        one = numbers.filter(lambda number: number in interval)
    elif option.kind is Path:
        one = TEXTS.map(Path)
    return st.lists(one, max_size=3).map(tuple) if option.several else one


@st.composite
def configs(draw: Callable[..., Any]) -> Config:
    """A config of any command with up to three options that are not at their defaults."""
    kind = draw(st.sampled_from(KINDS))
    config = kind(**NEEDED.get(kind, {}))
    for option in draw(st.lists(st.sampled_from(kind.options()), max_size=3)):
        said = {name: getattr(config, name) for name in config.explicit}
        try:
            config = kind(**said | {option.name: draw(values(option))})
        except UsageError:
            continue  # options that exclude each other
    return config


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("settings") / "options.toml"


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(config=configs())
def test_a_config_takes_back_what_was_printed_of_it(file: Path, config: Config) -> None:
    file.write_text(settings_toml(config), encoding="utf-8", newline="")
    assert config.from_mapping(read_settings(file, type(config))) == config


@pytest.mark.parametrize("kind", KINDS)
def test_every_command_prints_its_settings_and_does_nothing(mfcli: Runner, tmp_path: Path, kind: type[Config]) -> None:
    needed = ["--all-users"] if kind.command == "recommend" else []
    printed = mfcli(kind.command, *needed, "--print-config")
    assert (printed.returncode, printed.stderr) == (0, "")
    assert [*tmp_path.iterdir()] == []
    (table,) = tomllib.loads(printed.stdout).values()
    config = kind(**NEEDED.get(kind, {}))
    assert table == {o.name: o.plain(getattr(config, o.name)) for o in kind.options() if o.name in table}
    assert all(o.name in printed.stdout for o in kind.options() if config.uses(o))
    assert json.loads(mfcli(kind.command, *needed, "--print-config", "--json").stdout) == {kind.command: table}


def test_what_is_printed_is_in_force(
    mfcli: Runner, parse: Parse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.toml").write_text("seed = 5\n[train]\nsolver = 'als'\nrun = 'x'")
    printed = mfcli("train", "--config", "a.toml", "--run", "y", "--print-config", env={"MFCLI_TRAIN_PATIENCE": "3"})
    table = tomllib.loads(printed.stdout)["train"]
    assert (table["solver"], table["seed"], table["run"], table["patience"]) == ("als", 5, "y", 3)
    assert "batch" not in table, "als has no batches"


def test_the_options_of_a_run_are_taken_from_its_record(parse: Parse, artifacts: Path, mfcli: Runner) -> None:
    file = str(artifacts / "runs" / "default" / "stage.json")
    config = parse(TrainConfig, "--config", file, "--run", "again")
    assert (config.epochs, config.factors, config.run) == (4, 4, "again")
    assert parse(TrainConfig, "--config", file, "--epochs", "2").epochs == 2
    with pytest.raises(UsageError, match=rf"--config {file}: made by `mfcli train .*`, and holds no options of plot"):
        parse(PlotConfig, "--config", file)


def test_a_record_of_another_version_names_what_is_not_known(parse: Parse, tmp_path: Path) -> None:
    file = tmp_path / "stage.json"
    file.write_text(json.dumps({"command": "mfcli train", "config": {"epocs": 1}, "outputs": {}}))
    with pytest.raises(UsageError, match=r"stage.json: train has no option 'epocs' \(is epochs meant\?\)"):
        parse(TrainConfig, "--config", str(file))


@pytest.mark.parametrize(
    ("line", "flag"),
    [
        ("train --seed 3 --seed 3", "--seed"),
        ("train -e 3 --epochs 4", "--epochs"),
        ("train --biases --no-biases", "--biases"),
        ("plot -q --quiet", "--quiet"),
        ("evaluate --config a.toml --config b.toml", "--config"),
    ],
)
def test_an_option_with_one_value_is_given_once(mfcli: Runner, line: str, flag: str) -> None:
    done = mfcli(*line.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"mfcli: error: {flag} is given 2 times, and holds one value\n"


def test_an_option_with_several_values_may_be_given_again(mfcli: Runner) -> None:
    printed = mfcli("recommend", "--user", "1", "--user", "2", "--genre", "a", "--genre", "b", "--print-config")
    table = tomllib.loads(printed.stdout)["recommend"]
    assert (table["user"], table["genre"]) == (["1", "2"], ["a", "b"])
