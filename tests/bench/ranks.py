"""The table of several processes that train together, of one thread each: time, and memory of each of them."""

import hashlib
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.bench import data
from tests.bench.process import run
from tests.bench.report import parsed, say, table

HEADS = ["solver", "ranks", "s a round", "÷ 1 rank", "CPU s", "in exchanges, s"]
HEADS += ["peak MB: rank 0", "others", "until trained: rank 0", "same bytes"]


def ranks(options: Any) -> Iterator[str]:
    """Medians over rounds, without the first, of the slowest rank's seconds; by turns, so that all meet the same."""
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        if options.data == "generated":
            what = f"{data.prepare_generated(options.millions, folder):,} generated ratings"
        else:
            what = f"{options.data}, {data.prepare_real(options.data, folder)}"
        found: dict[tuple[str, int], list[dict[str, Any]]] = {}
        digests: dict[tuple[str, int], str] = {}
        for _ in range(options.repeat):
            for solver in options.solver:
                for world in options.ranks:
                    told, digest = _trained(solver, world, options.rounds, folder)
                    found.setdefault((solver, world), []).append(told)
                    digests[solver, world] = digest
                    say(f"  {solver}, {world} ranks: {told['seconds']:.3f} s a round")
        yield f"{what}; one thread a rank; medians of {options.repeat} runs"
        yield ""
        cells = [_cells(*key, found, digests, options) for key in found]
        yield from table(HEADS, cells, 0)


def _trained(solver: str, world: int, rounds: int, folder: Path) -> tuple[dict[str, Any], str]:
    """What it took, and the model's SHA-256."""
    name, settings = parsed(solver)
    lengths = {"burn_in": 1, "samples": rounds} if name == "gibbs" else {"epochs": rounds + 1}
    config = {"dir": str(folder), "solver": name, "threads": 1, "device": "cpu"} | lengths | settings
    config |= {} if name in ("adam", "gibbs") else {"tolerance": 0.0}
    with tempfile.TemporaryDirectory() as kept:
        launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(world)]
        run([sys.executable, "-m", *launcher, "-m", "tests.bench.rank", json.dumps(config), kept], 1)
        all_told = [json.loads((Path(kept) / f"{rank}.json").read_text()) for rank in range(world)]
    slowest = {key: max(statistics.median(one[key]) for one in all_told) for key in ("seconds", "cpu", "exchanged")}
    first, *others = all_told
    memory = {
        "first": first["peak"],
        "training": first["training"],
        "others": max((o["peak"] for o in others), default=0),
    }
    model = (folder / "runs" / "default" / "model.safetensors").read_bytes()
    return slowest | memory, hashlib.sha256(model).hexdigest()


def _cells(
    solver: str,
    world: int,
    found: dict[tuple[str, int], list[dict[str, Any]]],
    digests: dict[tuple[str, int], str],
    options: Any,
) -> list[str]:
    def median(key: str, of: int = world) -> float:
        return float(statistics.median(one[key] for one in found[solver, of]))

    alone = options.ranks[0]
    others = f"{median('others'):.0f}" if world > 1 else ""
    return [
        *(solver, str(world), f"{median('seconds'):.3f}", f"{median('seconds') / median('seconds', alone):.2f}"),
        *(f"{median('cpu'):.3f}", f"{median('exchanged'):.3f}"),
        *(f"{median('first'):.0f}", others, f"{median('training'):.0f}"),
        "yes" if digests[solver, world] == digests[solver, alone] else "no",
    ]
