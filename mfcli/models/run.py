"""A finished run: the trained model together with the data it was trained on."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mfcli.arrays import Int64s
from mfcli.artifacts import DATA, Artifacts
from mfcli.checkpoint import FILE as CHECKPOINT
from mfcli.config.common import RankBy
from mfcli.data.prepared import Prepared
from mfcli.data.ratings import Sides
from mfcli.errors import ArtifactError, UsageError
from mfcli.models import model_file
from mfcli.models.exposure import FILE as EXPOSURE
from mfcli.models.exposure import Exposure
from mfcli.models.file_rows import FileRows
from mfcli.models.levels import Levels
from mfcli.models.model import FactorModel
from mfcli.models.model_file import FILE as MODEL
from mfcli.models.ranking import Scorer
from mfcli.models.scorers import by_exposure, scorer
from mfcli.record import Record
from mfcli.stage import Stage
from mfcli.stage_file import STAGE_FILE

TIMING = "timing.json"
"""What training took, beside the model: a second training of the same takes another time, and makes the same bytes."""

SEARCH = "search.csv"
"""The trials of the search that found its settings, a line each; none where none was made."""


@dataclass(frozen=True)
class TrainedRun:
    """A finished run and the data it was trained on.

    Attributes:
        stage: where it lies.
        record: of the run.
        prepared: the data.
        model: predicts ratings, or scores clicks.
        exposure: who is likely to meet what; None where it was not asked for.
    """

    stage: Stage
    record: Record
    prepared: Prepared
    model: FactorModel
    exposure: Exposure | None = None

    @functools.cached_property
    def levels(self) -> Levels:
        """The different ratings, of a model that tells how sure it is. Raises UsageError if there are too many."""
        return Levels.learn(self.model, self.prepared.part("train"))

    def read(self, users: Int64s) -> None:
        """Read the vectors of these (n,) users, so that damage is met before anything is told. Raises ArtifactError."""
        for vectors in (self.model.factors.users, self.exposure and self.exposure.vectors.users):
            if isinstance(vectors, FileRows):
                vectors.read(users)

    def scorer(self, rank_by: RankBy) -> Scorer:
        """What ranks the items for the users of the data, if the run was opened for ranking so."""
        return scorer(rank_by, self.model, self.exposure, self.model.uncertainties)

    @contextlib.contextmanager
    def locked(self, timeout: float) -> Iterator[None]:
        """Keep the run from being trained again while something is written beside its model.

        Raises:
            ArtifactError: it has been meanwhile, or another process writes to it for longer than ``timeout`` seconds.
        """
        with self.stage.lock(timeout):
            if self.stage.fingerprint != self.record.fingerprint:
                raise self.stage.made_again()
            yield


def open_run(
    artifacts: Artifacts, name: str, rank_by: RankBy | None = None, note: Callable[[str], None] | None = None
) -> TrainedRun:
    """A run's model together with the data that it was trained on, and what ranking by ``rank_by`` needs.

    Args:
        artifacts: where the run is.
        name: of the run.
        rank_by: what ranks the items; None if nothing does.
        note: told if data wait that are newer than the run.

    Raises:
        ArtifactError: it is absent or damaged.
        UsageError: the run cannot rank so.
    """
    stage = artifacts.run(name)

    def read(record: Record) -> TrainedRun:
        prepared = Prepared(record.kept(DATA, artifacts.data.config), whole=record.config.get("refit") is not None)
        model = record.opened_as(MODEL, model_file.from_file)
        _check_fits(record, MODEL, Sides(model.n_users, model.n_items), prepared)
        if rank_by == "lower-bound":
            require_uncertainty(model, name, "--rank-by lower-bound")
        if not by_exposure(rank_by):
            return TrainedRun(stage, record, prepared, model)
        exposure = record.opened_as(EXPOSURE, Exposure.from_file)
        _check_fits(record, EXPOSURE, Sides(*map(len, exposure.vectors)), prepared)
        return TrainedRun(stage, record, prepared, model, exposure)

    if not stage.exists() and (stage.path / CHECKPOINT).exists():
        raise ArtifactError(f"run '{name}' is not finished: run `{stage.command} --resume`")
    trained = stage.consistent(read)
    if note is not None and _newer_wait(artifacts, trained.record):
        how = "" if stage.is_previous else f": `{trained.record.made_by}` trains on them"
        note(f"run '{name}' is of earlier data than {artifacts.data.path} holds now{how}")
    return trained


def _newer_wait(artifacts: Artifacts, record: Record) -> bool:
    """Whether data/ holds others than the run was made from."""
    try:
        return artifacts.data.exists() and artifacts.data.record().fingerprint != record.inputs.get("data")
    except (ArtifactError, OSError):  # whoever needs them will say what is wrong
        return False


def _check_fits(record: Record, name: str, rows: Sides[int], prepared: Prepared) -> None:
    """Raise ArtifactError unless a file of the run is of as many users and items as the data."""
    if rows != (prepared.n_users, prepared.n_items):
        raise record.damaged(
            f"{record.path / name} is of {rows.users:,} users and {rows.items:,} items, "
            f"and {prepared.record.path / STAGE_FILE} says otherwise"
        )


def require_uncertainty(model: FactorModel, name: str, asked: str) -> None:
    """Raise UsageError if the model of the run of that name does not tell how sure it is, as ``asked`` needs."""
    if model.of_clicks:
        raise UsageError(f"{asked}: run '{name}' learnt from clicks, whose scores do not tell how sure they are")
    if model.variances is None:
        raise UsageError(f"{asked}: the solver of run '{name}' does not tell how sure it is; train with --solver gibbs")
