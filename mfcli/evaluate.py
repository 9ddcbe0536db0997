"""``mfcli evaluate``: how good a trained model's predictions are, beside what it has to beat."""

import errno
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mfcli.arrays import Bools, Float64s
from mfcli.artifacts import Artifacts
from mfcli.config.evaluate import TOP, EvaluateConfig
from mfcli.data.ratings import Ratings
from mfcli.errors import ArtifactError, UsageError
from mfcli.judging.comparison import compare
from mfcli.judging.gates import gates
from mfcli.judging.record import FILE, Evaluated, read_evaluation, write_evaluation
from mfcli.judging.results import Calibration, Evaluation, Lists, Ranking, Some
from mfcli.judging.roster import Roster, finished, line
from mfcli.judging.trial import Trial
from mfcli.models import metrics
from mfcli.models.baselines import bias_model, mean_model
from mfcli.models.lists import Judged
from mfcli.models.run import TrainedRun, open_run
from mfcli.models.scorers import Chance, Popularity
from mfcli.models.segments import Segment, segments
from mfcli.progress import Progress
from mfcli.record import Record

if TYPE_CHECKING:
    from mfcli.judging.folds import CrossValidation


def evaluate(config: EvaluateConfig, progress: Progress | None = None) -> Evaluation:
    """Predict one part of the ratings, or rank, and write the run's evaluation.json. Reads the model, never changes it.

    With ``config.promote`` the run then takes that one's place, unless a gate is not met. The gates' outcome is in the
    result: whoever wants it to be an error raises it.

    Raises:
        ArtifactError: run or data are absent, damaged or not of each other, or not to be compared.
        UsageError: the run cannot rank so, or has no such measure for a gate.
    """
    return _evaluate(config, progress or Progress())[0]


def _evaluate(config: EvaluateConfig, progress: Progress) -> tuple[Evaluation, Evaluated | None]:
    """The result of :func:`evaluate`, and what its evaluation.json holds; None if nothing is held out."""
    artifacts = Artifacts(config.dir)
    if config.min_ndcg is not None and not config.top:
        config = replace(config, top=(TOP,))
    if (
        config.promote is not None
        and config.no_worse_than == config.promote
        and not artifacts.run(config.promote).exists()
    ):
        progress.note(f"there is no run '{config.promote}' yet that run '{config.one_run}' could be worse than")
        config = replace(config, no_worse_than=None, tolerance=config.option("tolerance").default)
    trained = open_run(artifacts, config.one_run, config.rank_by if config.sizes else None, progress.note)
    if config.part == "test" and not trained.prepared.has("test") and not config.demands:
        progress.note(
            f"run '{config.one_run}' learnt from all {trained.prepared.feedback}: nothing is held out to judge it by"
        )
        result = Evaluation(config.one_run, config.part, trained.prepared.feedback, 0, None)
        return _promoted(config, artifacts, trained, result, progress), None
    if trained.model.of_clicks and not config.top:
        config = replace(config, top=(TOP,))
        trained = open_run(artifacts, config.one_run, config.rank_by)
    train, part = trained.prepared.part("train"), trained.prepared.part(config.part)
    trial = _trial(config, trained, train, part)
    errors = None if trained.model.of_clicks else trial.errors(trained.model)
    judged, ranking = _ranking(config, trained, trial, progress)
    sums = trial.sums(errors, judged)
    rival = config.rival
    comparison = None if rival is None else compare(rival, artifacts, trained, trial, sums, config.rank_by)
    predictions = {} if errors is None else _predictions(trained, trial, train, errors)
    if predictions and predictions["bias_rmse"] < predictions["rmse"]:
        progress.warn(
            f"run '{config.one_run}': biases alone predict better (RMSE {predictions['bias_rmse']:.4f} against "
            f"{predictions['rmse']:.4f}): too few ratings for factors, too little L2, or too few epochs"
        )
    outcomes = gates(config, sums, predictions.get("bias_rmse"), comparison)
    result = Evaluation(
        run=config.one_run,
        part=config.part,
        feedback=trained.prepared.feedback,
        ratings=len(part),
        ranking=ranking,
        **predictions,
        segments=_segments(config, trained, trial, train, errors),
        comparison=comparison,
        gates=outcomes,
        passed=all(one.passed for one in outcomes) if outcomes else None,
    )
    made_from = {
        "model": trained.record.fingerprint,
        "data": trained.prepared.fingerprint,
        "part": part.digest(),
    }
    path = trained.record.path / FILE
    try:
        with trained.locked(config.lock_timeout):
            write_evaluation(path, result, made_from, sums)
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise
        progress.warn(f"the result is not kept in {path}: {error.strerror}")
    done = _promoted(config, artifacts, trained, result, progress)
    if done.promoted is not None:
        stage = artifacts.run(done.promoted)
        now = replace(trained, stage=stage, record=stage.record())
        with now.locked(config.lock_timeout):
            write_evaluation(now.record.path / FILE, done, made_from, sums)
    return done, Evaluated(asdict(done), made_from, sums)


def _promoted(
    config: EvaluateConfig, artifacts: Artifacts, trained: TrainedRun, result: Evaluation, progress: Progress
) -> Evaluation:
    """The result, after the run has taken the place that it may take."""
    if config.promote is None or result.passed is False:
        return result
    target = artifacts.run(config.promote)
    former = f"; the former one is '{target.previous.path.name}' now" if target.exists() else ""
    target.promote(trained.stage, trained.record.fingerprint, config.lock_timeout)
    progress.note(f"run '{config.one_run}' is run '{config.promote}' now{former}")
    return replace(result, promoted=config.promote)


