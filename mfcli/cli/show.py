"""Each stage's result as people read it."""

from typing import TYPE_CHECKING, Any

from mfcli.cli.console import pairs, table
from mfcli.cli.progress import clock

if TYPE_CHECKING:  # importing the stages takes seconds, and --help must not
    from mfcli.download import Downloaded
    from mfcli.judging.results import Calibration, CrossValidation, Evaluation, FoldValues, Some
    from mfcli.judging.roster import Roster
    from mfcli.models.bootstrap import Interval
    from mfcli.models.segments import Segment
    from mfcli.plot import Plotted
    from mfcli.prepare import PreparedSummary
    from mfcli.training import Trained

BAR = 30  # characters of the longest bar of a histogram


def catalogue(entries: list[dict[str, Any]]) -> str:
    from mfcli.data.catalogue import CSV, GROUPLENS, SYNTHETIC

    rows, licences = [], dict[str, list[str]]()
    for one in entries:
        size, checksum = f"{one['megabytes']:g} MB", one["md5"] or "beside it"
        rows.append((one["name"], f"{one['ratings']:,}", size, checksum, one["layout"]["ratings"]))
        licences.setdefault(one["licence"], []).append(one["name"])
    rows.append((SYNTHETIC, "any number", "", "", CSV.ratings))
    licences["generated here"] = [SYNTHETIC]
    header = ("name", "ratings", "zip", "md5", "layout")
    text = table(f"published at {GROUPLENS}NAME.zip", header, rows, numeric=(1, 2, 3), spare=(3, 4))
    return text + "\n" + "".join(f"{', '.join(names)}:\n  {licence}\n" for licence, names in licences.items())


def downloaded(done: "Downloaded") -> str:
    values = {"files": ", ".join(done.files)}
    if done.oracle_rmse is not None:
        values["oracle RMSE"] = f"{done.oracle_rmse:.4f} (the true model's; only luck beats it)"
    return pairs(f"{done.name} in {done.path}", values)


def prepared(done: "PreparedSummary") -> str:
    of_values, of_one = ("range", "rated") if done.feedback == "ratings" else ("weights", "weight")
    values = {
        done.feedback: f"{done.ratings:,} by {done.users:,} users on {done.items:,} items (density {done.density:.3%})",
        "parts": f"train {done.train:,}, val {done.val:,}, test {done.test:,}",
    }
    if done.minimum < done.maximum:
        values[of_values] = f"{done.minimum:g} to {done.maximum:g}, mean {done.mean:.3f}"
    if done.left_out:
        values["left out"] = ", ".join(f"{count:,} {reason}" for reason, count in done.left_out.items())
    for what, counts, described, rows in (
        ("user", done.user_features, done.users_described, done.users),
        ("item", done.item_features, done.items_described, done.items),
    ):
        if counts:
            of_each = ", ".join(f"{name} {count:,}" for name, count in counts.items())
            values[f"{what} features"] = f"{of_each} ({described:,} of {rows:,} {what}s)"
    unseen = (
        f"{done.test_users_unseen:,} users and {done.test_items_unseen:,} items have no training {done.feedback[:-1]} "
        f"({done.test_ratings_unseen:,} {done.feedback})"
    )
    values["test, unseen"] = unseen if done.test else "nothing is held out"
    most = max(done.histogram.values())
    for value, count in done.histogram.items():
        values[f"{of_one} {value}"] = f"{count:>11,}  {'█' * round(BAR * count / most)}".rstrip()
    return pairs(f"{done.dataset} in {done.path}", values)


