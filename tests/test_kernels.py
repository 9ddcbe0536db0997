"""The compiled kernels, of every kind that this processor runs, against torch; and compiling them."""

import ctypes
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import mfcli
from mfcli.config.train import TrainConfig
from mfcli.data.ratings import Sides
from mfcli.data.training import TrainingData
from mfcli.errors import DivergedError
from mfcli.solvers.blocks import GATHERED, Blocks, cut_sides, less, longest_short
from mfcli.solvers.compiled import build, kernels
from mfcli.solvers.create import create
from mfcli.solvers.halves import Round
from mfcli.solvers.normals import Normals
from mfcli.solvers.priors import AnyPrior, CountedPrior, DiagonalPrior, Prior, l2_prior
from mfcli.solvers.solving import Solutions
from tests.conftest import run_python
from tests.planted import CPU, RowNormals, full_matrix, quietly, ratings_of, some_of

COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="there is no C compiler")
MINE = torch.backends.cpu.get_cpu_capability().lower()
ABLE = list(build.KINDS)[: list(build.KINDS).index(MINE) + 1] if MINE in build.KINDS else ["default"]
RATINGS = some_of(full_matrix(40, 400, 3, 0.3), 0.5)[0]
UNEVEN = RATINGS.take(np.random.default_rng(2).random(len(RATINGS)) < (RATINGS.users + 1) / 40)
"""From five ratings a user to more than are gathered at a time."""
SHORT = RATINGS.take(np.concatenate([np.flatnonzero(RATINGS.users == user)[: 40 - user] for user in range(24, 40)]))
"""From one to sixteen ratings of some users, none of the others."""


@pytest.fixture(params=ABLE)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    kind: str = request.param
    if not build.library(kind).exists():
        pytest.skip("not compiled")
    monkeypatch.setattr(kernels, "kind", lambda: kind)
    return kind


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def precision(d: int, seed: int) -> torch.Tensor:
    root = random(d, d, seed=seed)
    return root @ root.T / d + torch.eye(d)


Found = tuple[Solutions, torch.Tensor]
"""What a half comes to, and what each block leaves of squared errors."""


def both(
    monkeypatch: pytest.MonkeyPatch, blocks: Blocks, given: torch.Tensor, prior: AnyPrior, biased: bool, **options: Any
) -> tuple[Found, Found]:
    """A half by the kernels, and by torch."""

    def by(compiled: bool) -> Found:
        monkeypatch.setattr(kernels, "serve", lambda device: compiled)
        current = Round(Sides(blocks, blocks), biased, map, quietly)
        return current.half(blocks, given, prior, **options), current.tally.squared_errors[: len(blocks.blocks)]

    return by(True), by(False)


