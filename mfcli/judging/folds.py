"""Cross-validation: the settings of runs, tried on every fold of all ratings.

Runs are compared by their differences on the same folds. The training parts of folds overlap, so that the variance of
the differences is corrected (Nadeau and Bengio, Inference for the Generalization Error, Machine Learning 2003).
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from mfcli.artifacts import Artifacts
from mfcli.atomic import atomic_file, from_json, open_regular, to_json
from mfcli.config.common import Feedback
from mfcli.config.evaluate import TOP, EvaluateConfig
from mfcli.config.prepare import PrepareConfig
from mfcli.config.train import TrainConfig
from mfcli.data.prepared import Prepared
from mfcli.data.ratings import Parts, Ratings, Sides
from mfcli.data.split import split
from mfcli.data.training import TrainingData
from mfcli.errors import Stopped, UsageError
from mfcli.judging.exam import Exam
from mfcli.judging.results import CrossValidation, Difference, FoldValues, OnFolds
from mfcli.judging.roster import in_short
from mfcli.judging.sums import Sums
from mfcli.models.baselines import bias_model
from mfcli.models.bootstrap import LEVEL
from mfcli.models.exposure import Exposure, learn
from mfcli.models.measures import Measures, shown
from mfcli.models.model import FactorModel
from mfcli.models.run import require_uncertainty
from mfcli.models.scorers import Popularity, by_exposure, scorer
from mfcli.progress import Progress
from mfcli.record import Record
from mfcli.signals import SafePoints
from mfcli.solvers.compute import Compute, pick_device, torch_threads
from mfcli.solvers.create import check_fits
from mfcli.solvers.fit import Fit
from mfcli.typed import typed

FILE = "cross-validation.json"
SECONDS = "seconds"


@dataclass(frozen=True)
class Tried:
    """What the settings of a run come to on a fold.

    Attributes:
        measures: as in :class:`OnFolds`.
        baselines: the same of what they have to beat, by its name.
    """

    measures: Measures
    baselines: dict[str, Measures]


class Folds:
    """The folds of all prepared ratings, and the results of those that are done.

    Args:
        config: how many folds, which lists.
        artifacts: where data and runs are.
    """

    def __init__(self, config: EvaluateConfig, artifacts: Artifacts) -> None:
        assert config.cross_validate is not None
        self.number, self.config, self.artifacts = config.cross_validate, config, artifacts
        self.prepared, self.ratings = artifacts.data.consistent(_read)
        self.sizes = config.sizes
        if self.prepared.feedback == "clicks" and not config.top:
            self.sizes = [TOP]
        config.check_lists(self.sizes)
        self.validation_fraction = float(self.prepared.record.config["validation_fraction"])
        self.seed = int(self.prepared.record.config["seed"])

    def parts(self, fold: int) -> Parts[Ratings]:
        """The parts of a fold, counted from 1, cut as ``prepare --folds --fold`` does."""
        cut = PrepareConfig(folds=self.number, fold=fold, validation_fraction=self.validation_fraction, seed=self.seed)
        return Parts(*(self.ratings.take(np.sort(rows)) for rows in split(cut, self.ratings, Sides([], []))))

    def made_from(self, record: Record) -> dict[str, Any]:
        """What the results of a run's settings depend on."""
        lists = {"top": self.sizes, "rank_by": self.config.rank_by, "relevant": self.config.relevant}
        cut = {"folds": self.number, "seed": self.seed, "validation_fraction": self.validation_fraction}
        return {"data": self.prepared.fingerprint, **cut, "settings": record.config, **lists}

    def done(self, record: Record) -> dict[int, Tried]:
        """The results of the folds that are done, by their number; none where they are not of just this."""
        try:
            with open_regular(record.path / FILE) as file:
                written = from_json(file.read())
            if written["made_from"] != self.made_from(record):
                return {}
            return {int(fold): tried for fold, tried in typed(dict[str, Tried], written["done"]).items()}
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return {}

    def keep(self, record: Record, done: dict[int, Tried], progress: Progress) -> None:
        """Write the results of the folds that are done into the run, so that the next call goes on behind them.

        Warn if the run is not the one any more whose settings were tried.
        """
        document = {"made_from": self.made_from(record), "done": {fold: asdict(one) for fold, one in done.items()}}
        with self.artifacts.run(record.name).lock(self.config.lock_timeout):
            if not record.is_current:
                progress.warn(f"run '{record.name}' was made again or removed meanwhile: its folds are not kept")
                return
            with atomic_file(record.path / FILE) as file:
                file.write(to_json(document).encode())


def _read(record: Record) -> tuple[Prepared, Ratings]:
    """The data, and the ratings of all parts by user, then by item: in the same order however they were cut."""
    prepared = Prepared(record)
    ratings = replace(prepared, whole=True).part("train")
    return prepared, ratings.take(np.lexsort((ratings.items, ratings.users)))