def trained(done: "Trained") -> str:
    from mfcli.models.history import explanations
    from mfcli.models.measures import MEASURES

    averaged = done.averages_samples
    counting = f", {done.burn_in} of them burn-in" if averaged else f", best {done.best_epoch}"
    values = {f"{done.epoch_name}s": f"{done.epochs}{counting}"}
    for part, short, key in (("train", "train", done.train_measure), ("validation", "val", done.validation_measure)):
        value = getattr(done, f"{part}_{key}")
        if value is not None:
            values[f"{short} {MEASURES[key].name}"] = f"{value:.4f}"
    if averaged:
        values["model"] = (
            f"{done.factors} factors, which differ from the mean of all samples by "
            f"{done.solver_results['compression_rmse']:.4f} (root mean square)"
        )
        values["noise std"] = f"{done.solver_results['noise_std']:.4f}"
    if done.explained:
        of_each = (
            f"{kind} {'explain' if kind == 'features' else 'explains'} {what}"
            for kind, what in explanations(done.explained).items()
        )
        values["side"] = "; ".join(of_each)
    if done.ratings_per_second is not None:
        values["speed"] = f"{done.ratings_per_second:,.0f} ratings/s on {done.device}, {clock(done.seconds)} in all"
    values["exposure"] = f"{done.exposure_rank} directions of who rated what, {done.exposure_seconds:.1f} s"
    values["file"] = str(done.path)
    return pairs(f"run '{done.run}'", values)


def evaluated(done: "Evaluation") -> str:
    title = f"{done.ratings:,} {done.feedback}, {done.part} part"
    if done.rmse is None or done.bias_rmse is None:
        return f"run '{done.run}': {title}\n" + _ranking(done) + _comparison(done)
    rows = [
        (f"run '{done.run}'", f"{done.rmse:.4f}", _interval(done.rmse_interval), f"{done.mae:.4f}"),
        ("biases alone", f"{done.bias_rmse:.4f}", _interval(done.bias_rmse_interval), f"{done.bias_mae:.4f}"),
        ("training mean", f"{done.mean_rmse:.4f}", _interval(done.mean_rmse_interval), f"{done.mean_mae:.4f}"),
    ]
    if done.oracle_rmse is not None:
        rows.append(("oracle", f"{done.oracle_rmse:.4f}", "", ""))
    values = {}
    if done.cold is not None:
        values["cold"] = f"{_some(done.cold)} of users or items without a training rating"
    if done.cold is not None and done.warm is not None:
        values["warm"] = f"{_some(done.warm)} of the others"
    if done.calibration is not None:
        values["calibration"] = _calibration(done.calibration)
    header = ("", "RMSE", "95 %", "MAE")
    text = table(title, header, rows, numeric=(1, 2, 3), spare=(2, 3)) + (pairs("", values) if values else "")
    return text + _ranking(done) + _segments(done.segments) + _comparison(done)


def _some(found: "Some") -> str:
    interval = f", {_interval(found.rmse_interval)}" if found.rmse_interval else ""
    return f"RMSE {found.rmse:.4f}{interval} (biases alone {found.bias_rmse:.4f}) on {found.ratings:,} ratings"


def _interval(found: "Interval | None") -> str:
    """The bounds; '' where there is none."""
    return "" if found is None else f"{found[0]:.4f} to {found[1]:.4f}"


def _segments(found: "list[Segment] | None") -> str:
    """A table for each thing that ratings are told apart by, if segments were asked for."""
    text = ""
    for by in dict.fromkeys(one.by for one in found or ()):
        some = [one for one in found or () if one.by == by]
        sure = any(one.within_1 is not None for one in some)
        rows = []
        for one in some:
            row = [one.name, f"{one.ratings:,}", f"{one.rmse:.4f}", _interval(one.rmse_interval)]
            within = [f"{one.within_1:.1%}", f"{one.within_2:.1%}"] if sure else []
            rows.append([*row, f"{one.mean_error:+.4f}", *within])
        header = ["", "ratings", "RMSE", "95 %", "mean error", *(["within ±1", "within ±2"] if sure else [])]
        places = range(1, len(header))
        text += "\n" + table(f"by {by}", header, rows, numeric=places, spare=[*reversed(places[3:]), 1])
    return text


def _comparison(done: "Evaluation") -> str:
    """The run beside another, if it was compared."""
    if done.comparison is None:
        return ""
    rows = [
        (
            *(one.measure, f"{one.run:.4f}", f"{one.against:.4f}", f"{one.difference:+.4f}"),
            *(_interval(one.interval), "" if one.p is None else _p(one.p)),
        )
        for one in done.comparison.differences
    ]
    title, header = "The same ratings, differences by user", ("", "this run", "the other", "difference", "95 %", "p")
    names = {"this run": f"run '{done.run}'", "the other": done.comparison.against}
    return "\n" + table(title, header, rows, numeric=range(1, 6), spare=(4, 2, 1)) + pairs("", names)


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _calibration(found: "Calibration") -> str:
    return (
        f"{found.within_1:.1%} of the ratings within ±1 standard deviation, {found.within_2:.1%} within ±2 "
        f"(68.3% and 95.4% if errors were normal); mean log density {found.log_density:.4f}"
    )


