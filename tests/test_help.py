"""Help: every command and every option is explained, with the numbers or the words that it takes."""

import functools
import re
import tomllib
from pathlib import Path

import pytest

from mfcli.config.common import Config
from mfcli.option import Option
from tests.conftest import Parse, run_mfcli

KINDS = {kind.command: kind for kind in Config.__subclasses__()}


@functools.cache
def help_of(command: str) -> str:
    """What ``--help`` prints, as one line: without frames, the columns of its table one after the other."""
    done = run_mfcli(*command.split(), "--help", env={"COLUMNS": "250"})
    assert (done.returncode, done.stderr) == (0, "")
    return " ".join(re.sub("[│╭╮╰╯─]", " ", done.stdout).split())


OPTIONS = [(command, option) for command, kind in KINDS.items() for option in kind.options()]


@pytest.mark.parametrize(("command", "option"), OPTIONS, ids=lambda part: getattr(part, "name", part))
def test_every_option_is_explained_with_its_range_or_choices(command: str, option: Option) -> None:
    text = help_of(command)
    assert re.search(rf"(^| ){re.escape(option.flag)}(,| |$)", text), option.flag
    assert option.opt.help in text
    assert re.match(r"[A-Z'].*[.]$", option.opt.help) or option.choices, "a sentence, or what each choice is"
    for word in filter(None, (option.off_flag, option.opt.short, option.opt.range, option.opt.metavar)):
        assert f" {word} " in text
    assert "|".join(option.choices) in text
    for value in option.opt.only:
        assert f"{', '.join(option.opt.only)}: {option.opt.help}" in text, value
    heading = KINDS[command].panel(option)
    assert heading is None or text.index(f" {heading} ") < text.index(option.opt.help)


@pytest.mark.parametrize("command", ["", *KINDS])
def test_what_takes_no_value_shows_none_and_no_value_is_called_by_its_type(command: str) -> None:
    assert re.findall(r"<(?:bool|int|float|path)>|\S* <str>", help_of(command)) in ([], ["NAME <str>"])


@pytest.mark.parametrize("command", KINDS)
def test_what_was_called_otherwise_is_shown_by_its_new_name_alone(command: str) -> None:
    for option in KINDS[command].options():
        if option.opt.formerly:
            assert f"--{option.opt.formerly} " not in help_of(command)


def test_the_first_help_names_every_command_and_what_it_does() -> None:
    for command in KINDS:
        assert re.search(rf" {command} [A-Z][^.]+\.", help_of(""))


def test_no_command_but_help() -> None:
    """As --help, and nothing is wrong."""
    bare = run_mfcli(env={"COLUMNS": "250"})
    assert (bare.returncode, bare.stderr) == (0, "")
    assert bare.stdout.split() == run_mfcli("--help", env={"COLUMNS": "250"}).stdout.split()


def test_the_first_help_names_the_variables_that_serve_all_commands() -> None:
    shared = {f"MFCLI_{option.name.upper()}" for _, option in OPTIONS if option.opt.shared}
    named = set(re.findall(r"MFCLI_[A-Z_]+", help_of("")))
    assert named == shared | {"MFCLI_TRAIN_EPOCHS", "MFCLI_CONFIG", "MFCLI_JSON", "MFCLI_QUIET"}


@pytest.mark.parametrize("kind", KINDS.values())
def test_headings_are_over_options_that_there_are(kind: type[Config]) -> None:
    names = [name for base in (kind, Config) for names in vars(base).get("panels", {}).values() for name in names]
    assert len(names) == len(set(names))
    assert {kind.option(name).name for name in names} == set(names)


@pytest.mark.parametrize("command", KINDS)
def test_every_help_has_examples_whose_options_are_right(parse: Parse, command: str) -> None:
    text = help_of(command).partition(" Variables: ")[0]
    examples = re.findall(rf"\$ mfcli {command}((?: [^$ ]+)*)", text)
    assert len(examples) >= 2
    for example in examples:
        parse(KINDS[command], *example.split())


@pytest.mark.parametrize("command", ["", *KINDS])
def test_every_help_says_where_more_is_told(command: str) -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert help_of(command).endswith(f"Documentation: {project['urls']['Documentation']}")


@pytest.mark.parametrize("command", KINDS)
def test_every_help_names_variables_that_there_are(command: str) -> None:
    told = re.search(r"Variables: (\w+) is (--[a-z-]+),", help_of(command))
    assert told is not None
    variable, flag = told.groups()
    (option,) = (option for option in KINDS[command].options() if option.flag == flag)
    assert variable == f"MFCLI_{command}_{option.name}".upper()
    shared = {f"MFCLI_{option.name.upper()}" for option in KINDS[command].options() if option.opt.shared}
    assert shared | {variable} == set(re.findall(r"MFCLI_[A-Z_]+", help_of(command)))


@pytest.mark.parametrize("command", KINDS)
def test_what_is_seldom_needed_comes_last(command: str) -> None:
    text = help_of(command)
    assert max(text.index(f" {flag} ") for flag in flags(command)) == text.index(" --lock-timeout ")


def flags(command: str) -> list[str]:
    return ["--json", "--quiet", "--config", "--print-config", *(o.flag for o in KINDS[command].options())]


# ── what the shell completes ─────────────────────────────────────────────────────────────────────────────────────────


def completed(words: str, cwd: Path) -> list[str]:
    """What a tab behind these words gives in bash."""
    environment = {
        "_MFCLI_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    return run_mfcli(env=environment, cwd=cwd).stdout.split()


def test_the_shell_completes_choices_runs_and_data_sets(finished: Path, tmp_path: Path) -> None:
    assert completed("mfcli train --solver ", tmp_path) == ["adam", "als", "gibbs", "ials"]
    assert completed("mfcli train --solver a", tmp_path) == ["adam", "als"]
    assert completed("mfcli download ml-1", tmp_path) == ["ml-100k", "ml-10m", "ml-1m"]
    assert completed("mfcli prepare ", tmp_path) == []
    assert completed("mfcli prepare ", finished.parent) == ["synthetic"]
    for option in ("--run", "--against", "--no-worse-than", "--promote"):
        assert "default" in completed(f"mfcli evaluate {option} ", finished.parent)
    for option in ("--run", "--refit", "--warm-start"):
        assert "default" in completed(f"mfcli train {option} d", finished.parent)
    assert completed("mfcli recommend --format j", tmp_path) == ["json", "jsonl"]
    assert "default" in completed(f"mfcli plot --dir {finished} --compare d", tmp_path)
