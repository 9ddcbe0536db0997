"""``mfcli evaluate``: how good a trained model's predictions are, beside what it has to beat."""

import errno
import functools
from dataclasses import asdict, replace
from pathlib import Path

from mfcli.artifacts import Artifacts
from mfcli.config.evaluate import TOP, EvaluateConfig
from mfcli.errors import ArtifactError
from mfcli.judging.evaluation import examine
from mfcli.judging.evaluation_file import FILE, Evaluated, read_evaluation, write_evaluation
from mfcli.judging.results import CrossValidation, Evaluation
from mfcli.judging.roster import Roster, line, training_seconds
from mfcli.models.run import TrainedRun, open_run
from mfcli.progress import Progress
from mfcli.record import Record
from mfcli.stage import ANYTHING


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
        if over is None:
            config = _without_rival(config, progress)
    if config.min_ndcg is not None and not config.top:
        config = config.but(top=(TOP,))
    trained = open_run(artifacts, config.one_run, config.rank_by if config.sizes else None, progress.note)
    if config.part == "test" and not trained.prepared.has("test") and not config.demands:
        progress.note(
            f"run '{config.one_run}' learnt from all {trained.prepared.feedback}: nothing is held out to judge it by"
        )
        result = Evaluation(config.one_run, config.part, trained.prepared.feedback, 0, None)
        return _promoted(config, artifacts, trained, result, over, progress), None
    if trained.model.of_clicks and not config.top:
        config = config.but(top=(TOP,))
        trained = open_run(artifacts, config.one_run, config.rank_by)
    result, sums = examine(config, artifacts, trained, progress)
    part = trained.prepared.part(config.part)
    made_from = {
        "model": trained.record.fingerprint,
        "data": trained.prepared.fingerprint,
        "part": part.digest(),
    }
    _keep(config, trained, Evaluated(asdict(result), made_from, sums), progress)
    done = _promoted(config, artifacts, trained, result, over, progress)
    evaluated = Evaluated(asdict(done), made_from, sums)
    if done.promoted is not None:
        place = artifacts.run(done.promoted)
        try:
            _keep(config, replace(trained, stage=place), evaluated, progress)
        except ArtifactError as error:  # by which the promotion is not undone
            progress.warn(f"the result is not kept: {error}")
        except OSError as error:  # a full disk: the promotion stands all the same
            _warn_unkept(place.path / FILE, error, progress)
    return done, evaluated


def _keep(config: EvaluateConfig, trained: TrainedRun, evaluated: Evaluated, progress: Progress) -> None:
    """Write the run's evaluation.json, where that may be; else warn. Raises ArtifactError."""
    path = trained.stage.path / FILE
    try:
        with trained.locked(config.lock_timeout):
            write_evaluation(path, evaluated)
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise
        _warn_unkept(path, error, progress)


def _warn_unkept(path: Path, error: OSError, progress: Progress) -> None:
    progress.warn(f"the result is not kept in {path}: {error.strerror}")


def _without_rival(config: EvaluateConfig, progress: Progress) -> EvaluateConfig:
    """The options without the comparison with the run to be replaced, as there is none yet."""
    progress.note(f"there is no run '{config.promote}' yet that run '{config.one_run}' could be worse than")
    return config.but(no_worse_than=None, tolerance=config.option("tolerance").default)


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
    displaced = target.promote(trained.stage, trained.record.fingerprint, config.lock_timeout, over)
    told, previous = f"run '{config.one_run}' is run '{config.promote}' now", target.previous.path.name
    if displaced.former:
        told += f"; the former one is '{previous}' now"
    if displaced.removed:
        told += f"; the earlier '{previous}' is removed"
    progress.note(told)
    return replace(result, promoted=config.promote)


def evaluate_all(config: EvaluateConfig, progress: Progress | None = None) -> Roster:
    """A line for every run of the directory. One that has no evaluation as it is asked for is evaluated now.

    Raises:
        ArtifactError: there is no run, or one is damaged.
    """
    progress = progress or Progress()
    artifacts = Artifacts(config.dir)
    found = []
    for stage in map(artifacts.run, artifacts.trained()):
        try:
            found.append(stage.consistent(functools.partial(_judged, config, progress)))
        except ArtifactError:
            if stage.exists():  # else it was promoted or removed meanwhile
                raise
    if not found:
        raise ArtifactError(f"there is no run under {artifacts.root / 'runs'} yet: run `mfcli train`")
    found.sort(key=lambda one: (one[0].made_at, one[0].name))
    first = next((evaluated.inputs["part"] for _, evaluated, _ in found if evaluated is not None), None)
    lines = [line(*judged, first) for judged in found]
    sizes = {size for one in lines for size in one.ndcg}
    if any(one.ratings and sizes - one.ndcg.keys() for one in lines):
        progress.note(
            f"not all runs were judged by the same lists: --top {','.join(map(str, sorted(sizes)))} does that"
        )
    return Roster(config.part, lines)


def _judged(
    config: EvaluateConfig, progress: Progress, record: Record
) -> tuple[Record, Evaluated | None, float | None]:
    """A run, its evaluation if there is one (made now if it was not there), and the seconds that training took.

    Raises ArtifactError.
    """
    evaluated = None
    try:
        evaluated = _evaluated(config, record)
        if evaluated is None:
            evaluated = _evaluate(config.but(run=(record.name,), all=False), progress)[1]
    except ArtifactError as error:
        record.require_current()
        progress.warn(f"run '{record.name}': {error}")
    seconds = training_seconds(record)
    record.require_current()  # so that all three are of one making
    return replace(record), evaluated, seconds  # no file of the record has to stay open


def _evaluated(config: EvaluateConfig, record: Record) -> Evaluated | None:
    """The run's evaluation, if it is there and says what is asked for; without lists that are made in another way.

    Raises ArtifactError.
    """
    try:
        evaluated = read_evaluation(record.path / FILE)
    except ArtifactError:
        return None
    if (evaluated.inputs["model"], evaluated.result["part"]) != (record.fingerprint, config.part):
        return None
    ranking = evaluated.result["ranking"]
    if ranking is not None:
        model = open_run(Artifacts(config.dir), record.name).model
        alike = config.rank_by, config.relevant_from(None if model.of_clicks else model.mean)
        if (ranking["rank_by"], ranking["relevant_from"]) != alike:
            ranking = None
    sizes = {one["n"] for one in ranking["lists"]} if ranking is not None else set()
    return replace(evaluated, result=evaluated.result | {"ranking": ranking}) if sizes >= set(config.sizes) else None


def cross_validate(config: EvaluateConfig, progress: Progress | None = None) -> CrossValidation:
    """The settings of runs on folds of all ratings: see :func:`mfcli.judging.folds.cross_validate`."""
    from mfcli.judging import folds  # imports torch, which nothing else here needs

    return folds.cross_validate(config, progress or Progress())
