"""The rooms of the code: which file may import which. Arrows run downwards only, and no files import in a circle."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import mfcli

ROOT = Path(mfcli.__file__).parent
LAYERS = (
    {"arrays", "errors", "ranks"},
    {"option", "progress", "signals", "terminal", "threads", "typed"},
    {"atomic", "options"},
    {"outputs"},
    {"config"},
    {"stage_file"},
    {"slot"},
    {"record"},
    {"stage"},
    {"artifacts", "checkpoint"},
    {"data"},
    {"models"},
    {"solvers", "figures", "serving"},
    {"judging"},
    {"training"},
    {"download", "prepare", "train", "evaluate", "plot", "recommend", "api"},
    {"cli"},
)
"""From the bottom to the top, files or folders of mfcli/. What stands side by side knows nothing of each other."""
ROOMS_OF = {"torch": {"solvers"}, "optuna": {"solvers"}, "matplotlib": {"figures", "plot"}}
"""Heavy libraries, and the only rooms that import them."""


def module(file: Path) -> str:
    return ".".join(("mfcli", *file.relative_to(ROOT).with_suffix("").parts))


def imports(file: Path) -> set[str]:
    """Full names of all modules that a file imports, at its top, in functions and for types."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: a relative import"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in OWN else str(node.module) for name in names}
    return found


FILES = [file for file in sorted(ROOT.rglob("*.py")) if file.stem not in ("__init__", "__main__")]
OWN = {module(file) for file in FILES}
GRAPH = {module(file): imports(file) for file in FILES}


def room(name: str) -> str:
    """The file or folder of mfcli/ that a module is, or is in."""
    return name.split(".")[1]


def layer(name: str) -> int:
    (found,) = (number for number, rooms in enumerate(LAYERS) if room(name) in rooms)
    return found


def test_every_file_has_its_place_in_a_layer() -> None:
    assert {room(name) for name in OWN} == set().union(*LAYERS)


@pytest.mark.parametrize("importer", sorted(OWN))
def test_imports_run_downwards_or_stay_in_the_room(importer: str) -> None:
    others = {name for name in GRAPH[importer] & OWN if room(name) != room(importer)}
    assert {name for name in others if layer(name) >= layer(importer)} == set()


def test_no_files_import_in_a_circle() -> None:
    TopologicalSorter({name: found & OWN for name, found in GRAPH.items()}).prepare()


@pytest.mark.parametrize("library", ROOMS_OF)
def test_heavy_libraries_stay_in_their_rooms(library: str) -> None:
    importers = {name for name, found in GRAPH.items() if any(one.split(".")[0] == library for one in found)}
    assert {room(name) for name in importers} <= ROOMS_OF[library]
