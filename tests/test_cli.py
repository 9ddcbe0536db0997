"""The command as a shell uses it: pipes, closed and full streams, bare environments, JSON, quiet."""

import ctypes
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import Result, Runner, clean_environment

MFCLI = f"{sys.executable} -m mfcli"
CAP_DAC_OVERRIDE = 1
PR_CAPBSET_DROP = 24


def shell(script: str, cwd: Path, **environment: str) -> Result:
    """Run a bash script; MFCLI in it is the command."""
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script.replace("MFCLI", MFCLI)],
        cwd=cwd,
        env=clean_environment(**environment),
        capture_output=True,
        text=True,
        timeout=60,
    )


# ── pipes and streams ────────────────────────────────────────────────────────────────────────────────────────────────


SOME, MANY = "--user 1", "--all-users -n 80 --include-seen"


@pytest.mark.parametrize(
    ("kind", "whom"), [("csv", SOME), ("csv", MANY), ("table", MANY), ("jsonl", MANY), ("json", MANY)]
)
def test_head_gets_its_lines_and_no_traceback(artifacts: Path, kind: str, whom: str) -> None:
    done = shell(f"MFCLI recommend {whom} --format {kind} | head -3", artifacts.parent)
    assert done.returncode in (0, 141)
    assert done.stderr == ""
    assert done.stdout.count("\n") == 3


@pytest.mark.parametrize("command", ["recommend --user 1", "recommend --user 1 --format csv", "--help"])
@pytest.mark.parametrize(("stdout", "reason"), [(">&-", "Bad file descriptor"), (">/dev/full", "No space left")])
def test_a_standard_output_that_takes_nothing_is_one_line(
    artifacts: Path, command: str, stdout: str, reason: str
) -> None:
    done = shell(f"MFCLI {command} {stdout}", artifacts.parent)
    assert done.returncode == 3
    assert done.stderr.startswith(f"mfcli: error: standard output: {reason}")
    assert done.stderr.count("\n") == 1


def test_a_promotion_that_cannot_be_shown_is_told(artifacts: Path) -> None:
    shutil.copytree(artifacts / "runs/default", artifacts / "runs/candidate")
    done = shell("MFCLI evaluate -q --json --run candidate --promote default >/dev/full", artifacts.parent)
    assert (done.returncode, done.stderr) == (
        3,
        "mfcli: error: standard output: No space left on device: the result is not shown, "
        "but run 'candidate' is run 'default' now\n",
    )
    assert (artifacts / "runs/default.previous").exists()


def test_nobody_needs_to_listen(artifacts: Path) -> None:
    assert shell("MFCLI prepare 2>&- >/dev/null <&-", artifacts.parent).returncode == 0
    assert shell("MFCLI prepare 2>/dev/full | tail -1", artifacts.parent).returncode == 0
    assert shell("MFCLI evaluate -q --max-rmse 0 2>/dev/full", artifacts.parent).returncode == 7
    assert shell("MFCLI recommend --users-from - <&- 2>&-", artifacts.parent).returncode == 4


def test_a_pipe_is_read_and_written(artifacts: Path) -> None:
    done = shell(
        "printf '1\\n2\\n' | MFCLI recommend --users-from - -n 1 --format csv --output /dev/stdout | cat",
        artifacts.parent,
    )
    assert [line.split(",")[0] for line in done.stdout.splitlines()] == ["user", "1", "2"]


# ── environments ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("environment", ["env -i", "env HOME=/dev/null LC_ALL=C"])
def test_it_needs_no_environment(artifacts: Path, environment: str) -> None:
    done = shell(f"{environment} MFCLI prepare", artifacts.parent)
    assert done.returncode == 0, done.stderr
    assert "█" in done.stdout


def test_a_plain_ascii_locale_gets_utf_8_all_the_same(artifacts: Path, process: Runner) -> None:
    done = process("prepare", env={"PYTHONIOENCODING": "ascii"}, encoding="utf-8")
    assert done.returncode == 0
    assert "█" in done.stdout


def test_a_variable_that_no_option_has_is_a_warning(artifacts: Path, process: Runner) -> None:
    done = process("evaluate", env={"MFCLI_EVALUTE_TOP": "3", "MFCLI_EVALUATE_TOP": "3", "MFCLI_NONSENSE": ""})
    assert done.returncode == 0
    assert "top 3" in done.stdout
    assert [line for line in done.stderr.splitlines() if "MFCLI_" in line] == [
        "warning: no option has the variable MFCLI_EVALUTE_TOP (is MFCLI_EVALUATE_TOP meant?)",
        "warning: no option has the variable MFCLI_NONSENSE",
    ]
    assert process("evaluate", "-q", env={"MFCLI_EVALUTE_TOP": "3"}).stderr == ""


@pytest.fixture
def read_only(artifacts: Path) -> Iterator[Path]:
    """Artifacts that nobody may change."""
    folders = [artifacts, *(p for p in artifacts.rglob("*") if p.is_dir())]
    for folder in folders:
        folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    yield artifacts
    for folder in folders:
        folder.chmod(stat.S_IRWXU)


def _obey_permissions() -> None:
    """Also as root, who may otherwise write everywhere."""
    if os.geteuid() == 0:
        ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0)