def cross_validate(config: EvaluateConfig, progress: Progress) -> CrossValidation:
    """Fit the settings of every run on every fold that is not done, and put the results side by side.

    Raises:
        ArtifactError: the data or a run are absent or damaged.
        DataError: the ratings are too few for so many folds.
        DivergedError: training diverged on a fold.
        Stopped: a signal came; the folds that are done are kept.
        UsageError: a run cannot be fitted to such data, or cannot rank so.
    """
    artifacts = Artifacts(config.dir)
    folds = Folds(config, artifacts)
    records = [artifacts.run(name).record() for name in dict.fromkeys(config.run)]
    for record in records:
        if record.config.get("warm_start") is not None:
            raise UsageError(
                f"--cross-validate: run '{record.name}' began with the vectors of another; "
                "name runs that were trained from the beginning"
            )
    done = {record.name: folds.done(record) for record in records}
    for fold in range(1, folds.number + 1):
        missing = [record for record in records if fold not in done[record.name]]
        if missing:
            for record, tried in _tried(folds, fold, missing, progress):
                of_run = done[record.name]
                of_run[fold] = tried
                folds.keep(record, of_run, progress)
    tried_on = {name: [of_run[1 + k] for k in range(folds.number)] for name, of_run in done.items()}
    runs = [
        OnFolds(
            run=record.name,
            solver=str(record.config["solver"]),
            settings=in_short(record.config),
            measures=_over([one.measures for one in tried_on[record.name]]),
        )
        for record in records
    ]
    first = tried_on[records[0].name]
    baselines = [OnFolds(name, "", "", _over([one.baselines[name] for one in first])) for name in first[0].baselines]
    differences = [one for run in runs[1:] for one in _differences(run, runs[0])]
    return CrossValidation(folds.number, folds.prepared.feedback, len(folds.ratings), runs, baselines, differences)


def _tried(folds: Folds, fold: int, records: Sequence[Record], progress: Progress) -> Iterator[tuple[Record, Tried]]:
    """The runs with what they come to on one fold, one after the other."""
    train, val, test = folds.parts(fold)
    data = TrainingData(train, val if len(val) else None, folds.prepared.features)
    mean = train.summary.mean if folds.prepared.feedback == "ratings" else None
    exam = Exam(test, train, folds.sizes, folds.config.relevant_from(mean))
    exposure = learn(train) if folds.sizes and by_exposure(folds.config.rank_by) else None
    baselines = _baselines(exam, train, folds.prepared.feedback)
    for record in records:
        name = record.name
        config = TrainConfig.from_mapping(record.config | {"refit": None})
        check_fits(config.solver, folds.prepared.feedback, train)
        where = f"fold {fold}/{folds.number}, run '{name}'"
        begin = time.perf_counter()
        model = _fitted(config, data, where, progress)
        seconds = time.perf_counter() - begin
        measures = _measures(exam, model, name, folds.config, exposure)
        told = ", ".join(f"{one} {measures[one]:.4f}" for one in shown(measures))
        progress.note(f"{where}: {told}, {seconds:.1f} s")
        yield record, Tried({**measures, SECONDS: seconds}, baselines)


def _baselines(exam: Exam, train: Ratings, feedback: Feedback) -> dict[str, Measures]:
    """What a model of the fold has to beat: biases alone in predicting ratings, the most popular items in lists."""
    found = {}
    if feedback == "ratings":
        found["biases alone"] = _values(exam.sums(exam.errors(bias_model(train)), {}))
    if exam.judge is not None:
        found["most popular"] = _values(exam.sums(None, exam.judged(Popularity(exam.judge.popularity))))
    return found


def _fitted(config: TrainConfig, data: TrainingData, where: str, progress: Progress) -> FactorModel:
    """The model of these settings. A signal ends it at once: a fold that is not done is begun anew."""
    compute = Compute(pick_device(config.device), config.threads)
    with SafePoints() as signals, torch_threads(compute.cores):
        fit = Fit.of(config, data, compute)
        epochs = fit.solver.epochs
        with progress.bar(where, epochs) as advance:
            try:
                while not fit.finished:
                    fit.run_epoch(lambda *_: signals.check())
                    advance(1)
            except Stopped as stop:
                message = f"stopped in {where}; the same command goes on from there"
                raise Stopped(stop.exit_code - 128, message) from None
            advance(epochs - len(fit.history))
        return fit.kept()[0]


def _measures(exam: Exam, model: FactorModel, name: str, config: EvaluateConfig, exposure: Exposure | None) -> Measures:
    """What the model comes to on the fold."""
    if exam.sizes and config.rank_by == "lower-bound":
        require_uncertainty(model, name, "--rank-by lower-bound")
    judged = exam.judged(scorer(config.rank_by, model, exposure, model.uncertainties)) if exam.sizes else {}
    return _values(exam.sums(None if model.of_clicks else exam.errors(model), judged))


def _values(sums: Sums) -> Measures:
    """All measures of the sums."""
    return {measure: sums.value(measure) for measure in sums.totals}


def _over(results: Sequence[Measures]) -> dict[str, FoldValues]:
    """The measures of every fold, by their names."""
    measures = {name: [float(one[name]) for one in results] for name in results[0]}
    return {
        name: FoldValues(float(np.mean(values)), float(np.std(values, ddof=1)), values)
        for name, values in measures.items()
    }


def _differences(run: OnFolds, first: OnFolds) -> Iterator[Difference]:
    """The run's measures less those of the first."""
    for name, spread in run.measures.items():
        if name != SECONDS and name in first.measures:
            other = first.measures[name]
            interval, p = corrected(np.subtract(spread.folds, other.folds))
            difference = spread.mean - other.mean
            yield Difference(f"{name} of '{run.run}'", spread.mean, other.mean, difference, interval, p)


def corrected(differences: np.ndarray) -> tuple[tuple[float, float], float]:
    """The interval of the mean of (k,) differences on k folds, and how often chance alone would bring it.

    t = d / √((1/k + n_test/n_train) s²), with k - 1 degrees of freedom; n_test/n_train is 1/(k - 1) (Nadeau and Bengio,
    Machine Learning 2003).
    """
    from scipy.stats import t

    k = len(differences)
    mean, error = float(differences.mean()), float(differences.std(ddof=1) * np.sqrt(1 / k + 1 / (k - 1)))
    if error == 0:
        return (mean, mean), float(mean == 0)
    reach = float(t.ppf((1 + LEVEL) / 2, k - 1)) * error
    return (mean - reach, mean + reach), float(2 * t.sf(abs(mean) / error, k - 1))
