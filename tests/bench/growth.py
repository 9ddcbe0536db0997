"""The table of how cost grows with ratings and factors, beside the floor that arithmetic sets.

The floor is the operations of the outer products over the rate of a large matrix product. Torch's calls are what it
takes to gather, to multiply and to solve in blocks, were that all of a sweep and two threads twice as fast as one.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.bench import data
from tests.bench.process import BenchError, call
from tests.bench.report import parsed, say, table


def operations(ratings: int, factors: int) -> float:
    """Floating-point operations of a sweep's outer products: k² multiplications and additions a rating and side."""
    return ratings * factors**2 * 2 * 2


def growth(options: Any) -> Iterator[str]:
    """Seconds a sweep for so many ratings and factors."""
    rates = call({"do": "rates", "factors": options.factors}, options.threads)
    cells = []
    for millions in options.millions:
        with tempfile.TemporaryDirectory() as work:
            ratings = data.prepare_generated(millions, Path(work))
            say(f"{ratings:,} ratings")
            for factors in options.factors:
                floor = operations(ratings, factors) / rates["mm"]
                row = [f"{millions:g}", str(factors), f"{floor:.3f}"]
                for solver in options.solver:
                    row += _cells(solver, factors, ratings, floor, rates[str(factors)], Path(work), options)
                cells.append(row)
    yield f"{options.threads} threads; {rates['mm'] / 1e9:.0f} GFLOP/s in a large matrix product:"
    yield ""
    heads = ["ratings, million", "factors", "floor, s"]
    for solver in options.solver:
        heads += [f"{solver}, s a sweep", "÷ floor", "torch's calls ÷ floor", "bytes a rating"]
    yield from table(heads, cells, 0)


def _cells(
    solver: str, factors: int, ratings: int, floor: float, calls: dict[str, float], folder: Path, options: Any
) -> list[str]:
    name, settings = parsed(solver)
    settings["factors"] = factors
    job = {"do": "sweep", "name": name, "settings": settings, "sweeps": options.sweeps, "dir": str(folder)}
    try:
        answer = call(job, options.threads)
    except BenchError as error:
        say(f"  {solver}, {factors} factors: {error}")
        return ["failed", "", "", ""]
    say(f"  {solver}, {factors} factors: {answer['seconds']:.3f} s")
    calls_alone = (2 * ratings * calls["slot"] + answer["rows"] * calls["row"]) / options.threads
    ratios = [f"{seconds / floor:.1f}" for seconds in (answer["seconds"], calls_alone)]
    return [f"{answer['seconds']:.3f}", *ratios, f"{answer['bytes']:.0f}"]
