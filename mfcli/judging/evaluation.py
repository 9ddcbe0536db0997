"""How good a run is on one part of the ratings, beside what it has to beat."""

from typing import Any

import numpy as np

from mfcli.arrays import Bools, Float64s
from mfcli.artifacts import Artifacts
from mfcli.config.evaluate import EvaluateConfig
from mfcli.data.ratings import Ratings
from mfcli.errors import UsageError
from mfcli.judging.comparison import compare
from mfcli.judging.exam import Exam
from mfcli.judging.gates import gates
from mfcli.judging.results import Calibration, Evaluation, Lists, Ranking, Some
from mfcli.judging.sums import Sums
from mfcli.models import metrics
from mfcli.models.baselines import bias_model, mean_model
from mfcli.models.judge import Judged
from mfcli.models.run import TrainedRun
from mfcli.models.scorers import Chance, Popularity
from mfcli.models.segments import Segment, segments
from mfcli.progress import Progress

BASELINES = {"biases alone": "bias_rmse", "the training mean": "mean_rmse"}
"""What predicts ratings more simply -> the field of an Evaluation that says how well."""


def examine(
    config: EvaluateConfig, artifacts: Artifacts, trained: TrainedRun, progress: Progress
) -> tuple[Evaluation, Sums]:
    """How good a run is on the part, and what its measures are made of.

    Args:
        config: which part and which lists; the comparison and the gates.
        artifacts: where the run to be compared with is.
        trained: the run.
        progress: warned if something simpler is better.

    Raises:
        ArtifactError: a file of a run is damaged, or the other run cannot be compared with.
        UsageError: the run cannot rank so, has no such measure for a gate, or an option is for lists that are not made.
    """
    config.check_lists(config.sizes)
    train, part = trained.prepared.part("train"), trained.prepared.part(config.part)
    relevant_from = config.relevant_from(None if trained.model.of_clicks else trained.model.mean)
    exam = Exam(part, train, config.sizes, relevant_from, hide=config.part != "train")
    errors = None if trained.model.of_clicks else exam.errors(trained.model)
    judged, ranking = _ranking(config, trained, exam, progress)
    sums = exam.sums(errors, judged)
    rival = config.rival
    comparison = None if rival is None else compare(rival, artifacts, trained, exam, sums, config.rank_by)
    predictions = {} if errors is None else _predictions(trained, exam, train, errors)
    baselines = {name: predictions[key] for name, key in BASELINES.items() if key in predictions}
    if baselines:
        best, rmse = min(baselines.items(), key=lambda one: one[1])
        if rmse < predictions["rmse"]:
            progress.warn(
                f"run '{config.one_run}' is worse than {best} (RMSE {predictions['rmse']:.4f} against {rmse:.4f}): "
                "too few ratings for so many factors, or settings that do not suit them"
            )
    outcomes = gates(config, sums, baselines, comparison)
    evaluation = Evaluation(
        run=config.one_run,
        part=config.part,
        feedback=trained.prepared.feedback,
        ratings=len(part),
        ranking=ranking,
        **predictions,
        segments=_segments(config, trained, exam, train, errors),
        comparison=comparison,
        gates=outcomes,
        passed=all(one.passed for one in outcomes) if outcomes else None,
    )
    return evaluation, sums


def _predictions(trained: TrainedRun, exam: Exam, train: Ratings, errors: Float64s) -> dict[str, Any]:
    """How good the predicted ratings are: the fields of an Evaluation that say so."""
    of_mean, of_biases = exam.errors(mean_model(train)), exam.errors(bias_model(train))
    known = trained.model.known(exam.part.users, exam.part.items)
    rmse, mean_rmse, bias_rmse = map(exam.groups.rmse, (errors, of_mean, of_biases))
    return {
        "rmse": rmse.value,
        "mae": float(np.abs(errors).mean()),
        "mean_rmse": mean_rmse.value,
        "mean_mae": float(np.abs(of_mean).mean()),
        "bias_rmse": bias_rmse.value,
        "bias_mae": float(np.abs(of_biases).mean()),
        "rmse_interval": rmse.interval,
        "mean_rmse_interval": mean_rmse.interval,
        "bias_rmse_interval": bias_rmse.interval,
        "warm": _some(exam, known, errors, of_biases),
        "cold": _some(exam, ~known, errors, of_biases),
        "oracle_rmse": trained.prepared.facts.oracle_rmse,
        "calibration": _calibration(trained, exam, errors),
    }


def _some(exam: Exam, which: Bools, errors: Float64s, of_biases: Float64s) -> Some | None:
    if not which.any():
        return None
    rmse, bias_rmse = (exam.groups.rmse(one, which) for one in (errors, of_biases))
    return Some(int(which.sum()), rmse.value, bias_rmse.value, rmse.interval, bias_rmse.interval)


def _calibration(trained: TrainedRun, exam: Exam, errors: Float64s) -> Calibration | None:
    deviations = trained.model.deviations(exam.part.users, exam.part.items, exam.part.timestamps)
    if deviations is None:
        return None
    actual, predicted = exam.part.ratings, exam.part.ratings + errors
    return Calibration(
        within_1=metrics.coverage(actual, predicted, deviations, 1),
        within_2=metrics.coverage(actual, predicted, deviations, 2),
        log_density=metrics.log_density(actual, predicted, deviations),
        mean_deviation=float(deviations.mean(dtype=np.float64)),
    )


def _segments(
    config: EvaluateConfig, trained: TrainedRun, exam: Exam, train: Ratings, errors: Float64s | None
) -> list[Segment] | None:
    if not config.segments:
        return None
    if errors is None:
        raise UsageError(f"--segments: run '{config.one_run}' learnt from clicks, and predicts no ratings")
    part, genres = exam.part, trained.prepared.items["genres"].to_pylist()
    deviations = trained.model.deviations(part.users, part.items, part.timestamps)
    return segments(part, train, genres, errors, exam.groups, deviations)


def _ranking(
    config: EvaluateConfig, trained: TrainedRun, exam: Exam, progress: Progress
) -> tuple[dict[int, Judged], Ranking | None]:
    """Lists for every user with a relevant item in the part. Warns if those of the most popular items are better."""
    judge = exam.judge
    if judge is None:
        return {}, None
    scorers = (trained.scorer(config.rank_by), Popularity(judge.popularity), Chance(exam.part.n_items))
    with progress.bar("ranking", len(scorers) * len(judge.users)) as advance:
        run, popular, random = (exam.judged(one, advance) for one in scorers)
    lists = [Lists(n, run[n].measures, popular[n].measures, random[n].measures) for n in exam.sizes]
    if not len(judge.users):
        progress.warn(
            f"run '{config.one_run}': no item of the {config.part} part is relevant, so that lists have no use"
        )
    for one in lists:
        if one.run["NDCG"] < one.popular["NDCG"]:
            progress.warn(
                f"run '{config.one_run}' ranked by {config.rank_by} is worse than the list of the most popular items: "
                f"NDCG@{one.n} {one.run['NDCG']:.4f} against {one.popular['NDCG']:.4f}"
            )
    what = trained.prepared.feedback.removesuffix("s")
    candidates = "all items" if judge.hidden is None else f"all items without a training {what} of the user's"
    return run, Ranking(config.rank_by, candidates, exam.relevant_from, len(judge.users), lists)
