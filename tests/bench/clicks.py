"""Clicks: our ``ials`` beside the implicit library, with the same factors, rounds and threads; seconds and lists."""

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from mfcli.data.ratings import Ratings, Sides
from mfcli.data.training import TrainingData
from mfcli.models.judge import Judge
from mfcli.models.model import FactorModel
from mfcli.models.ranking import Scorer
from tests.bench.data import real_file
from tests.bench.process import call, mfcli
from tests.bench.report import parsed, say, table

ROWS = ("ials", "implicit", "implicit:regularization=30,alpha=2", "implicit:use_cg=false")
"""Both at their defaults; the best regularization and alpha of seven tried on a validation part; exact solutions."""
HEADS = ["solver", "version, settings", "fit, s", "NDCG@10"]


def clicks(options: Any) -> Iterator[str]:
    """Fit seconds and NDCG@10 of every row on ml-1m, all ratings taken for clicks."""
    with tempfile.TemporaryDirectory() as work:
        cut = ("--validation-fraction", 0, "--test-fraction", 0.1, "--seed", 1)
        mfcli(Path(work), "prepare", "--ratings", real_file("ml-1m-ratings.csv.gz"), "--as-clicks", *cut)
        answers: dict[str, list[dict[str, Any]]] = {row: [] for row in ROWS}
        for _ in range(options.repeat):  # by turns, so that a slow minute of the machine hits all alike
            for row in ROWS:
                name, settings = parsed(row)
                job = {"do": "clicks", "name": name, "settings": settings, "dir": work}
                job |= {"factors": options.factors, "rounds": options.rounds}
                answer = call(job, options.threads, options.python.get(name, sys.executable))
                say(f"  {row}: {answer['seconds']:.2f} s, NDCG@10 {answer['ndcg']:.4f}")
                answers[row].append(answer)
    size = f"{options.factors} factors, {options.rounds} rounds, {options.threads} threads"
    yield f"ml-1m as clicks, 90/10, seed 1, {size},"
    yield f"median of {options.repeat}; lists of all items without a training click:"
    yield ""
    yield from table(HEADS, [_cells(row, several) for row, several in answers.items()], 2)


def _cells(row: str, several: list[dict[str, Any]]) -> list[str]:
    seconds, ndcg = (median(one[key] for one in several) for key in ("seconds", "ndcg"))
    return [row.partition(":")[0], several[0]["about"], f"{seconds:.2f}", f"{ndcg:.4f}"]


def fit(job: dict[str, Any], train: Ratings, test: Ratings) -> dict[str, Any]:
    """Time a row of the table and judge its lists."""
    package, run = {"ials": ("mfcli", _ours), "implicit": ("implicit", _implicit)}[job["name"]]
    fitting = run(job, train)
    start = time.perf_counter()
    scorer = fitting()
    seconds = time.perf_counter() - start
    judge = Judge(test, train.by_user(), train.item_counts())
    settings = [f"{key} {value}" for key, value in job["settings"].items()]
    about = ", ".join([f"{package} {version(package)}", *settings])
    return {"about": about, "seconds": seconds, "ndcg": judge.measures(scorer, [10])[10]["NDCG"]}


def _ours(job: dict[str, Any], train: Ratings) -> Callable[[], Scorer]:
    from tests.bench.ours import configured, created

    settings = {"factors": job["factors"], "epochs": job["rounds"], "tolerance": 0.0} | job["settings"]
    config = configured("ials", job["threads"], settings)

    def fitting() -> Scorer:
        solver = created(config, TrainingData(train))
        for _ in range(solver.epochs):
            solver.run_epoch(lambda done, total, rmse: None)
        return solver.model()

    return fitting


def _implicit(job: dict[str, Any], train: Ratings) -> Callable[[], Scorer]:
    from implicit.cpu.als import AlternatingLeastSquares
    from scipy.sparse import csr_matrix
    from threadpoolctl import threadpool_limits

    matrix = csr_matrix((train.ratings, (train.users, train.items)), shape=(train.n_users, train.n_items))
    settings = {"factors": job["factors"], "iterations": job["rounds"], "num_threads": job["threads"]}
    als = AlternatingLeastSquares(**settings, random_state=1, **job["settings"])

    def fitting() -> Scorer:
        with threadpool_limits(1, "blas"):  # as the library asks for: its own threads are the faster ones
            als.fit(matrix, show_progress=False)
        counts = Sides(train.user_counts(), train.item_counts())
        factors = Sides(np.asarray(als.user_factors), np.asarray(als.item_factors))
        return FactorModel(0.0, 0.0, 1.0, factors, counts, typical_click=1.0)

    return fitting
