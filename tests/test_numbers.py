"""Ratings of any size and shape: every solver makes a sensible model of them, or one line says why not."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.conftest import Runner

Rows = list[tuple[object, object, object]]


def grid(rating: Callable[[int, int], object], users: int = 8, items: int = 6) -> Rows:
    """A rating of every item by every user."""
    return [(u, i, rating(u, i)) for u in range(1, users + 1) for i in range(1, items + 1)]


def stars(user: int, item: int) -> int:
    return user * item % 5 + 1


DATA: dict[str, Rows] = {
    "1e38": grid(lambda u, i: f"{u * i % 3 + 1}e38"),
    "1e-38": grid(lambda u, i: f"{stars(u, i)}e-38"),
    "both": grid(lambda u, i: (1e38, 1e-38, -1e38, 0)[u * i % 4]),
    "1e-40": grid(lambda u, i: f"{stars(u, i)}e-40"),
    "±3e38": grid(lambda u, i: (3e38, -3e38)[u * i % 2]),
    "one user": grid(stars, users=1, items=20),
    "one item": grid(stars, users=20, items=1),
    "one rating": [(1, 1, 3)],
    "alike": grid(lambda u, i: 3),
    "cold": [(n, n, stars(n, 1)) for n in range(1, 31)],
    "-10..10": grid(lambda u, i: u * i * 7 % 21 - 10),
    "0..100": grid(lambda u, i: u * i * 37 % 101),
    "long ids": [(u * 10**17, f"{'x' * 3000}{i}", r) for u, i, r in grid(stars)],  # type: ignore[operator]
}
SOLVERS: dict[str, tuple[object, ...]] = {
    "adam": ("--epochs", 2),
    "als": ("--epochs", 2),
    "gibbs": ("--burn-in", 1, "--samples", 2),
    "ials": ("--epochs", 2),
}
REFUSED = {
    (4, "one rating"): "1 ratings are too few to cut a test part",
    (4, "alike"): "training ratings are 3, so there is nothing to predict",
    (4, "±3e38", "ials"): "of a click is below 0",
    (4, "both", "ials"): "line 3: the weight -1e+38 of a click is below 0",
    (4, "-10..10", "ials"): "of a click is below 0",
}
SQUARES = "gibbs keeps their variances, which are too large or too small"
QUICK = ("±3e38", "1e38", "1e-38", "one user")
CASES = [
    pytest.param(data, solver, marks=() if solver == "gibbs" or data in QUICK else pytest.mark.soak)
    for data in DATA
    for solver in SOLVERS
]


def strict(text: str) -> Any:
    """What JSON says. NaN and infinity are no JSON."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} in {text}")

    return json.loads(text, parse_constant=refuse)


def numbers(value: Any) -> Iterator[float]:
    """All numbers in what JSON said."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from numbers(one)
    elif isinstance(value, (int, float)):
        yield value


def expected(data: str, solver: str) -> str | None:
    """Why there is no model; None if there is one."""
    if solver != "ials" and data in ("1e-40", "±3e38"):
        return "too large or too small to compute with: use another unit"
    if solver == "gibbs" and data in ("1e38", "1e-38", "both"):
        return SQUARES
    if solver == "ials" and data == "alike":
        return None
    return next((why for (_, *of), why in REFUSED.items() if of in ([data], [data, solver])), None)


@pytest.mark.parametrize(("data", "solver"), CASES)
def test_every_solver_makes_a_sensible_model_or_says_why_not(
    mfcli: Runner, tmp_path: Path, data: str, solver: str
) -> None:
    rows = DATA[data]
    lines = "".join(f"{user},{item},{rating}\n" for user, item, rating in rows)
    (tmp_path / "r.csv").write_text(f"user,item,rating\n{lines}")
    form = ("--clicks", "r.csv", "--weights", "rating") if solver == "ials" else ("--ratings", "r.csv")
    user = rows[0][0]
    for command in (
        ("prepare", *form),
        ("train", "--solver", solver, "--factors", 4, *SOLVERS[solver]),
        ("evaluate", "--top", 3, "--json"),
        ("recommend", "--user", user, "--include-seen", "--json"),
    ):
        done = mfcli(*command, "-q")
        assert "Warning" not in done.stderr
        if done.returncode:
            break
        for number in numbers(strict(done.stdout)) if "--json" in command else ():
            assert abs(number) <= 1e77
    why = expected(data, solver)
    if why is not None:
        assert done.returncode == 4
        assert re.fullmatch(r"mfcli: error: [^\n]+\n", done.stderr)
        assert why in done.stderr
        return
    assert done.returncode == 0, done.stderr
    low, high = (bound(float(str(rating)) for *_, rating in rows) for bound in (min, max))
    if solver != "ials":
        near = 1e-6 * max(abs(low), abs(high))
        predictions = [one["prediction"] for one in strict(done.stdout)]
        assert all(low - near - 1e-4 <= one <= high + near + 1e-4 for one in predictions)
    run = tmp_path / "artifacts/runs/default"
    for file in run.glob("*.safetensors"):
        assert all(np.isfinite(values).all() for values in load_file(file).values())
    for line in (run / "history.jsonl").read_text().splitlines():
        strict(line)


def test_more_factors_than_users_and_items_are_a_warning(mfcli: Runner, tmp_path: Path) -> None:
    lines = "".join(f"{user},{item},{rating}\n" for user, item, rating in grid(stars))
    (tmp_path / "r.csv").write_text(f"user,item,rating\n{lines}")
    assert mfcli("prepare", "--ratings", "r.csv").returncode == 0
    warning = "warning: --factors 200 are more than there are users ("
    for options, told in (((), False), (("--factors", 200), True)):
        done = mfcli("train", "--solver", "als", "--epochs", 1, *options)
        assert (done.returncode, warning in done.stderr) == (0, told)


@pytest.mark.soak
@pytest.mark.parametrize("solver", ["adam", "als"])
def test_far_more_factors_than_ratings_make_a_model(mfcli: Runner, tmp_path: Path, solver: str) -> None:
    lines = "".join(f"{user},{item},{rating}\n" for user, item, rating in grid(stars))
    (tmp_path / "r.csv").write_text(f"user,item,rating\n{lines}")
    assert mfcli("prepare", "--ratings", "r.csv").returncode == 0
    done = mfcli("train", "--solver", solver, "--factors", 4096, "--epochs", 1, "--json", "-q")
    assert done.returncode == 0, done.stderr
    assert strict(done.stdout)["factors"] == 4096
    assert 0 < strict(mfcli("evaluate", "--json").stdout)["rmse"] < 3
