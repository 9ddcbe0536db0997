"""What the README prints works: its commands, its cron line, its CI job, its tables."""

import itertools
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import mfcli
from mfcli.cli.app import app
from mfcli.errors import EXIT_CODES
from tests.conftest import Result, Runner, clean_environment, run_mfcli, run_python
from tests.test_layers import LAYERS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def block(name: str) -> str:
    """The code block behind the comment <!-- name -->."""
    found = re.search(rf"<!-- {re.escape(name)} -->\n+```\w*\n(.*?)```", README, re.DOTALL)
    assert found, f"no block '{name}'"
    return found[1]


def shell(script: str, cwd: Path, **env: str) -> Result:
    """Run it as bash would, with this environment's ``mfcli`` on the PATH."""
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    script = f"set -euo pipefail\n{script}"
    environment = clean_environment(PATH=path, **env)
    return subprocess.run(["bash", "-c", script], cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)


def commands_of(line: str) -> str:
    """The mfcli commands of a set-up line, behind what installs."""
    return line[line.index("mfcli ") :]


def test_the_first_set_up_command_ends_with_recommendations(tmp_path: Path) -> None:
    (line,) = block("run").splitlines()
    done = shell(commands_of(line), tmp_path)
    assert done.returncode == 0, done.stderr
    assert "oracle" in done.stdout
    assert done.stdout.count("\n  1 ") or re.search(r"^ +1 +\d+ +The ", done.stdout, re.MULTILINE)


def test_the_second_set_up_command_installs_what_the_tests_need() -> None:
    (line,) = block("test").splitlines()
    assert "'.[test]'" in line
    assert line.endswith("pytest")
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["test"]
    assert {re.split(r"[>=<]", n)[0] for n in needed} >= {"hypothesis", "mypy", "pytest", "ruff"}


def test_the_chain_on_movielens(tmp_path: Path, real_data: Path) -> None:
    source = str(real_data / "ml-latest-small.zip")
    done = shell(block("chain"), tmp_path, MFCLI_DOWNLOAD_FROM=source)
    assert done.returncode in (0, 141), done.stderr  # head may be gone before all users are written
    assert "Traceback" not in done.stderr
    assert done.stdout.splitlines()[-3] == "user,rank,item,title,genres,prediction,score,ranked_by"


def test_the_chain_on_ones_own_ratings(tmp_path: Path, finished: Path) -> None:
    shutil.copy(finished / "raw/synthetic/ratings.csv", tmp_path / "ratings.csv")
    shutil.copy(finished / "raw/synthetic/movies.csv", tmp_path / "items.csv")
    done = shell(block("own"), tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["torchrun", "slurm"])
def test_commands_for_several_processes_are_commands_of_ours(name: str, mfcli: Runner) -> None:
    """That torchrun runs ``-m -- mfcli``: tests/test_ranks.py."""
    lines = [line for line in block(name).splitlines() if "-m -- mfcli" in line]
    assert lines
    for line in lines:
        done = mfcli(*shlex.split(line.partition("-m -- mfcli")[2]), "--print-config")
        assert done.returncode == 0, done.stderr


def test_features_of_ones_own_files(tmp_path: Path, finished: Path) -> None:
    for name, ours in (("ratings", "ratings"), ("movies", "items"), ("users", "users")):
        shutil.copy(finished / f"raw/synthetic/{name}.csv", tmp_path / f"{ours}.csv")
    done = shell(block("features"), tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"user features +age 6, gender 2 \(\d+ of \d+ users\)", done.stdout)
    assert re.search(r"item features +genres 12, year \d+ \(", done.stdout)


