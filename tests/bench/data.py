"""The data of the benchmarks, prepared by mfcli itself, so that every row of a table sees the same parts."""

import os
from pathlib import Path

from tests.bench.process import BenchError, mfcli

REAL = ("ml-latest-small", "ml-1m")


def real_file(name: str) -> Path:
    """A file of the folder that MFCLI_TEST_DATA names. Raises BenchError."""
    path = Path(os.environ.get("MFCLI_TEST_DATA", "")) / name
    if not os.environ.get("MFCLI_TEST_DATA") or not path.is_file():
        raise BenchError(f"MFCLI_TEST_DATA names no folder that holds {name}")
    return path


def download_small(folder: Path) -> Path:
    """Unpack ml-latest-small into the artifact directory ``folder``; returns where its files are."""
    mfcli(folder, "download", "ml-latest-small", "--from", real_file("ml-latest-small.zip"))
    return folder / "raw" / "ml-latest-small"


def prepare_real(name: str, folder: Path) -> str:
    """Prepare a real data set in ``folder`` without a validation part; returns the split in words."""
    if name == "ml-latest-small":
        download_small(folder)
        mfcli(folder, "prepare", "--validation-fraction", 0, "--test-fraction", 0.2, "--seed", 1234)
        return "80/20, seed 1234"
    ratings, items, users = map(real_file, ("ml-1m-ratings.csv.gz", "ml-1m-movies.dat", "ml-1m-users.dat"))
    files = ("--ratings", ratings, "--items", items, "--users", users)
    mfcli(folder, "prepare", *files, "--validation-fraction", 0, "--test-fraction", 0.1, "--seed", 1)
    return "90/10, seed 1"


def prepare_generated(millions: float, folder: Path) -> int:
    """Generate so many ratings, shaped as MovieLens grows: users with the ratings, items with their root.

    Returns:
        How many of them are in the training part.
    """
    ratings, users, items = round(millions * 1e6), round(6000 * millions), round(3700 * millions**0.5)
    mfcli(folder, "download", "synthetic", "--ratings", ratings, "--users", users, "--items", items)
    mfcli(folder, "prepare", "--validation-fraction", 0, "--test-fraction", 0.01)
    return ratings - round(ratings * 0.01)