def _ranking(done: "Evaluation") -> str:
    found = done.ranking
    if found is None:
        return ""
    relevant = "clicked" if done.feedback == "clicks" else "rated"
    if found.relevant_from is not None:
        relevant += f"{' with a weight of' if done.feedback == 'clicks' else ''} {found.relevant_from:.4g} or more"
    text = f"\nLists of {found.candidates}, for {found.users:,} users; relevant is what they {relevant}.\n"
    for lists in found.lists:
        columns = (lists.run, lists.popular, lists.random)
        rows = [(name.replace("_", " "), *(_measure(measures[name]) for measures in columns)) for name in lists.run]
        header = ("", found.rank_by, "popular", "random")
        text += "\n" + table(f"top {lists.n}", header, rows, numeric=(1, 2, 3), spare=(3, 2))
    return text


def _measure(value: float) -> str:
    return f"{value:.4f}" if value < 10 else f"{value:,.1f}"


def roster(done: "Roster") -> str:
    sizes = sorted({size for one in done.runs for size in one.ndcg})
    rows = [
        (
            *(f"{one.run}{' *' if one.others else ' †' if one.ratings is None else ''}", one.solver, one.settings),
            *(_number(one.rmse), _interval(one.rmse_interval), *(_number(one.ndcg.get(size)) for size in sizes)),
            *("" if one.seconds is None else f"{one.seconds:,.1f}", _age(one.age)),
        )
        for one in done.runs
    ]
    header = ("run", "solver", "settings", "RMSE", "95 %", *(f"NDCG@{size}" for size in sizes), "seconds", "age")
    places = range(3, len(header))
    text = table(f"{done.part} part", header, rows, places, spare=(4, len(header) - 1, len(header) - 2, 2, 1))
    if any(one.others for one in done.runs):
        text += "* judged by other ratings than the first: the two do not compare\n"
    if any(one.ratings is None for one in done.runs):
        text += "† not judged: nothing is held out of what it learnt from, or a line above says why\n"
    return text


def on_folds(done: "CrossValidation") -> str:
    from mfcli.models.measures import shown

    names = shown(done.runs[0].measures)
    rows = []
    for one in [*done.runs, *done.baselines]:
        found = [one.measures.get(name) for name in names]
        numbers = [text for values in found for text in _mean_and_sd(values)]
        seconds = one.measures.get("seconds")
        rows.append([one.run, one.solver, one.settings, *numbers, "" if seconds is None else f"{seconds.mean:,.1f}"])
    header = ["run", "solver", "settings", *(text for name in names for text in (name, "sd")), "seconds"]
    title = f"{done.folds} folds of {done.ratings:,} {done.feedback}: means and standard deviations over folds"
    places = range(3, len(header))
    sds, means = places[1:-1:2], places[2:-1:2]
    text = table(title, header, rows, places, spare=(places[-1], *reversed(sds), 1, 2, *reversed(means)))
    if not done.differences:
        return text
    rows = [
        [one.measure, f"{one.difference:+.4f}", _interval(one.interval), "" if one.p is None else _p(one.p)]
        for one in done.differences
        if one.measure.split()[0] in names
    ]
    title = f"Differences from run '{done.runs[0].run}', fold by fold"
    return text + "\n" + table(title, ("", "difference", "95 %", "p"), rows, numeric=(1, 2, 3))


def _mean_and_sd(found: "FoldValues | None") -> tuple[str, str]:
    return ("", "") if found is None else (f"{found.mean:.4f}", f"{found.sd:.4f}")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _age(seconds: float) -> str:
    """In the largest unit of which there are two."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def plotted(done: "Plotted") -> str:
    return pairs(f"figures of run '{done.run}'", {name: str(path) for name, path in done.files.items()})