def assert_same(compiled: Found, torchs: Found, tolerance: float = 1e-4) -> None:
    (one, left), (other, torchs_left) = compiled, torchs
    assert float(one.rows.abs().max()) > 0.1
    for ours, theirs in zip(vars(one).values(), vars(other).values(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(left, torchs_left, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("k", [1, 2, 7, 8, 16, 21, 32, 64, 131])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("biased", [False, True])
def test_samples_are_those_of_torch(
    kind: str, k: int, weighted: bool, biased: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With means and precisions of noise of the rows' own, and with and without exact squared errors."""
    d = k + biased
    blocks = cut_sides(UNEVEN, d, less(3.0), CPU).users
    prior = Prior(precision(d, 1), random(40, d, seed=2), alpha=random(40, seed=3).abs() + 0.5)
    options = {
        "weights": random(400, seed=4).abs() + 0.2 if weighted else None,
        "normals": RowNormals(random(40, d, seed=5)),
    }
    for plain in (False, True):
        found = both(monkeypatch, blocks, random(400, d, seed=6) / 2, prior, biased, plain=plain, **options)
        assert_same(*found, tolerance=1e-3)
        assert not torch.equal(found[0][0].rows, found[0][0].means)


def test_solutions_are_those_of_torch(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With every kind of prior, and ratings that weigh what they are."""
    d, given = 20, random(400, 20, seed=1) / 2
    eye = torch.eye(d)
    priors = (
        Prior(eye, torch.zeros(d)),
        Prior(precision(d, 2), random(d, seed=3), alpha=2.0, by_root_count=True),
        CountedPrior(0.7, precision(d, 4), precision(d, 5) / 10, random(d, seed=6), eye, torch.ones(d)),
        CountedPrior(0.7, precision(d, 4), precision(d, 5) / 10, random(40, d, seed=6), eye, torch.ones(d)),
    )
    for weights in (None, lambda ratings: np.abs(ratings) + 0.1):
        blocks = cut_sides(UNEVEN, d, less(3.0), CPU, weights).users
        for prior in priors:
            assert_same(*both(monkeypatch, blocks, given, prior, True))


def with_covariance(d: int, seed: int, **options: Any) -> Prior:
    matrix = precision(d, seed)
    covariance = torch.linalg.inv(matrix)
    root = torch.linalg.cholesky(covariance) @ torch.linalg.qr(random(d, d, seed=seed + 1))[0]
    return Prior(matrix, covariance=covariance, covariance_root=root.contiguous(), **options)


@pytest.mark.parametrize("k", [2, 3, 8, 21, 32, 64, 131])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("biased", [False, True])
def test_samples_of_short_rows_are_those_of_torch(
    kind: str, k: int, weighted: bool, biased: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    d, weights = k + biased, random(400, seed=4).abs() + 0.2
    blocks = cut_sides(SHORT.take(SHORT.users >= 40 - longest_short(d)), d, less(3.0), CPU).users
    assert max(block.others.shape[1] for block in blocks.blocks) == longest_short(d)
    options = {"weights": weights if weighted else None, "normals": RowNormals(random(40, d + 16, seed=5))}
    for prior in (
        with_covariance(d, 1, mean=random(40, d, seed=2), alpha=random(40, seed=3).abs() + 0.5),
        with_covariance(d, 1, mean=random(d, seed=2), alpha=2.0, by_root_count=True),
    ):
        found = both(monkeypatch, blocks, random(400, d, seed=6) / 2, prior, biased, **options)
        assert_same(*found, tolerance=1e-3)


def test_solutions_for_short_rows_are_those_of_torch(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With every kind of prior, and ratings that weigh what they are."""
    d, given = 32, random(400, 32, seed=1) / 2
    axes, growth = torch.linalg.qr(random(d, d, seed=7))[0].contiguous(), random(d, seed=8).abs()
    each = axes @ torch.diag(growth) @ axes.T
    priors = (
        (True, l2_prior(31, 2.0, 3.0, torch.device("cpu"))),
        (True, CountedPrior(0.7, torch.eye(d), each, random(d, seed=6), axes, growth)),
        (True, CountedPrior(0.7, torch.eye(d), each, random(40, d, seed=6), axes, growth)),
        (False, DiagonalPrior(random(40, d, seed=9).abs() + 0.5)),
    )
    for weights in (None, lambda ratings: np.abs(ratings) + 0.1):
        blocks = cut_sides(SHORT, d, less(3.0), CPU, weights).users
        for biased, prior in priors:
            assert_same(*both(monkeypatch, blocks, given, prior, biased))


@pytest.mark.parametrize("k", [2, 8, 19, 64])
@pytest.mark.parametrize("weighted", [False, True])
def test_steps_are_those_of_torch(kind: str, k: int, weighted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = (lambda ratings: np.abs(ratings) + 0.1) if weighted else None
    blocks = cut_sides(UNEVEN, k, less(3.0), CPU, weights, by_steps=True).users
    prior = DiagonalPrior(random(40, k, seed=1).abs() + 0.5)
    assert_same(*both(monkeypatch, blocks, random(400, k) / 2, prior, False, begin=random(40, k, seed=2)))


def test_a_solved_row_steps_nowhere(kind: str) -> None:
    ratings = ratings_of([(0, item, 0.0) for item in range(40)], 1, 40)
    blocks = cut_sides(ratings, 4, less(0.0), CPU, by_steps=True).users
    current = Round(Sides(blocks, blocks), False, map, quietly)
    found = current.half(blocks, random(40, 4), DiagonalPrior(torch.ones(1, 4)), begin=torch.zeros(1, 4))
    np.testing.assert_array_equal(found.rows, np.zeros((1, 4)))
    assert float(found.weighted_errors) == 0


def test_a_row_is_solved_alike_in_any_block(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the last bit, whatever rows are in its block."""
    given, found = random(400, 9), []
    for numbers in (300, 2**20):
        monkeypatch.setitem(GATHERED, "cpu", numbers)
        blocks = cut_sides(UNEVEN, 9, less(3.0), CPU).users
        current = Round(Sides(blocks, blocks), True, map, quietly)
        found.append((len(blocks.blocks), current.half(blocks, given, Prior(torch.eye(9), torch.zeros(9)))))
    (few, one), (many, other) = sorted(found, key=lambda each: each[0])
    assert few < many
    assert torch.equal(one.rows, other.rows)


@pytest.mark.parametrize("spoilt", [float("nan"), float("inf"), 1e30])
@pytest.mark.parametrize("short", [False, True])
def test_equations_without_a_solution_are_an_error(kind: str, spoilt: float, short: bool) -> None:
    prior = with_covariance(32, 1, mean=torch.zeros(32)) if short else Prior(torch.eye(32), torch.zeros(32))
    blocks = cut_sides(SHORT if short else RATINGS, 32, less(3.0), CPU).users
    with pytest.raises(DivergedError, match="no solution in finite numbers"):
        Round(Sides(blocks, blocks), False, map, quietly).half(blocks, torch.full((400, 32), spoilt), prior)


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("short", [False, True])
def test_what_is_no_number_stays_none(kind: str, plain: bool, short: bool) -> None:
    nan = torch.full((32,), torch.nan)
    ratings, prior = (SHORT, with_covariance(32, 1, mean=nan)) if short else (RATINGS, Prior(torch.eye(32), nan))
    users = np.unique(ratings.users)
    blocks = cut_sides(ratings, 32, less(3.0), CPU).users
    current = Round(Sides(blocks, blocks), True, map, quietly)
    found = current.half(blocks, random(400, 32), prior, weights=torch.ones(400), plain=plain)
    assert bool(found.rows.isnan().all())
    assert bool(found.weighted_errors[users].isnan().all())
    told = current.tally.squared_errors[: len(blocks.blocks)]
    assert bool(told[[block.others.shape[1] > 0 for block in blocks.blocks]].isnan().all())


def test_tensors_that_c_would_misread_are_refused(kind: str) -> None:
    blocks = cut_sides(RATINGS, 4, less(3.0), CPU).users
    current = Round(Sides(blocks, blocks), False, map, quietly)
    for prior in (
        Prior(torch.eye(4).double(), torch.zeros(4).double()),
        Prior(torch.eye(4), torch.zeros(4), alpha=torch.ones(3)),
        Prior(precision(8, 0)[::2, ::2], torch.zeros(4)),
    ):
        with pytest.raises(TypeError, match="in place of"):
            current.half(blocks, random(400, 4), prior)


def test_without_memory_the_kernels_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "kind", lambda: "default")
    monkeypatch.setattr(kernels, "serve", lambda device: True)
    monkeypatch.setattr(kernels, "_loaded", lambda kind: {"solve_long": lambda problem: kernels.NO_MEMORY})
    blocks = cut_sides(RATINGS, 3, less(3.0), CPU).users
    with pytest.raises(MemoryError):
        Round(Sides(blocks, blocks), False, map, quietly).half(
            blocks, random(400, 3), Prior(torch.eye(3), torch.zeros(3))
        )


@pytest.mark.parametrize("name", ["als", "gibbs", "ials"])
def test_a_model_is_as_good_without_kernels(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing was compiled, torch computes: other last bits, the same predictions but for those."""
    train, rest = some_of(full_matrix(60, 50, 2, 0.3), 0.7)
    if name == "ials":
        train = replace(train, ratings=np.ones_like(train.ratings))
    passes = {"burn_in": 5, "samples": 5} if name == "gibbs" else {"epochs": 5}
    assert kernels.kind() is not None or COMPILER is None
    config, told = TrainConfig(solver=name, factors=4, **passes), []
    monkeypatch.setattr(Normals, "of", lambda drawn, block, columns: RowNormals.of_seed(drawn.seed).of(block, columns))
    for serve in (kernels.serve, lambda device: False):
        monkeypatch.setattr(kernels, "serve", serve)
        solver = create(config, TrainingData(train, None, Sides(None, None)), CPU)
        for _ in range(solver.epochs):
            solver.run_epoch(quietly)
        told.append(solver.model().predict(rest.users, rest.items, clip=False))
    np.testing.assert_allclose(*told, rtol=1e-3, atol=1e-3)


# ── compiling ────────────────────────────────────────────────────────────────────────────────────────────────────────


@needs_compiler
def test_the_kernels_in_place_are_of_these_sources() -> None:
    """Where not, `pip install -e .` or `python -m mfcli.solvers.compiled.build` compiles them."""
    assert kernels.kind() == ABLE[-1]


@needs_compiler
def test_what_is_compiled_takes_the_place_of_what_was(tmp_path: Path) -> None:
    old = build.library("default", tmp_path)
    old = old.with_name(old.name.replace(old.name.split("-")[1], "0123456789ab"))
    old.write_bytes(b"old")
    built = build.build(tmp_path)
    assert built == [build.library(kind, tmp_path) for kind in build.kinds()]
    assert sorted(tmp_path.iterdir()) == sorted(built)
    assert all(ctypes.CDLL(str(path)).solve_long for path in built)


@pytest.mark.skipif(len(build.kinds()) == 1 or COMPILER is None, reason="no compiler for several kinds")
def test_a_compiler_that_knows_not_all_kinds_compiles_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "old compiler"
    old.write_text(f'#!/bin/sh\ncase "$*" in *avx512f*) exit 1;; esac\nexec {COMPILER} "$@"\n')
    old.chmod(0o755)
    monkeypatch.setenv("CC", f"'{old}'")
    assert build.build(tmp_path) == [build.library(kind, tmp_path) for kind in ("default", "avx2")]


@needs_compiler
def test_the_compiler_has_nothing_to_warn_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", f"{COMPILER} -Werror")
    assert build.build(tmp_path) == [build.library(kind, tmp_path) for kind in build.kinds()]


def test_without_a_compiler_nothing_is_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OSError, match="no C compiler"):
        build.build(tmp_path)
    monkeypatch.setenv("CC", "/no/such/compiler")
    with pytest.raises(OSError, match="/no/such/compiler"):
        build.build(tmp_path)


@pytest.mark.parametrize("compiler", [pytest.param(None, marks=needs_compiler), "false", "no 'command"])
def test_a_wheel_is_of_this_platform_or_without_kernels(tmp_path: Path, compiler: str | None) -> None:
    root = Path(mfcli.__file__).parents[1]
    for name in ("mfcli", "hatch_build.py", "pyproject.toml", "README.md", "LICENSE"):
        copy = shutil.copytree if (root / name).is_dir() else shutil.copy
        copy(root / name, tmp_path / name)
    for stale in (tmp_path / "mfcli").rglob("*.so"):
        stale.unlink()
    variables = os.environ | ({} if compiler is None else {"CC": compiler})
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "out"]
    done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = (tmp_path / "out").iterdir()
    with zipfile.ZipFile(wheel) as file:
        libraries = {Path(name).name for name in file.namelist() if name.endswith(".so")}
    if compiler is None:
        assert wheel.name.startswith(f"mfcli-{mfcli.__version__}-py3-none-")
        assert "any" not in wheel.name
        assert libraries == {build.library(kind).name for kind in build.kinds()}
    else:
        assert wheel.name == f"mfcli-{mfcli.__version__}-py3-none-any.whl"
        assert not libraries
        assert "without compiled kernels" in done.stderr + done.stdout


def test_libraries_that_the_system_does_not_take_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of another machine, say, or cut short; and none where the sources are not."""
    monkeypatch.setattr(build, "HERE", tmp_path)
    for clear in (build._digest.cache_clear, kernels._loaded.cache_clear, kernels.kind.cache_clear):
        clear()
    try:
        assert kernels.kind() is None
        for name in build.SOURCES:
            (tmp_path / name).write_text("")
        for kind in build.KINDS:
            build.library(kind, tmp_path).write_bytes(b"\x7fELF")
        monkeypatch.setattr(kernels, "library", lambda kind: build.library(kind, tmp_path))
        kernels._loaded.cache_clear()
        assert kernels.kind.__wrapped__() is None
    finally:
        monkeypatch.undo()
        for clear in (build._digest.cache_clear, kernels._loaded.cache_clear, kernels.kind.cache_clear):
            clear()


def test_a_compiler_that_takes_nothing_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho no licence >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CC", str(broken))
    with pytest.raises(subprocess.CalledProcessError) as caught:
        build.build(tmp_path)
    assert caught.value.stderr == "no licence\n"
    assert list(tmp_path.iterdir()) == [broken]


@pytest.mark.skipif(not build.library(ABLE[-1]).exists() or len(ABLE) == 1, reason="there are not kernels of two kinds")
def test_a_processor_can_be_taken_for_a_lesser_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")
    done = run_python("from mfcli.solvers.compiled import kernels; print(kernels.kind())")
    assert done.stdout.split() == ["default"], done.stderr
