"""The table of how fast lists are made, beside plain NumPy on the rating model alone."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from mfcli.arrays import Float32s
from mfcli.data.ratings import Sides
from mfcli.models.exposure import Exposure
from mfcli.models.model import FactorModel
from mfcli.models.ranking import SCORES_AT_ONCE, Scorer, rank
from mfcli.models.scorers import Likely
from tests.bench.report import table

LENGTH = 10
FACTORS, DIRECTIONS = 32, 256
RANDOM = np.random.default_rng(0)


def lists(options: Any) -> Iterator[str]:
    """Users a second, the best of ``options.repeat`` times by turns, of lists of all items."""
    sizes = Sides(options.users, options.items)
    factors = Sides(*(_normals(n, FACTORS) for n in sizes))
    counts = Sides(*(np.ones(n, np.int32) for n in sizes))
    biases = Sides(*(_normals(n, 1)[:, 0] for n in sizes))
    model = FactorModel(3.5, 0.5, 5.0, factors, counts, biases)
    ones, zeros = np.ones(DIRECTIONS, np.float32), np.zeros(sizes.items, np.float32)
    exposure = Exposure(3.5, 1.0, Sides(*(_normals(n, DIRECTIONS) for n in sizes)), ones, zeros)
    ways: dict[str, Callable[[], None]] = {
        "plain matmul and argpartition, rating": lambda: _plainly(model),
        "rating": lambda: _ranked(model, sizes.users),
        "exposure": lambda: _ranked(exposure, sizes.users),
        "likely": lambda: _ranked(Likely(model, exposure), sizes.users),
    }
    with threadpool_limits(options.threads):
        seconds = {name: [_seconds(way) for _ in range(options.repeat)] for name, way in ways.items()}
    speeds = {name: sizes.users / min(each) for name, each in seconds.items()}
    plain = next(iter(speeds.values()))
    yield f"{options.threads} threads, {sizes.users:,} users, {sizes.items:,} items, lists of {LENGTH}:"
    yield ""
    cells = [[name, f"{speed:,.0f}", f"{speed / plain:.2f}"] for name, speed in speeds.items()]
    yield from table(["ranked by", "users/s", "÷ plain"], cells, 1)


def _normals(n: int, columns: int) -> Float32s:
    return RANDOM.normal(0, 1 / np.sqrt(columns), (n, columns)).astype(np.float32)


def _plainly(model: FactorModel) -> None:
    users, items = model.factors
    block = SCORES_AT_ONCE // len(items)
    for begin in range(0, len(users), block):
        np.argpartition(users[begin : begin + block] @ items.T, -LENGTH, axis=1)[:, -LENGTH:]


def _ranked(scorer: Scorer, users: int) -> None:
    for _ in rank(scorer, np.arange(users), LENGTH):
        pass


def _seconds(way: Callable[[], None]) -> float:
    start = time.perf_counter()
    way()
    return time.perf_counter() - start
