"""Help: every command and every option is explained, with the numbers or the words that it takes."""

import functools
import re

import pytest

from mfcli.config import Config
from mfcli.option import Option
from tests.conftest import run_mfcli

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


@pytest.mark.parametrize("command", KINDS)
def test_what_was_called_otherwise_is_shown_by_its_new_name_alone(command: str) -> None:
    for option in KINDS[command].options():
        if option.opt.formerly:
            assert f"--{option.opt.formerly} " not in help_of(command)


def test_the_first_help_names_every_command_and_what_it_does() -> None:
    for command in KINDS:
        assert re.search(rf" {command} [A-Z][^.]+\.", help_of(""))
