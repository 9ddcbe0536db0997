"""What ``mfcli evaluate`` says of a run. Intervals are 95 % ones, by user; None where one user is all there is."""

from dataclasses import dataclass, field

from mfcli.models.bootstrap import Interval
from mfcli.models.measures import Measures
from mfcli.models.segments import Segment


@dataclass(frozen=True)
class Lists:
    """How good the top n of every user are, beside the same list for all and lists drawn at random.

    Attributes:
        n: items in each list.
        run, popular, random: measures by their names: the means over users of precision, recall, NDCG, MAP, MRR and
            hit_rate; coverage, Gini and mean_popularity of all lists together.
    """

    n: int
    run: Measures
    popular: Measures
    random: Measures


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
        rmse_interval, bias_rmse_interval: of these.
    """

    ratings: int
    rmse: float
    bias_rmse: float
    rmse_interval: Interval | None
    bias_rmse_interval: Interval | None


@dataclass(frozen=True)
class Difference:
    """A measure of two runs on the same part, or on the same folds.

    Attributes:
        measure: RMSE, MAE, or one of lists, such as NDCG@10.
        run, against: its value for each.
        difference: of the run's less the other's.
        interval: of the difference, by user.
        p: how often chance alone would bring a difference as large.
    """

    measure: str
    run: float
    against: float
    difference: float
    interval: Interval | None
    p: float | None


@dataclass(frozen=True)
class Comparison:
    """A run beside another on the same part.

    Attributes:
        against: the other run, or the file of its evaluation.
        differences: of every measure that both have.
    """

    against: str
    differences: list[Difference]


@dataclass(frozen=True)
class Gate:
    """A bound that a measure of the run must not be beyond.

    Attributes:
        bound_of: what set it: an option and its value, in words.
        measure: RMSE, MAE or NDCG@N.
        value: the run's.
        bound: the last value that passes.
        passed: whether it is met.
        excess: by how much the value is beyond the bound; 0 if passed.
    """

    bound_of: str
    measure: str
    value: float
    bound: float
    passed: bool
    excess: float


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
        rmse_interval, mean_rmse_interval, bias_rmse_interval: of these.
        warm, cold: the ratings whose user and item both have training ratings, and the others; None if there are none.
        oracle_rmse: of the true model on all ratings, for synthetic data.
        calibration: of a model that tells how sure it is (solver gibbs).
        ranking: with --top, and of clicks always.
        segments: with --segments.
        comparison: with --against or --no-worse-than.
        gates: those that were set.
        passed: whether all gates were met; None without a gate.
        promoted: the run whose place it took then.
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
    rmse_interval: Interval | None = None
    mean_rmse_interval: Interval | None = None
    bias_rmse_interval: Interval | None = None
    warm: Some | None = None
    cold: Some | None = None
    oracle_rmse: float | None = None
    calibration: Calibration | None = None
    segments: list[Segment] | None = None
    comparison: Comparison | None = None
    gates: list[Gate] = field(default_factory=list)
    passed: bool | None = None
    promoted: str | None = None


@dataclass(frozen=True)
class FoldValues:
    """A measure on all folds.

    Attributes:
        mean, sd: over the folds.
        folds: the measure on each.
    """

    mean: float
    sd: float
    folds: list[float]


@dataclass(frozen=True)
class OnFolds:
    """The settings of a run, or a baseline, on all folds.

    Attributes:
        run, solver, settings: its name, its solver, and what is not at its default; of a baseline the name alone.
        measures: by their names: RMSE, MAE, those of lists such as NDCG@10, and the ``seconds`` that fitting took.
    """

    run: str
    solver: str
    settings: str
    measures: dict[str, FoldValues]


@dataclass(frozen=True)
class CrossValidation:
    """The result of ``evaluate --cross-validate``.

    Attributes:
        folds: how many.
        feedback: ``ratings`` or ``clicks``.
        ratings: how many there are in all folds together.
        runs: as they were named.
        baselines: what they have to beat: biases alone, and of lists the most popular items.
        differences: of the measures of each run but the first from those of the first: means over folds, with the
            interval and the p of the corrected t-test.
    """

    folds: int
    feedback: str
    ratings: int
    runs: list[OnFolds]
    baselines: list[OnFolds]
    differences: list[Difference]
