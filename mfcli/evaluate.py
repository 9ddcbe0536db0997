"""``mfcli evaluate``: how good a trained model's predictions are, beside what it has to beat."""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from mfcli.artifacts import Artifacts
from mfcli.atomic import atomic_file, to_json
from mfcli.config.evaluate import EvaluateConfig
from mfcli.data.ratings import Ratings
from mfcli.errors import UsageError
from mfcli.models import metrics
from mfcli.models.baselines import bias_model, mean_model
from mfcli.models.lists import Figures, Judge
from mfcli.models.model import FactorModel
from mfcli.models.run import TrainedRun, open_run
from mfcli.models.scorers import Chance, Popularity
from mfcli.progress import Progress

TOP_OF_CLICKS = 10  # items of the lists that a run of clicks is judged by, unless --top says otherwise


@dataclass(frozen=True)
class Lists:
    """How good the top n of every user are, beside the same list for all and lists drawn at random.

    Attributes:
        n: items in each list.
        run, popular, random: figures by their names: the means over users of precision, recall, NDCG, MAP, MRR and
            hit_rate; coverage, Gini and mean_popularity of all lists together.
    """

    n: int
    run: Figures
    popular: Figures
    random: Figures


@dataclass(frozen=True)
class Ranking:
    """How well the run ranks.

    Attributes:
        rank_by: what ranked its items.
        candidates: which items the lists are made of.
        relevant_from: rating from which an item of the part is relevant; None if all are, as of clicks.
        users: how many have a relevant item in the part; they get the lists.
        lists: of each length asked for.
    """

    rank_by: str
    candidates: str
    relevant_from: float | None
    users: int
    lists: list[Lists]


@dataclass(frozen=True)
class Calibration:
    """How well a model knows what it does not know.

    Attributes:
        within_1, within_2: share of the ratings within so many predictive standard deviations of their prediction; of
            a normal distribution 0.683 and 0.954.
        log_density: mean log density of the ratings under normal predictive distributions.
        mean_deviation: of the predictive standard deviations.
    """

    within_1: float
    within_2: float
    log_density: float
    mean_deviation: float


@dataclass(frozen=True)
class Some:
    """How good a model is on some of the ratings.

    Attributes:
        ratings: how many.
        rmse: of the model.
        bias_rmse: of biases alone.
    """

    ratings: int
    rmse: float
    bias_rmse: float


@dataclass(frozen=True)
class Evaluation:
    """The result; evaluation.json holds the same.

    Attributes:
        run, part: what was evaluated on what.
        feedback: whether the part holds ``ratings`` or ``clicks``.
        ratings: how many of them.
        rmse, mae: of the model. These and the next are None of a run that learnt from clicks: it predicts no ratings.
        mean_rmse, mean_mae: of predicting the training mean.
        bias_rmse, bias_mae: of biases alone.
        warm, cold: the ratings whose user and item both have training ratings, and the others; None if there are none.
        oracle_rmse: of the true model on all ratings, for synthetic data.
        calibration: of a model that tells how sure it is (solver gibbs).
        ranking: with --top, and of clicks always.
        max_rmse: the gate, if one was set.
        passed: whether the gate was met; None without a gate.
    """

    run: str
    part: str
    feedback: str
    ratings: int
    ranking: Ranking | None
    rmse: float | None = None
    mae: float | None = None
    mean_rmse: float | None = None
    mean_mae: float | None = None
    bias_rmse: float | None = None
    bias_mae: float | None = None
    warm: Some | None = None
    cold: Some | None = None
    oracle_rmse: float | None = None
    calibration: Calibration | None = None
    max_rmse: float | None = None
    passed: bool | None = None


def evaluate(config: EvaluateConfig, progress: Progress | None = None) -> Evaluation:
    """Predict one part of the ratings, or rank, and write the run's evaluation.json. Reads the model, never changes it.

    The gate's outcome is in the result: whoever wants it to be an error raises it.

    Raises:
        ArtifactError: run or data are absent, damaged or not of each other.
        UsageError: the run cannot rank so, or has no RMSE for a gate.
    """
    progress = progress or Progress()
    trained = open_run(Artifacts(config.dir), config.run, config.rank_by if any(config.top) else None, progress.note)
    if trained.model.of_clicks and not config.top:
        config = replace(config, top=(TOP_OF_CLICKS,))
        trained = open_run(Artifacts(config.dir), config.run, config.rank_by)
    train, part = trained.prepared.part("train"), trained.prepared.part(config.part)
    if trained.model.of_clicks and config.max_rmse is not None:
        raise UsageError(f"--max-rmse: run '{config.run}' learnt from clicks, and predicts no ratings")
    result = Evaluation(
        run=config.run,
        part=config.part,
        feedback=trained.prepared.feedback,
        ratings=len(part),
        ranking=_ranking(config, trained, train, part, progress),
        **({} if trained.model.of_clicks else _predictions(config, trained, train, part)),
    )
    made_from = {"model": trained.record.fingerprint, "data": trained.prepared.fingerprint}
    with trained.locked(config.lock_timeout), atomic_file(trained.record.stage.path / "evaluation.json") as file:
        file.write(to_json({**asdict(result), "inputs": made_from}).encode())
    return result


