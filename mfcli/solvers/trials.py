"""The trials of a search, kept on disk: so that it can go on while it is not done, as a table when it is."""

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mfcli.checkpoint import Checkpoint, of_checkpoint
from mfcli.config.space import Space, check, plain, space_of
from mfcli.config.train import TrainConfig
from mfcli.data.training import TrainingData
from mfcli.errors import ArtifactError, UsageError
from mfcli.models.measures import Measure
from mfcli.progress import Progress
from mfcli.signals import SafePoints
from mfcli.solvers.compute import Compute
from mfcli.solvers.search import Search, Trial


@dataclass(frozen=True)
class Journal:
    """The file of a search that is not done.

    Attributes:
        path: the file.
    """

    path: Path

    @classmethod
    def of(cls, folder: Path) -> "Journal":
        """That of the run in a folder."""
        return cls(folder / "search.safetensors")

    @property
    def begun(self) -> bool:
        """Whether there is such a file."""
        return os.path.lexists(self.path)

    def save(self, begun: "Begun", trials: Sequence[Trial]) -> None:
        """Write what the search was begun with, and its trials until now."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        Checkpoint({}, {"begun": asdict(begun), "trials": [asdict(trial) for trial in trials]}).save(self.path)

    def read(self) -> tuple["Begun", list[Trial]]:
        """What :meth:`save` wrote. Raises ArtifactError if it is damaged."""
        values = Checkpoint.load(self.path).values
        with of_checkpoint(self.path):
            return Begun(**values["begun"]), [Trial(**trial) for trial in values["trials"]]

    def config(self, config: TrainConfig) -> TrainConfig:
        """The options that the search was begun with; of how many trials, what ``config`` says if it does.

        Raises UsageError if an option was given that says otherwise.
        """
        begun, _ = self.read()
        flag = config.contradiction(begun.config)
        if flag is not None:
            raise UsageError(f"{flag}: the search was begun with another value: leave {flag} out, or do not --resume")
        with of_checkpoint(self.path):
            again = config.again(begun.config)
            return again if config.search else replace(again, search=begun.trials)


@dataclass(frozen=True)
class Begun:
    """What a search was begun with.

    Attributes:
        config: the options, as they are recorded.
        trials: how many there were to be.
        space: what is searched for, as a file has it.
        inputs: name -> SHA-256 of what the data were read from.
    """

    config: dict[str, Any]
    trials: int
    space: dict[str, Any]
    inputs: dict[str, str]


def find_settings(
    config: TrainConfig,
    journal: Journal,
    inputs: dict[str, str],
    data: TrainingData,
    compute: Compute,
    progress: Progress,
) -> TrainConfig:
    """The config with the best of ``config.search`` settings.

    Args:
        config: with ``resume``, a search that the journal holds goes on.
        journal: of the run.
        inputs: name -> SHA-256 of what the data were read from.
        data: without the test part, so that nothing is chosen by it.
        compute: where.
        progress: told of every trial.

    Raises:
        ArtifactError: the journal is damaged, or of other data.
        DivergedError: no trial came to an end.
        Stopped: a signal came; the trials until then are kept.
        UsageError: the space cannot be, or Optuna is not there.
    """
    begun, space, earlier = _begun(config, journal, inputs)
    search = Search(config, space, data, compute)
    for trial in earlier:
        search.repeat(trial)
    journal.save(begun, search.trials)
    with SafePoints() as signals, progress.bar("trial", config.search) as advance:
        advance(len(earlier))
        while len(search.trials) < config.search:
            trial = search.run(lambda done, total, rmse: signals.check())
            journal.save(begun, search.trials)
            mark = "best" if trial is search.best else trial.state.replace("done", "")
            progress.note(_line(trial, config.search, search.measure, mark))
            advance(1)
            signals.check()
    settled, best = search.settled(), search.best
    if best is not None:
        progress.note(f"training with the settings of trial {best.number}: {_settings(best)}")
    return settled


def _begun(config: TrainConfig, journal: Journal, inputs: dict[str, str]) -> tuple[Begun, Space, list[Trial]]:
    """What the search begins with, or was begun with if it goes on; what is searched for; the trials until now."""
    if not (config.resume and journal.begun):
        space = space_of(config)
        return Begun(config.recorded(), config.search, plain(space), inputs), space, []
    begun, earlier = journal.read()
    with of_checkpoint(journal.path):
        space = check(begun.space, config, str(journal.path))
    if config.space is not None and space_of(config) != space:
        raise UsageError("--space: the search was begun with another: leave --space out, or do not --resume")
    if begun.inputs != inputs:
        raise ArtifactError(f"{journal.path} belongs to other data: train without --resume")
    return begun, space, earlier


def _line(trial: Trial, trials: int, measure: Measure, mark: str) -> str:
    number = f"trial {trial.number:>{len(str(trials))}}/{trials}"
    value = "" if trial.value is None else f"val {measure.name} {trial.value:.4f}"
    return "  ".join(filter(None, [number, value, _settings(trial), mark]))


def _settings(trial: Trial) -> str:
    return ", ".join(f"{name} {_short(value)}" for name, value in trial.settings.items())


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def table(trials: Sequence[Trial], measure: Measure) -> str:
    """All trials as CSV: number, state, what it came to, epochs and settings."""
    text = io.StringIO()
    names = list(trials[0].settings)
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["trial", "state", f"validation_{measure.key}", "epochs", *names])
    for one in trials:
        value = "" if one.value is None else f"{one.value:.6f}"
        rows.writerow([one.number, one.state, value, len(one.curve), *(one.settings[name] for name in names)])
    return text.getvalue()
