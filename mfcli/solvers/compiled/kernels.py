"""The compiled kernels, if there are any for this processor: rows of a block on a CPU, in place of torch's calls.

``long.c``, ``short.c`` and ``step.c`` beside this file say what they do; :mod:`mfcli.solvers.rows` and
:mod:`mfcli.solvers.steps` do the same in torch, for GPUs and for where nothing was compiled. Each works in the thread
that calls it, without Python's lock. What they find for a row does not depend on the block that it is in.
"""

import ctypes
import functools

import torch
from torch import Tensor

from mfcli.solvers.blocks import Block
from mfcli.solvers.compiled.build import KINDS, library
from mfcli.solvers.compute import Compute
from mfcli.solvers.gathering import Others
from mfcli.solvers.priors import DiagonalPrior
from mfcli.solvers.solving import Half, Left

NO_MEMORY = -1


def _fields(names: str) -> list[tuple[str, type]]:
    """Fields of a structure of C: arrays, unless a letter says otherwise, n for a whole and f for a real number."""
    kinds = {"": ctypes.c_void_p, "n": ctypes.c_int64, "f": ctypes.c_double}
    return [(name, kinds[kind]) for name, _, kind in (field.partition(":") for field in names.split())]


class _Block(ctypes.Structure):
    _fields_ = _fields("n_rows:n slots:n k:n numbers others ratings own_weights counts factors biases root_weights")


class _Half(ctypes.Structure):
    _fields_ = [
        ("block", _Block),
        *_fields("pulls pulls_stride:n by_root_count:n alpha:f alphas normals"),
        *_fields("rows means weighted_errors squared_error:f"),
    ]


class _Long(ctypes.Structure):
    _fields_ = [("half", _Half), *_fields("precision each plain:n")]


class _Short(ctypes.Structure):
    _fields_ = [("half", _Half), *_fields("matrix diagonals growth")]


class _Step(ctypes.Structure):
    _fields_ = [("block", _Block), *_fields("diagonals begin rows weighted_errors squared_error:f")]


@functools.cache
def kind() -> str | None:
    """The kind of processor whose kernels are used, of :data:`mfcli.solvers.compiled.build.KINDS`; None without any."""
    kinds = list(KINDS)
    mine = torch.backends.cpu.get_cpu_capability().lower()  # which ATEN_CPU_CAPABILITY can lower
    able = kinds[: kinds.index(mine) + 1] if mine in kinds else kinds[:1]
    return next((kind for kind in reversed(able) if _loaded(kind) is not None), None)


@functools.cache
def _loaded(kind: str) -> ctypes.CDLL | None:
    """The kernels of that kind, or None if there are none or the system does not take them."""
    try:
        return ctypes.CDLL(str(library(kind)))
    except OSError:
        return None


def serve(device: torch.device) -> bool:
    """Whether there are kernels for what lies on that device."""
    return device.type == "cpu" and kind() is not None


def lacking(compute: Compute) -> int:
    """How many of the processes have to do without kernels that would serve there."""
    without = torch.tensor([compute.device.type == "cpu" and kind() is None], dtype=torch.int64)
    compute.sum(without)
    return int(without)


def solve_long(block: Block, half: Half) -> Left:
    """What :func:`mfcli.solvers.rows.solve_long` does, but for mending what rounding has spoiled.

    Raises:
        MemoryError: there is none for a row's (d, d) matrices.
    """
    assert half.natural is not None, "a half that takes steps has none"
    d, (precision, pulls, each, by_root_count) = half.others.dimensions, half.natural
    normals = None if half.normals is None else half.normals.of(block, d)
    common = _half(block, half, pulls, by_root_count, normals, d)
    problem = _Long(common, _at(precision, (d, d)), _at(each, (d, d)), half.plain and half.weighted(block))
    failed = _failed("solve_long", problem)
    return Left(torch.tensor(problem.half.squared_error), failed)


def solve_short(block: Block, half: Half) -> Left:
    """What :func:`mfcli.solvers.rows.solve_short` does, but for mending what rounding has spoiled.

    Raises:
        MemoryError: there is none for a row's few matrices.
    """
    assert half.coordinates is not None, "none are solved for without"
    d, slots = half.others.dimensions, block.others.shape[1]
    matrix, pulls, diagonals, growth, by_root_count = half.coordinates
    normals = None if half.normals is None else half.normals.of(block, d + slots)
    common = _half(block, half, pulls, by_root_count, normals, d + slots)
    of_all = _at(diagonals, (len(half.found.rows), d))
    problem = _Short(common, _at(matrix, (d, d)), of_all, _at(growth, (d,)))
    failed = _failed("solve_short", problem)
    return Left(torch.tensor(problem.half.squared_error), failed)


def step(block: Block, half: Half) -> Left:
    """What :func:`mfcli.solvers.steps.step` does.

    Raises:
        MemoryError: there is none for what belongs to each of a row's ratings.
    """
    assert isinstance(half.prior, DiagonalPrior)
    n, k = half.found.rows.shape
    rows = (_at(tensor, (n, k)) for tensor in (half.prior.diagonals, half.begin, half.found.rows))
    problem = _Step(_block(block, half.others), *rows, _at(half.found.weighted_errors, (n,)))
    failed = _failed("take_steps", problem)
    return Left(torch.tensor(problem.squared_error), failed)


def _half(block: Block, half: Half, pulls: Tensor, by_root_count: bool, normals: Tensor | None, columns: int) -> _Half:
    (n, d), alpha, found = half.found.rows.shape, half.prior.alpha, half.found
    return _Half(
        _block(block, half.others),
        _at(pulls, (len(pulls), d)),
        0 if len(pulls) == 1 else d,
        by_root_count,
        0.0 if isinstance(alpha, Tensor) else alpha,
        _at(alpha, (n,)) if isinstance(alpha, Tensor) else None,
        _at(normals, (len(block.rows), columns)),
        _at(found.rows, (n, d)),
        _at(found.means, (n, d)) if half.wants_means else None,
        _at(found.weighted_errors, (n,)),
    )


def _block(block: Block, others: Others) -> _Block:
    (r, s), (n, k) = block.others.shape, others.factors.shape
    return _Block(
        r,
        s,
        k,
        _at(block.rows, (r,), torch.int64),
        _at(block.others, (r, s), torch.int32),
        _at(block.ratings, (r, s)),
        _at(block.root_weights, (r, s)),
        _at(block.counts, (r,)),
        _at(others.factors, (n, k)),
        _at(others.biases, (n,)),
        _at(others.root_weights, (n,)),
    )


def _at(tensor: Tensor | None, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> int | None:
    """Where the numbers of a tensor are, which the caller keeps alive. Raises TypeError if C would misread them."""
    if tensor is None:
        return None
    if tensor.dtype != dtype or tensor.shape != shape or not tensor.is_contiguous():
        raise TypeError(f"{tuple(tensor.shape)} {tensor.dtype} in place of {shape} {dtype}, or not contiguous")
    return tensor.data_ptr()


def _failed(name: str, problem: ctypes.Structure) -> Tensor:
    """A bool, whether the kernel of that name could not solve for some row; what it found is in its places."""
    mine = kind()
    library = None if mine is None else _loaded(mine)
    assert library is not None, "nobody asks where there are none"
    code = library[name](ctypes.byref(problem))
    if code == NO_MEMORY:
        raise MemoryError
    return torch.tensor(code != 0)