def _predictions(config: EvaluateConfig, trained: TrainedRun, train: Ratings, part: Ratings) -> dict[str, Any]:
    """How good the predicted ratings are: the fields of an Evaluation that say so."""

    def errors(model: FactorModel) -> tuple[float, float]:
        predicted = model.predict(part.users, part.items, part.timestamps)
        return metrics.rmse(part.ratings, predicted), metrics.mae(part.ratings, predicted)

    biases, known = bias_model(train), trained.model.known(part.users, part.items)
    rmse, mae = errors(trained.model)
    mean_rmse, mean_mae = errors(mean_model(train))
    bias_rmse, bias_mae = errors(biases)
    return {
        "rmse": rmse,
        "mae": mae,
        "mean_rmse": mean_rmse,
        "mean_mae": mean_mae,
        "bias_rmse": bias_rmse,
        "bias_mae": bias_mae,
        "warm": _some(part.take(known), trained.model, biases),
        "cold": _some(part.take(~known), trained.model, biases),
        "oracle_rmse": trained.prepared.record.results.get("oracle_rmse"),
        "calibration": _calibration(trained.model, part),
        "max_rmse": config.max_rmse,
        "passed": None if config.max_rmse is None else rmse <= config.max_rmse,
    }


def _some(ratings: Ratings, model: FactorModel, biases: FactorModel) -> Some | None:
    if not len(ratings):
        return None
    rmse, bias_rmse = (
        metrics.rmse(ratings.ratings, one.predict(ratings.users, ratings.items, ratings.timestamps))
        for one in (model, biases)
    )
    return Some(len(ratings), rmse, bias_rmse)


def _calibration(model: FactorModel, part: Ratings) -> Calibration | None:
    deviations = model.deviations(part.users, part.items, part.timestamps)
    if deviations is None:
        return None
    actual, predicted = part.ratings, model.predict(part.users, part.items, part.timestamps)
    return Calibration(
        within_1=metrics.coverage(actual, predicted, deviations, 1),
        within_2=metrics.coverage(actual, predicted, deviations, 2),
        log_density=metrics.log_density(actual, predicted, deviations),
        mean_deviation=float(deviations.mean(dtype=np.float64)),
    )


def _ranking(
    config: EvaluateConfig, trained: TrainedRun, train: Ratings, part: Ratings, progress: Progress
) -> Ranking | None:
    """Lists for every user with a relevant item in the part. Warns if those of the most popular items are better."""
    sizes = sorted({size for size in config.top if size})
    if not sizes:
        return None
    relevant_from = config.relevant
    if relevant_from is None and not trained.model.of_clicks:
        relevant_from = float(np.nextafter(trained.model.mean, np.inf))
    relevant = part if relevant_from is None else part.take(part.ratings >= relevant_from)
    popularity, of_train = train.item_counts(), config.part == "train"
    hidden = None if of_train else train.by_user()
    judge = Judge(relevant, hidden, popularity)
    scorers = (trained.scorer(config.rank_by), Popularity(popularity), Chance(train.n_items))
    with progress.bar("ranking", len(scorers) * len(judge.users)) as advance:
        run, popular, random = (judge.figures(one, sizes, advance) for one in scorers)
    lists = [Lists(size, run[size], popular[size], random[size]) for size in sizes]
    for one in lists:
        if one.run["NDCG"] < one.popular["NDCG"]:
            progress.warn(
                f"run '{config.run}' ranked by {config.rank_by} is worse than the list of the most popular items: "
                f"NDCG@{one.n} {one.run['NDCG']:.4f} against {one.popular['NDCG']:.4f}"
            )
    what = trained.prepared.feedback.removesuffix("s")
    candidates = "all items" if of_train else f"all items without a training {what} of the user's"
    return Ranking(config.rank_by, candidates, relevant_from, len(judge.users), lists)
