"""What a command may import: a shell chain pays for every import at every link."""

from pathlib import Path

import pytest

from tests.conftest import SMALL, run_python

HEAVY = {"torch", "pandas", "sklearn", "matplotlib", "scipy"}


def imported(*arguments: str, cwd: Path) -> set[str]:
    """Modules that a process has imported by the end of a command that succeeded."""
    script = (
        "import sys; from mfcli.cli.app import run; code = run(sys.argv[1:]); "
        "print(*sys.modules, file=sys.stderr); sys.exit(code)"
    )
    done = run_python(script, *arguments, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize("arguments", [("--help",), ("train", "--help")])
def test_help_imports_nothing_that_computes(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    found = imported(*arguments, cwd=tmp_path)
    assert "mfcli" in found
    assert not found & (HEAVY | {"numpy", "pyarrow", "safetensors", "requests", "pooch"})


@pytest.mark.parametrize(
    "arguments",
    [
        ("recommend", "--user", "1"),
        ("recommend", "--all-users", "--format", "csv", "--why", "--genre", "comedy"),
        ("recommend", "--similar-to", "1", "--output", "a.parquet"),
        ("recommend", "--pairs", "pairs.csv"),
        ("evaluate", "--top", "5", "--json"),
    ],
)
def test_serving_a_model_imports_nothing_that_trains_or_draws(artifacts: Path, arguments: tuple[str, ...]) -> None:
    (artifacts.parent / "pairs.csv").write_text("user,item\n1,2\n")
    found = imported(*arguments, cwd=artifacts.parent)
    assert "numpy" in found
    assert not found & HEAVY


def test_a_list_for_a_user_imports_nothing_that_reads_files_of_ratings_or_writes_stages(artifacts: Path) -> None:
    found = imported("recommend", "--user", "1", cwd=artifacts.parent)
    unneeded = {"pyarrow.compute", "pyarrow.csv", "pyarrow.feather", "filelock", "numpy.ma"}
    assert not found & (unneeded | {"mfcli.data.form", "mfcli.data.titles", "mfcli.data.readers"})


@pytest.mark.parametrize("solver", ["adam", "als", "gibbs"])
def test_training_imports_no_compiler_and_nothing_that_draws(artifacts: Path, solver: str) -> None:
    passes = ("--burn-in", "1", "--samples", "1") if solver == "gibbs" else ("--epochs", "1")
    found = imported("train", "--solver", solver, *passes, "--json", cwd=artifacts.parent)
    assert "torch" in found
    assert not found & {"torch._dynamo", "sympy", "pandas", "sklearn", "matplotlib"}


@pytest.mark.parametrize("arguments", [("prepare",), ("download", "synthetic", *SMALL, "--force")])
def test_making_data_imports_nothing_that_trains_splits_or_draws(artifacts: Path, arguments: tuple[str, ...]) -> None:
    found = imported(*arguments, cwd=artifacts.parent)
    assert not found & {"torch", "sklearn", "matplotlib", "pandas"}
