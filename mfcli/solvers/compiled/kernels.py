"""The compiled kernels, if there are any for this processor: rows of a block on a CPU, in place of torch's calls.

``rows.c`` and ``steps.c`` beside this file say what they do; :mod:`mfcli.solvers.rows` and :mod:`mfcli.solvers.steps`
do the same in torch, for GPUs and for where nothing was compiled. Each works in the thread that calls it, without
Python's lock. What they compute of a row does not depend on the block that it is in.
"""

import ctypes
import functools

import torch
from torch import Tensor

from mfcli.solvers.blocks import Block
from mfcli.solvers.compiled.build import KINDS, library
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


class _Problem(ctypes.Structure):
    _fields_ = [
        ("block", _Block),
        *_fields("precision each by_root_count:n pulls pulls_stride:n alpha:f alphas normals plain:n"),
        *_fields("rows means weighted_errors squared_error:f"),
    ]


class _Stride(ctypes.Structure):
    _fields_ = [("block", _Block), *_fields("diagonals begin rows weighted_errors squared_error:f")]


@functools.cache
def kind() -> str | None:
    """The kind of processor whose kernels are used, of :data:`mfcli.solvers.compiled.build.KINDS`; None without any."""
    kinds = list(KINDS)
    mine = torch.backends.cpu.get_cpu_capability().lower()  # which ATEN_CPU_CAPABILITY can lower
    able = kinds[: kinds.index(mine) + 1] if mine in kinds else kinds[:1]
    return next((kind for kind in reversed(able) if library(kind).exists()), None)


@functools.cache
def _loaded(of: str) -> ctypes.CDLL:
    return ctypes.CDLL(str(library(of)))


def serve(device: torch.device) -> bool:
    """Whether there are kernels for what lies on that device."""
    return device.type == "cpu" and kind() is not None


def solve_rows(block: Block, half: Half) -> Left:
    """What :func:`mfcli.solvers.rows.solve_long` does, but for mending what rounding has spoiled.

    Raises:
        MemoryError: there is none for a row's (d, d) matrices.
    """
    d, natural, alpha, found = half.others.dimensions, half.natural, half.prior.alpha, half.found
    normals = None if half.normals is None else half.normals.of(block, d)
    problem = _Problem(
        _block(block, half.others),
        _at(natural.precision),
        _at(natural.each),
        natural.by_root_count,
        _at(natural.pulls),
        d if len(natural.pulls) > 1 else 0,
        0.0 if isinstance(alpha, Tensor) else alpha,
        _at(alpha) if isinstance(alpha, Tensor) else None,
        _at(normals),
        half.plain and half.weighted(block),
        _at(found.rows),
        _at(found.means) if half.wants_means else None,
        _at(found.weighted_errors),
    )
    return _left("solve_rows", problem)


def step_rows(block: Block, half: Half) -> Left:
    """What :func:`mfcli.solvers.steps.step` does.

    Raises:
        MemoryError: there is none for what belongs to each of a row's ratings.
    """
    assert isinstance(half.prior, DiagonalPrior)
    arrays = (half.prior.diagonals, half.begin, half.found.rows, half.found.weighted_errors)
    return _left("step_rows", _Stride(_block(block, half.others), *map(_at, arrays)))


def _block(block: Block, others: Others) -> _Block:
    arrays = (block.ratings, block.root_weights, block.counts, others.factors, others.biases, others.root_weights)
    whole = (_at(block.rows, torch.int64), _at(block.others, torch.int32))
    return _Block(*block.others.shape, others.factors.shape[1], *whole, *map(_at, arrays))


def _at(tensor: Tensor | None, dtype: torch.dtype = torch.float32) -> int | None:
    """Where the numbers of a tensor are, which somebody else has to keep alive."""
    if tensor is None:
        return None
    assert tensor.dtype == dtype
    assert tensor.is_contiguous()
    return tensor.data_ptr()


def _left(name: str, problem: _Problem | _Stride) -> Left:
    """What the kernel of that name leaves of a problem."""
    mine = kind()
    assert mine is not None, "nobody asks where there are none"
    code = _loaded(mine)[name](ctypes.byref(problem))
    if code == NO_MEMORY:
        raise MemoryError
    return Left(torch.tensor(problem.squared_error), torch.tensor(code != 0))
