"""Searching for the settings that predict the validation part best, with Optuna.

The sampler is the tree-structured Parzen estimator (Bergstra, Bardenet, Bengio and Kégl, NeurIPS 2011). A trial that is
worse than the median of the earlier ones at the same epoch is broken off (Golovin et al., KDD 2017). What to try next
follows from the seed and from the results of the trials before. So a search that was interrupted goes on as if it had
not been: its trials are told to the sampler again.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from mfcli.config.space import Choices, Space
from mfcli.config.train import TrainConfig
from mfcli.data.training import TrainingData
from mfcli.errors import ArtifactError, DivergedError, UsageError
from mfcli.models.measures import Measure
from mfcli.solvers.base import Tick
from mfcli.solvers.compute import Compute
from mfcli.solvers.create import solver_class
from mfcli.solvers.fit import Fit

UNPRUNED = 5  # trials that are run to the end before any is broken off
WARM_UP = 3  # epochs of each, after the burn-in of gibbs, before it can be


@dataclass(frozen=True)
class Trial:
    """Settings that were tried.

    Attributes:
        number: from 1.
        state: ``done``, ``pruned`` (broken off) or ``diverged``.
        settings: option -> value.
        curve: what every epoch came to on the validation part, by the solver's measure.
        value: what the model to keep came to; None if there is none.
    """

    number: int
    state: str
    settings: dict[str, Any]
    curve: list[float]
    value: float | None


class Search:
    """A search on its way.

    Args:
        config: the settings beside those that are searched for; its seed is the search's.
        space: what is searched for.
        data: the training and the validation part.
        compute: where.
    """

    def __init__(self, config: TrainConfig, space: Space, data: TrainingData, compute: Compute) -> None:
        self.config, self.space, self.data, self.compute = config, space, data, compute
        self.trials: list[Trial] = []
        optuna = _optuna()
        burn_in = config.burn_in if config.solver == "gibbs" else 0
        self.study = optuna.create_study(
            direction="maximize" if self.measure.rises else "minimize",
            sampler=optuna.samplers.TPESampler(seed=config.seed),
            pruner=optuna.pruners.MedianPruner(UNPRUNED, burn_in + WARM_UP),
        )
        # The settings as they are come first: the search finds none that are worse.
        begin = {name: getattr(config, name) for name, among in space.items() if getattr(config, name) in among}
        self.study.enqueue_trial(begin)
        self.distributions = {name: _distribution(config, name, among) for name, among in space.items()}

    @property
    def measure(self) -> Measure:
        """What trials are judged by."""
        return solver_class(self.config.solver).method.validation_measure

    @property
    def best(self) -> Trial | None:
        """The best trial until now, the first of several."""
        found: Trial | None = None
        for trial in self.trials:
            if trial.state != "done" or trial.value is None:
                continue
            if found is None or self.measure.better(trial.value, found.value):
                found = trial
        return found

    def settled(self) -> TrainConfig:
        """The config with the best settings. Raises DivergedError if no trial came to an end."""
        if self.best is None:
            raise DivergedError(f"all {len(self.trials)} trials diverged: search elsewhere (--space FILE)")
        return replace(self.config, **self.best.settings)

    def repeat(self, trial: Trial) -> None:
        """Take over what an earlier process tried. Raises ArtifactError if this search would have tried another."""
        asked = self.study.ask(self.distributions)
        if self._settings(asked) != trial.settings:
            raise ArtifactError("this search was begun by another version of Optuna: search anew, without --resume")
        for epoch, value in enumerate(trial.curve, 1):
            asked.report(value, epoch)
        self._tell(asked, trial)

    def run(self, tick: Tick) -> Trial:
        """Try one more. What the tick raises ends the trial, which is then as if it had not been begun."""
        asked = self.study.ask(self.distributions)
        settings = self._settings(asked)
        curve: list[float] = []
        state, value = "done", None
        try:
            for validation, best in self._epochs(replace(self.config, **settings), tick):
                curve.append(validation)
                value = best
                asked.report(validation, len(curve))
                if asked.should_prune():
                    state = "pruned"
                    break
        except DivergedError:
            state, value = "diverged", None
        trial = Trial(len(self.trials) + 1, state, settings, curve, value)
        self._tell(asked, trial)
        return trial

    def _epochs(self, config: TrainConfig, tick: Tick) -> Iterator[tuple[float, float]]:
        """What every epoch came to on the validation part, and what the model to keep until then did."""
        fit = Fit.of(config, self.data, self.compute)
        while not fit.finished:
            epoch = fit.run_epoch(tick)
            assert epoch.validation is not None
            kept = fit.best.validation
            yield epoch.validation, epoch.validation if kept is None else kept

    def _settings(self, asked: Any) -> dict[str, Any]:
        return {name: asked.params[name] for name in self.space}

    def _tell(self, asked: Any, trial: Trial) -> None:
        from optuna.trial import TrialState

        states = {"done": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "diverged": TrialState.FAIL}
        self.study.tell(asked, trial.value if trial.state == "done" else None, states[trial.state])
        self.trials.append(trial)


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise UsageError("--search needs Optuna: pip install 'mfcli[search]'") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def _distribution(config: TrainConfig, name: str, among: Any) -> Any:
    from optuna import distributions

    if isinstance(among, Choices):
        return distributions.CategoricalDistribution(among.values)
    kinds: dict[type, Callable[..., Any]] = {
        int: distributions.IntDistribution,
        float: distributions.FloatDistribution,
    }
    return kinds[config.option(name).kind](among.low, among.high, log=among.log)
