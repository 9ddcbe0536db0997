"""The other end of :func:`tests.bench.process.call`: a job, as JSON, is the argument; its answer, as JSON, is printed.

A job is ``{"do": name, ...}`` and ``do`` is one of the functions in JOBS. Nothing is imported that the job does not
need: the memory that it takes would count as the job's.
"""

import inspect
import json
import resource
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from mfcli.artifacts import Artifacts
from mfcli.data.prepared import Prepared
from mfcli.data.ratings import Ratings
from mfcli.models.metrics import rmse
from tests.bench import peers

PEERS: dict[str, Callable[..., peers.Fit]] = {
    "biases": peers.Biases,
    "surprise": peers.Surprise,
    "lenskit": peers.LensKit,
    "cornac": peers.Cornac,
    "cmfrec": peers.Cmfrec,
    "libmf": peers.LibMF,
    "myfm": peers.MyFM,
    "myfm_blocks": peers.MyFMBlocks,
}


def peak() -> float:
    """Megabytes of memory that this process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def load(job: dict[str, Any], part: str) -> Ratings:
    """A part of the data that the job names."""
    return data_of(job).part(part)


def data_of(job: dict[str, Any]) -> Prepared:
    """The data that the job names."""
    return Prepared(Artifacts(Path(job["dir"])).data.record())


def build(job: dict[str, Any], train: Ratings, test: Ratings) -> tuple[peers.Fit, dict[str, Any]]:
    """What is to be fitted, and its settings."""
    name, given = job["name"], job["settings"]
    features = data_of(job).features if job["side"] else None
    if name not in ("article", *PEERS):
        from tests.bench.ours import Ours

        ours = Ours(train, job["threads"], solver=name, test=test, features=features, **given)
        return ours, {"factors": ours.config.factors} | given
    kind = article_loop() if name == "article" else PEERS[name]
    defaults = {p.name: p.default for p in inspect.signature(kind).parameters.values() if p.default is not p.empty}
    known = {} if features is None else {"features": features}
    return kind(train, job["threads"], **known, **given), defaults | given


def article_loop() -> Callable[..., peers.Fit]:
    """The article's loop, which needs torch."""
    from tests.bench.article import ArticleLoop

    return ArticleLoop


def fit(job: dict[str, Any]) -> dict[str, Any]:
    """Time a row of the table and look how good it is."""
    train, test = load(job, "train"), load(job, "test")
    one, settings = build(job, train, test)
    before, start, cpu = peak(), time.perf_counter(), time.process_time()
    one.fit()
    seconds, cpu, after = time.perf_counter() - start - one.outside, time.process_time() - cpu, peak()
    predicted = np.asarray(one.predict(test.users, test.items), np.float64)
    predicted[np.isnan(predicted)] = train.ratings.mean()
    return {
        "about": [f"{one.package} {version(one.package)}", one.note],
        "settings": settings | {"epochs": one.epochs},
        "ratings_per_second": one.epochs * len(train) / seconds,
        "seconds": seconds,
        "cpu": cpu,
        "before": before,
        "peak": after,
        "rmse": rmse(test.ratings, np.clip(predicted, train.ratings.min(), train.ratings.max())),
        "rmse_unclipped": rmse(test.ratings, predicted),
    }


def sweep(job: dict[str, Any]) -> dict[str, Any]:
    """Seconds a sweep of one of our solvers, the memory that it takes a rating, and rows that are not short."""
    from mfcli.solvers.blocks import longest_short
    from tests.bench.ours import seconds_a_sweep

    train, before = load(job, "train"), peak()
    seconds = seconds_a_sweep(train, job["name"], job["sweeps"], job["threads"], job["settings"])
    short = longest_short(job["settings"]["factors"] + 1)
    rows = sum(int((counts > short).sum()) for counts in train.counts)
    return {"seconds": seconds, "bytes": (peak() - before) * 2**20 / len(train), "rows": rows}


def rates(job: dict[str, Any]) -> dict[str, Any]:
    """The machine's matrix rate, and what torch's calls take for each number of factors."""
    from tests.bench.rates import calls, matrix_rate

    return {"mm": matrix_rate(job["threads"])} | {str(k): calls(k) for k in job["factors"]}


def clicks(job: dict[str, Any]) -> dict[str, Any]:
    """Time a solver of clicks and judge its lists."""
    from tests.bench.clicks import fit as fit_clicks

    return fit_clicks(job, load(job, "train"), load(job, "test"))


JOBS = {"fit": fit, "sweep": sweep, "rates": rates, "clicks": clicks}


def main() -> None:
    """Do the job. A library that is not installed is an answer, not a crash."""
    job = json.loads(sys.argv[1])
    try:
        answer = JOBS[job["do"]](job)
    except ImportError as error:
        answer = {"error": f"not installed ({error})"}
    sys.stdout.write("\n" + json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