def evaluate_all(config: EvaluateConfig, progress: Progress | None = None) -> Roster:
    """A line for every run of the directory. One that has no evaluation as it is asked for is evaluated now.

    Raises:
        ArtifactError: there is no run, or one is damaged.
    """
    progress = progress or Progress()
    artifacts = Artifacts(config.dir)
    names = finished(artifacts)
    if not names:
        raise ArtifactError(f"there is no run under {artifacts.root / 'runs'} yet: run `mfcli train`")
    lines, first = [], None
    for name in names:
        record = artifacts.run(name).record()
        evaluated = _evaluated(config, record)
        if evaluated is None:
            try:
                evaluated = _evaluate(replace(config, run=(name,), all=False), progress)[1]
            except ArtifactError as error:
                progress.warn(f"run '{name}': {error}")
        part = None if evaluated is None else evaluated.inputs["part"]
        first = first or part
        lines.append(line(record, None if evaluated is None else evaluated.result, part not in (None, first)))
    return Roster(config.part, lines)


def _evaluated(config: EvaluateConfig, record: Record) -> Evaluated | None:
    """The run's evaluation, if it is there and says what is asked for."""
    try:
        evaluated = read_evaluation(record.path / FILE)
    except ArtifactError:
        return None
    ranking = evaluated.result["ranking"] or {"lists": []}
    lists = (
        {one["n"] for one in ranking["lists"]} if ranking.get("rank_by", config.rank_by) == config.rank_by else set()
    )
    fits = evaluated.inputs["model"] == record.fingerprint and evaluated.result["part"] == config.part
    return evaluated if fits and lists >= set(config.sizes) else None


def cross_validate(config: EvaluateConfig, progress: Progress | None = None) -> "CrossValidation":
    """The settings of runs on folds of all ratings: see :func:`mfcli.judging.folds.cross_validate`."""
    from mfcli.judging import folds  # imports torch, which nothing else here needs

    return folds.cross_validate(config, progress or Progress())


def _trial(config: EvaluateConfig, trained: TrainedRun, train: Ratings, part: Ratings) -> Trial:
    """What the run is to do: predict the part, and make the lists that are asked for."""
    relevant_from = config.relevant_from(None if trained.model.of_clicks else trained.model.mean)
    return Trial(part, train, config.sizes, relevant_from, hide=config.part != "train")


def _predictions(trained: TrainedRun, trial: Trial, train: Ratings, errors: Float64s) -> dict[str, Any]:
    """How good the predicted ratings are: the fields of an Evaluation that say so."""
    of_mean, of_biases = trial.errors(mean_model(train)), trial.errors(bias_model(train))
    known = trained.model.known(trial.part.users, trial.part.items)
    rmse, mean_rmse, bias_rmse = map(trial.groups.rmse, (errors, of_mean, of_biases))
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
        "warm": _some(trial, known, errors, of_biases),
        "cold": _some(trial, ~known, errors, of_biases),
        "oracle_rmse": trained.prepared.facts.oracle_rmse,
        "calibration": _calibration(trained, trial, errors),
    }


def _some(trial: Trial, which: Bools, errors: Float64s, of_biases: Float64s) -> Some | None:
    if not which.any():
        return None
    rmse, bias_rmse = (trial.groups.rmse(one, which) for one in (errors, of_biases))
    return Some(int(which.sum()), rmse.value, bias_rmse.value, rmse.interval, bias_rmse.interval)


def _calibration(trained: TrainedRun, trial: Trial, errors: Float64s) -> Calibration | None:
    deviations = trained.model.deviations(trial.part.users, trial.part.items, trial.part.timestamps)
    if deviations is None:
        return None
    actual, predicted = trial.part.ratings, trial.part.ratings + errors
    return Calibration(
        within_1=metrics.coverage(actual, predicted, deviations, 1),
        within_2=metrics.coverage(actual, predicted, deviations, 2),
        log_density=metrics.log_density(actual, predicted, deviations),
        mean_deviation=float(deviations.mean(dtype=np.float64)),
    )


def _segments(
    config: EvaluateConfig, trained: TrainedRun, trial: Trial, train: Ratings, errors: Float64s | None
) -> list[Segment] | None:
    if not config.segments:
        return None
    if errors is None:
        raise UsageError(f"--segments: run '{config.one_run}' learnt from clicks, and predicts no ratings")
    part, genres = trial.part, trained.prepared.items["genres"].to_pylist()
    deviations = trained.model.deviations(part.users, part.items, part.timestamps)
    return segments(part, train, genres, errors, trial.groups, deviations)


def _ranking(
    config: EvaluateConfig, trained: TrainedRun, trial: Trial, progress: Progress
) -> tuple[dict[int, Judged], Ranking | None]:
    """Lists for every user with a relevant item in the part. Warns if those of the most popular items are better."""
    judge = trial.judge
    if judge is None:
        return {}, None
    scorers = (trained.scorer(config.rank_by), Popularity(judge.popularity), Chance(trial.part.n_items))
    with progress.bar("ranking", len(scorers) * len(judge.users)) as advance:
        run, popular, random = (trial.judged(one, advance) for one in scorers)
    lists = [Lists(n, run[n].measures, popular[n].measures, random[n].measures) for n in trial.sizes]
    for one in lists:
        if one.run["NDCG"] < one.popular["NDCG"]:
            progress.warn(
                f"run '{config.one_run}' ranked by {config.rank_by} is worse than the list of the most popular items: "
                f"NDCG@{one.n} {one.run['NDCG']:.4f} against {one.popular['NDCG']:.4f}"
            )
    what = trained.prepared.feedback.removesuffix("s")
    candidates = "all items" if judge.hidden is None else f"all items without a training {what} of the user's"
    return run, Ranking(config.rank_by, candidates, trial.relevant_from, len(judge.users), lists)
