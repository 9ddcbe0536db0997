"""What the records of a run say of it, as tables of the page."""

from collections.abc import Mapping, Sequence
from typing import Any

from mfcli.data.facts import Facts
from mfcli.figures.page import Lines, Section, Table
from mfcli.models.history import explanations
from mfcli.models.measures import MEASURES
from mfcli.record import Record

HARD = "\N{NO-BREAK SPACE}"


def evaluation_section(
    evaluation: Mapping[str, Any] | None, otherwise: str, found: Mapping[str, float] | None
) -> Section:
    """How good the run is.

    Args:
        evaluation: what its evaluation.json says; None without one.
        otherwise: what to say without one.
        found: its ``rmse`` and ``mae`` of the ratings that figures show, to tell without one; None if not known.
    """
    title = "How good it is"
    if evaluation is None:
        return Section(title, _predictions(found or {}), otherwise)
    tables = [*_predictions(evaluation), *_comparison(evaluation), *_lists(evaluation), *_segments(evaluation)]
    of = f"On {evaluation['ratings']:,} {evaluation['feedback']} of the {evaluation['part']} part."
    intervals = " Brackets hold 95 % intervals." if evaluation.get("rmse_interval") else ""
    return Section(title, tables, of + intervals)


def _predictions(told: Mapping[str, Any]) -> list[Table]:
    """RMSE and MAE beside what the run has to beat, and of some of the ratings."""
    if told.get("rmse") is None:
        return []
    rows = [
        (name, _with_interval(told, f"{key}rmse"), _number(told.get(f"{key}mae")))
        for name, key in (
            ("this run", ""),
            ("biases alone", "bias_"),
            ("training mean", "mean_"),
            ("oracle", "oracle_"),
        )
        if told.get(f"{key}rmse") is not None
    ]
    tables = [Table("Errors of predicted ratings", rows, ("", "RMSE", "MAE"))]
    some = [
        (name, f"{told[key]['ratings']:,}", _with_interval(told[key], "rmse"), _number(told[key]["bias_rmse"]))
        for name, key in (("both rated before", "warm"), ("user or item new", "cold"))
        if told.get(key)
    ]
    if len(some) > 1:
        tables.append(Table("Known and new", some, ("", "ratings", "RMSE", "biases alone")))
    sure = told.get("calibration")
    if sure:
        shares = [
            (f"±{n} standard deviations", f"{sure[f'within_{n}']:.1%}", normal)
            for n, normal in ((1, "68.3%"), (2, "95.4%"))
        ]
        tables.append(Table("Ratings within", shares, ("", "found", "if normal")))
    return tables


def _comparison(told: Mapping[str, Any]) -> list[Table]:
    found = told.get("comparison")
    if not found:
        return []
    rows = [
        (
            one["measure"],
            _number(one["run"]),
            _number(one["against"]),
            _with_interval(one, "difference", "interval", "+"),
        )
        for one in found["differences"]
    ]
    return [Table(f"Beside '{found['against']}'", rows, ("", "this run", "the other", "difference"))]


def _lists(told: Mapping[str, Any]) -> list[Table]:
    ranking = told.get("ranking")
    if not ranking:
        return []
    header = ("", ranking["rank_by"], "most popular", "chance")
    return [
        Table(
            f"Lists of {one['n']}, for {ranking['users']:,} users",
            [
                (name.replace("_", " "), *(_number(one[by][name]) for by in ("run", "popular", "random")))
                for name in one["run"]
            ],
            header,
        )
        for one in ranking["lists"]
    ]


def _segments(told: Mapping[str, Any]) -> list[Table]:
    """A table for all that ratings are told apart by."""
    found = told.get("segments") or []
    return [
        Table(
            f"By {by}",
            [
                (one["name"], f"{one['ratings']:,}", _with_interval(one, "rmse"), f"{one['mean_error']:+.4f}")
                for one in found
                if one["by"] == by
            ],
            ("", "ratings", "RMSE", "mean error"),
        )
        for by in dict.fromkeys(one["by"] for one in found)
    ]


def training_section(record: Record, facts: Facts) -> Section:
    """How the run was trained, and on what."""
    told = record.results
    name = told["epoch_name"]
    trained = {f"{name}s": f"{told['epochs']}", "kept": f"{name} {told['best_epoch']}"}
    if told["averages_samples"]:
        trained |= {"burn-in": f"{told.get('burn_in', 0)} {name}s", "kept": "the mean of all samples"}
    for part in ("train", "validation"):
        measure = told[f"{part}_measure"]
        value = told.get(f"{part}_{measure}")
        if value is not None:
            trained[f"{part} {MEASURES[measure].name}"] = _number(value)
    trained["factors"] = str(told["factors"])
    trained |= {f"explained by {kind}": what for kind, what in explanations(told["explained"]).items()}
    trained["device"] = str(record.body["device"])
    known = {
        facts.feedback: f"{facts.ratings:,} by {facts.users:,} users on {facts.items:,} items",
        "parts": f"train {facts.train:,}, val {facts.val:,}, test {facts.test:,}",
        "range": f"{facts.minimum:g} to {facts.maximum:g}, mean {facts.mean:.3f}",
        "density": f"{facts.density:.3%}",
        "test, unseen": f"{facts.test_ratings_unseen:,} of users or items without a training rating",
    }
    return Section(
        "Training", [Table("The run", [*trained.items()]), Table(f"The data: {facts.dataset}", [*known.items()])]
    )


def made_section(record: Record, data: Record, drawn_with: str) -> Section:
    """Settings, versions, and the commands that make it all again."""
    settings = [Table(f"Settings of {what}", _settings(one)) for what, one in (("train", record), ("prepare", data))]
    versions = {**record.body["versions"], "matplotlib, for the figures": drawn_with}
    sums = {"model": record.fingerprint, "data": data.fingerprint}
    return Section(
        "How it was made",
        [
            Lines([data.body["command"], record.body["command"]]),
            *settings,
            Table("Versions", [*versions.items()]),
            Table("SHA-256 of the files", [*sums.items()]),
        ],
    )


def _settings(record: Record) -> list[tuple[str, str]]:
    """The options that made a stage, those that have a value and a use."""
    used = set(record.config)
    config = record.made_with
    if config is not None:
        used = {option.name for option in config.options() if config.uses(option)}
    return [
        (name, _setting(value)) for name, value in record.config.items() if name in used and value not in (None, [])
    ]


def _setting(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, Sequence) and not isinstance(value, str) else str(value)


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if abs(value) < 10 else f"{value:,.1f}"


def _with_interval(told: Mapping[str, Any], key: str, interval: str = "", sign: str = "") -> str:
    """A number, and its interval in brackets if it has one."""
    between = told.get(interval or f"{key}_interval")
    value = f"{told[key]:{sign}.4f}"
    return value if between is None else f"{value} [{between[0]:{sign}.4f},{HARD}{between[1]:{sign}.4f}]"
