"""``mfcli evaluate``: how good a trained model's predictions are, beside what it has to beat."""

import errno
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from mfcli.artifacts import Artifacts
from mfcli.config.evaluate import TOP, EvaluateConfig
from mfcli.errors import ArtifactError
from mfcli.judging.evaluation import examine
from mfcli.judging.evaluation_file import FILE, Evaluated, read_evaluation, write_evaluation
from mfcli.judging.results import Evaluation
from mfcli.judging.roster import Roster, finished, line
from mfcli.models.run import TrainedRun, open_run
from mfcli.progress import Progress
from mfcli.record import Record
from mfcli.stage import ANYTHING

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
    # Between the comparison and the promotion another run may take the place, with which this one was not compared.
    over: str | None = ANYTHING
    if config.promote is not None and config.no_worse_than == config.promote:
        over = artifacts.run(config.promote).fingerprint
    config = _without_absent_rival(config, artifacts, progress)
    if config.min_ndcg is not None and not config.top:
        config = replace(config, top=(TOP,))
    trained = open_run(artifacts, config.one_run, config.rank_by if config.sizes else None, progress.note)
    if config.part == "test" and not trained.prepared.has("test") and not config.demands:
        progress.note(
            f"run '{config.one_run}' learnt from all {trained.prepared.feedback}: nothing is held out to judge it by"
        )
        result = Evaluation(config.one_run, config.part, trained.prepared.feedback, 0, None)
        return _promoted(config, artifacts, trained, result, over, progress), None
    if trained.model.of_clicks and not config.top:
        config = replace(config, top=(TOP,))
        trained = open_run(artifacts, config.one_run, config.rank_by)
    result, sums = examine(config, artifacts, trained, progress)
    part = trained.prepared.part(config.part)
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
    done = _promoted(config, artifacts, trained, result, over, progress)
    if done.promoted is not None:
        stage = artifacts.run(done.promoted)
        now = replace(trained, stage=stage, record=stage.record())
        with now.locked(config.lock_timeout):
            write_evaluation(now.record.path / FILE, done, made_from, sums)
    return done, Evaluated(asdict(done), made_from, sums)


def _without_absent_rival(config: EvaluateConfig, artifacts: Artifacts, progress: Progress) -> EvaluateConfig:
    """The options without a comparison with the run to be replaced, where there is none yet."""
    place = config.promote
    if place is None or config.no_worse_than != place or artifacts.run(place).exists():
        return config
    progress.note(f"there is no run '{place}' yet that run '{config.one_run}' could be worse than")
    return replace(config, no_worse_than=None, tolerance=config.option("tolerance").default)


def _promoted(
    config: EvaluateConfig,
    artifacts: Artifacts,
    trained: TrainedRun,
    result: Evaluation,
    over: str | None,
    progress: Progress,
) -> Evaluation:
    """The result, after the run has taken the place that it may take, ``over`` what has to be there."""
    if config.promote is None or result.passed is False:
        return result
    target = artifacts.run(config.promote)
    former = f"; the former one is '{target.previous.path.name}' now" if target.exists() else ""
    target.promote(trained.stage, trained.record.fingerprint, config.lock_timeout, over)
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