def test_what_recommend_can_do(tmp_path: Path, finished: Path) -> None:
    (tmp_path / "artifacts").symlink_to(finished)
    done = shell(block("modes"), tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("user new, ranked by likely\n")
    assert "1,2," in done.stdout
    assert "similar to 1: " in done.stdout


def test_whether_a_new_model_is_better(tmp_path: Path, finished: Path) -> None:
    shutil.copytree(finished, tmp_path / "artifacts")
    done = shell(block("better"), tmp_path)
    assert done.returncode == 0, done.stderr
    for told in ("by rating\n", "The same ratings, differences by user\n", " NDCG@10 ", "5 folds of 3,000 ratings"):
        assert told in done.stdout


def test_clicks_of_either_kind(tmp_path: Path) -> None:
    pairs = [(user, item) for user in range(30, 60) for item in range(20) if (user * 7 + item * 3) % 5 < 2]
    for name, column in (("plays", "count"), ("ratings", "rating")):
        lines = [f"{user},{item},{1 + (user + item) % 5}" for user, item in pairs]
        (tmp_path / f"{name}.csv").write_text("\n".join([f"user,item,{column}", *lines]) + "\n")
    done = shell(block("clicks"), tmp_path)
    assert done.returncode == 0, done.stderr
    assert "weights " in done.stdout
    assert "RMSE" not in done.stdout
    assert "user 42, ranked by likely" in done.stdout


def python(name: str, cwd: Path) -> str:
    """What a block of Python prints."""
    done = run_python(block(name), cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_run_in_python_and_its_arrays_without_mfcli(finished: Path) -> None:
    text = python("python", finished.parent)
    assert re.search(r"user +item +prediction", text)
    assert "similarity" in text
    by_hand = float(python("arrays", finished.parent))
    assert by_hand == pytest.approx(mfcli.load(finished).predict(1, 1)["prediction"][0], abs=1e-5)


def test_the_cron_line(tmp_path: Path, finished: Path) -> None:
    minute, hour, *rest, command = block("cron").strip().split(maxsplit=5)
    assert (minute.isdigit(), hour.isdigit(), rest) == (True, True, ["*", "*", "*"])
    assert "%" not in command  # cron's own newline
    folder = re.match(r"cd (\S+) && ", command)
    assert folder
    shutil.copy(finished / "raw/synthetic/ratings.csv", tmp_path / "ratings.csv")
    done = shell(command.replace(folder[1], str(tmp_path), 1), tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert (tmp_path / "recommendations.csv").read_text().startswith("user,rank,item,")


def test_the_ci_job(tmp_path: Path, finished: Path) -> None:
    shutil.copy(finished / "raw/synthetic/ratings.csv", tmp_path / "ratings.csv")
    steps = re.findall(r"- run: (.*)", block("ci"))
    assert steps[0].startswith("pip install ")
    done = shell("\n".join(steps[1:]), tmp_path)
    assert done.returncode == 0, done.stderr


def test_every_exit_code_is_in_the_table() -> None:
    rows = re.findall(r"^\| (\d+) \| ([^|]+) \|$", README, re.MULTILINE)
    assert {int(code): meaning for code, meaning in rows} == EXIT_CODES


def test_every_command_is_named() -> None:
    commands = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    assert commands == {"download", "prepare", "train", "evaluate", "plot", "recommend"}
    for command in commands:
        assert f"`{command}`" in README


def test_pictures_and_links_are_addresses_of_files_that_exist() -> None:
    """A package index shows them only so."""
    repository = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Repository"]
    targets = re.findall(r"\]\(([^)]+)\)", README)
    assert len(targets) >= 3
    for target in targets:
        file = re.fullmatch(rf"{re.escape(repository)}/(raw|blob)/main/(\S+)", target)
        assert file, target
        assert (ROOT / file[2]).is_file()


def test_the_files_it_names_exist() -> None:
    named = re.findall(r"`((?:[a-z_]+/)*[a-z_]+(?:\.py|/))`", README.partition("## Where things are")[2])
    assert len(named) > 15
    for name in named:
        assert (ROOT / name).exists() or (ROOT / "mfcli" / name).exists(), name


def test_the_table_of_rooms_has_every_room_in_the_order_of_the_layers() -> None:
    rows = re.findall(r"^\| ((?:`[a-z_]+(?:\.py|/)` ?)+)\|", README, re.MULTILINE)
    rooms = [set(re.findall(r"`([a-z_]+)", row)) for row in rows]
    assert set().union(*rooms) == set().union(*LAYERS)
    layers = [{number for number, layer in enumerate(LAYERS) if layer & row} for row in rooms]
    assert all(min(upper) >= max(lower) for upper, lower in itertools.pairwise(layers))


def options_named() -> list[tuple[str, str]]:
    """Every (command, --option) that the README's command lines use."""
    lines = re.findall(r"mfcli (download|prepare|train|evaluate|plot|recommend)([^\n|&`]*)", README)
    return sorted({(command, flag) for command, rest in lines for flag in re.findall(r"(--[a-z0-9-]+)", rest)})


@pytest.mark.parametrize("command", sorted({command for command, _ in options_named()}))
def test_every_option_it_names_exists(command: str) -> None:
    text = run_mfcli(command, "--help", env={"COLUMNS": "200"}).stdout
    for name, flag in options_named():
        assert name != command or flag in text


def test_every_promise_names_tests_that_are_there() -> None:
    promises = README.split("## What we promise")[1].split("\n## ")[0]
    rows = [line for line in promises.splitlines() if line.startswith("| ")][2:]
    for row in rows:
        named = re.findall(r"`(tests/\w+\.py)`", row)
        assert named, row
        assert all((ROOT / name).is_file() for name in named), row
