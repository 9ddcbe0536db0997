"""A finished run: the trained model together with the data it was trained on."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from mfcli.artifacts import Artifacts, Record
from mfcli.checkpoint import FILE as CHECKPOINT
from mfcli.data.prepared import Prepared
from mfcli.errors import ArtifactError
from mfcli.models.model import FILE as MODEL
from mfcli.models.model import FactorModel


@dataclass(frozen=True)
class TrainedRun:
    """A finished run and the data it was trained on."""

    record: Record
    prepared: Prepared
    model: FactorModel

    @contextlib.contextmanager
    def locked(self, timeout: float) -> Iterator[None]:
        """Keep the run from being trained again while something is written beside its model.

        Raises:
            ArtifactError: it has been meanwhile, or another process writes to it for longer than ``timeout`` seconds.
        """
        with self.record.stage.lock(timeout):
            if self.record.stage.record().fingerprint != self.record.fingerprint:
                raise ArtifactError(f"{self.record.stage.path} was trained again meanwhile: run this command again")
            yield


def open_run(artifacts: Artifacts, name: str) -> TrainedRun:
    """A run's model together with its data. Raises ArtifactError if one is absent, damaged or not of the other."""

    def read(record: Record) -> TrainedRun:
        prepared = Prepared(artifacts.data.record())
        if record.inputs.get("data") != prepared.fingerprint:
            raise ArtifactError(
                f"run '{name}' was trained on other data than {prepared.record.stage.path} holds now: "
                f"run `{record.command}` again"
            )
        return TrainedRun(record, prepared, FactorModel.from_bytes(record.read(MODEL)))

    stage = artifacts.run(name)
    if not stage.exists() and (stage.path / CHECKPOINT).exists():
        raise ArtifactError(f"run '{name}' is not finished: run `{stage.command} --resume`")
    return stage.consistent(read)
