"""Running things as processes of their own, each with the same number of threads, and what they took."""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
POOLS = ("OMP", "MKL", "OPENBLAS", "NUMBA", "RAYON", "LK")  # each library's own <POOL>_NUM_THREADS


class BenchError(Exception):
    """A run that came to nothing, with the one line that says why."""


@dataclass(frozen=True)
class Taken:
    """What a process took: wall-clock seconds and, at its peak, megabytes of memory."""

    seconds: float
    megabytes: float


def run(command: list[str], threads: int, cwd: Path | None = None) -> tuple[str, Taken]:
    """Run a command and return its standard output and what it took. Raises BenchError."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MFCLI_")}
    environment = kept | {f"{pool}_NUM_THREADS": str(threads) for pool in POOLS} | {"PYTHONWARNINGS": "ignore"}
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=cwd or ROOT, env=environment
        )
        assert process.stdout is not None
        with process.stdout:
            output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)  # the only wait that says what this one process took
        taken = Taken(time.perf_counter() - start, usage.ru_maxrss / 1024)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            lines = errors.read().strip().splitlines() or [f"exit code {process.returncode}"]
            raise BenchError(f"failed: {Path(command[0]).name} {command[1]}: {lines[-1][:200]}")
    return output, taken


def call(job: dict[str, Any], threads: int, python: str = sys.executable) -> dict[str, Any]:
    """Do a job of :mod:`tests.bench.child` in a process of its own and return its answer. Raises BenchError."""
    output, _ = run([python, "-m", "tests.bench.child", json.dumps(job | {"threads": threads})], threads)
    answer: dict[str, Any] = json.loads(output.strip().splitlines()[-1])  # some libraries print before it
    if "error" in answer:
        raise BenchError(answer["error"])
    return answer


def script(name: str, python: str = sys.executable) -> str:
    """The console script of that name beside an interpreter. Raises BenchError."""
    path = Path(python).parent / name
    if not path.exists():
        raise BenchError(f"not installed: there is no {name} beside {python}")
    return str(path)


def mfcli(folder: Path, *arguments: object, threads: int = 2) -> Taken:
    """Run one of our own commands on the artifact directory ``folder``. Raises BenchError."""
    return run([script("mfcli"), *map(str, arguments), "--dir", str(folder), "--quiet"], threads)[1]
