"""The table of how cost grows with ratings and factors, beside the floor that arithmetic sets.

The floor is the operations of the outer products over the rate of a large matrix product; the floor in blocks, over
that of the small products that a solver has to make. What is above the second is gathering, solving and the rest.
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
                floors = [operations(ratings, factors) / rates[which] for which in ("mm", str(factors))]
                row = [f"{millions:g}", str(factors), *(f"{floor:.3f}" for floor in floors)]
                for solver in options.solver:
                    row += _cells(solver, factors, floors, Path(work), options)
                cells.append(row)
    blocks = ", ".join(f"{rates[str(k)] / 1e9:.0f} at k = {k}" for k in options.factors)
    yield f"{options.threads} threads; {rates['mm'] / 1e9:.0f} GFLOP/s in a large matrix product, in blocks {blocks}:"
    yield ""
    heads = ["ratings, million", "factors", "floor, s", "floor in blocks, s"]
    for solver in options.solver:
        heads += [f"{solver}, s a sweep", "÷ floor", "÷ in blocks", "bytes a rating"]
    yield from table(heads, cells, 0)


def _cells(solver: str, factors: int, floors: list[float], folder: Path, options: Any) -> list[str]:
    name, settings = parsed(solver)
    settings["factors"] = factors
    job = {"do": "sweep", "name": name, "settings": settings, "sweeps": options.sweeps, "dir": str(folder)}
    try:
        answer = call(job, options.threads)
    except BenchError as error:
        say(f"  {solver}, {factors} factors: {error}")
        return ["failed", "", "", ""]
    say(f"  {solver}, {factors} factors: {answer['seconds']:.3f} s")
    ratios = [f"{answer['seconds'] / floor:.1f}" for floor in floors]
    return [f"{answer['seconds']:.3f}", *ratios, f"{answer['bytes']:.0f}"]