def test_a_read_only_folder_can_be_served_from_but_not_written_to(read_only: Path, process: Runner) -> None:
    served = process("recommend", "--user", 1, "--format", "csv", preexec_fn=_obey_permissions)
    assert served.returncode == 0, served.stderr
    judged = process("evaluate", preexec_fn=_obey_permissions)
    assert judged.returncode == 0
    assert "run 'default'" in judged.stdout
    assert "the result is not kept in" in judged.stderr
    for command in (("prepare", "-q"), ("recommend", "--user", 1, "--save")):
        done = process(*command, preexec_fn=_obey_permissions)
        assert (done.returncode, done.stdout) == (3, "")
        assert "Permission denied" in done.stderr
        assert done.stderr.count("\n") == 1


# ── what is printed ──────────────────────────────────────────────────────────────────────────────────────────────────


COMMANDS = {
    "download": "download synthetic --users 120 --items 80 --ratings 3000 --rank 2",
    "prepare": "prepare",
    "train": "train --epochs 2 --factors 2",
    "evaluate": "evaluate --top 3",
    "plot": "plot --dpi 30",
    "recommend": "recommend --user 1",
}


@pytest.fixture(scope="module")
def printed(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Result]]:
    """What every command prints with --json and with -q."""

    def chain(how: str) -> dict[str, Result]:
        folder = tmp_path_factory.mktemp("printed")
        shutil.copytree(finished, folder / "artifacts")
        return {name: shell(f"MFCLI {line} {how}", folder) for name, line in COMMANDS.items()}

    with ThreadPoolExecutor() as both:
        json, quiet = both.map(chain, ("--json", "-q"))
    return {name: {"--json": json[name], "-q": quiet[name]} for name in COMMANDS}


@pytest.mark.parametrize("command", COMMANDS)
def test_json_is_one_document_and_nothing_else(printed: dict[str, dict[str, Result]], command: str) -> None:
    done = printed[command]["--json"]
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document
    assert done.stdout.endswith("\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_quiet_leaves_only_what_was_asked_for(printed: dict[str, dict[str, Result]], command: str) -> None:
    done = printed[command]["-q"]
    assert (done.returncode, done.stderr) == (0, "")
    assert (done.stdout == "") == (command != "recommend")


def test_training_says_a_plain_line_an_epoch_where_there_is_no_terminal(printed: dict[str, dict[str, Result]]) -> None:
    lines = printed["train"]["--json"].stderr.splitlines()
    told = [["epoch", "1/2"], ["epoch", "2/2"], ["learning", "exposure:"], ["this", "replaces"]]
    assert [line.split()[:2] for line in lines] == told
    assert "\x1b" not in "".join(lines)


def test_the_catalogue_is_one_json_document(process: Runner, tmp_path: Path) -> None:
    names = {entry["name"] for entry in json.loads(process("download", "--list", "--json").stdout)}
    assert {"ml-latest-small", "ml-100k", "ml-1m", "ml-10m", "ml-20m", "ml-25m", "ml-32m"} < names
    assert not list(tmp_path.iterdir())


TITLE = 'A [rec] (2007) [/b] :smile: [red]é, "x"'


@pytest.fixture
def odd_titles(tmp_path: Path, process: Runner) -> Path:
    """A model of two items whose titles look like markup."""
    rows = [f"{user},{item},{1 + user * item % 5}" for user in range(1, 30) for item in (1, 2)]
    (tmp_path / "own.csv").write_text("\n".join(["user,item,rating", *rows]) + "\n")
    quoted = TITLE.replace('"', '""')
    (tmp_path / "items.csv").write_text(f'item,title,genres\n1,"{quoted}",[Drama]\n2,"{quoted}",[Drama]\n')
    for command in ("prepare --ratings own.csv --items items.csv", "train --epochs 1 --factors 1"):
        done = process(*command.split(), "-q")
        assert done.returncode == 0, done.stderr
    return tmp_path


def test_titles_are_printed_as_they_are(odd_titles: Path, process: Runner) -> None:
    plain = process("recommend", "--user", 1, "--include-seen").stdout
    assert plain.count(TITLE) == 2
    assert plain.count("[Drama]") == 2
    found = json.loads(process("recommend", "--user", 1, "--include-seen", "--json").stdout)
    assert [row["title"] for row in found] == [TITLE, TITLE]


def test_a_narrow_table_says_what_is_what(artifacts: Path, mfcli: Runner) -> None:
    judged = mfcli("evaluate", "--top", 3, env={"COLUMNS": "40"})
    assert (judged.returncode, "…" in judged.stdout) == (0, False)
    assert all(f" {name} " in judged.stdout for name in ("run 'default'", "biases alone", "training mean"))
    listed = mfcli("recommend", "--user", 1, "-n", 3, env={"COLUMNS": "40"})
    table, missing = listed.stdout.split("Too wide to show: ")
    assert [word in table for word in ("title", "rating", "score", "genres")] == [True, True, True, False]
    assert missing.startswith("genres. A wider")


@pytest.mark.parametrize("columns", ["0", "x", "60"])
def test_columns_is_respected_where_it_is_a_width(artifacts: Path, process: Runner, columns: str) -> None:
    done = process("recommend", "--user", 1, env={"COLUMNS": columns})
    assert done.returncode == 0, done.stderr
    widest = max(map(len, done.stdout.splitlines()))
    assert widest <= 60 if columns == "60" else widest > 0
