"""The artifact directory: which stage lies where, and the least command that makes it there.

    raw/<dataset>/   data/   runs/<run>/     each a stage, each with a stage.json

A run keeps in ``data/`` of its own a copy of the data that it was trained on, so that it lives on whatever is prepared.
"""

from dataclasses import dataclass
from pathlib import Path

from mfcli.config.download import DownloadConfig
from mfcli.config.plot import PlotConfig
from mfcli.config.prepare import PrepareConfig
from mfcli.config.train import TrainConfig
from mfcli.errors import UsageError
from mfcli.slot import slots
from mfcli.stage import Stage

DATA = "data"  # the prepared ratings; in a run, its copy of those that it was trained on


@dataclass(frozen=True)
class Artifacts:
    """The artifact directory."""

    root: Path

    def raw(self, dataset: str) -> Stage:
        """The published files of a data set."""
        return Stage(self.root / "raw" / dataset, DownloadConfig(dir=self.root, name=dataset))

    def downloaded(self) -> list[str]:
        """Names of the data sets under raw/, sorted."""
        return [slot.path.name for slot in slots(self.root / "raw")]

    @property
    def data(self) -> Stage:
        """The prepared ratings."""
        return Stage(self.root / DATA, PrepareConfig(dir=self.root))

    def run(self, name: str) -> Stage:
        """A trained model."""
        return Stage(self.root / "runs" / name, TrainConfig(dir=self.root, run=name))

    def trained(self) -> list[str]:
        """Names of the runs that are finished, sorted."""
        return [slot.path.name for slot in slots(self.root / "runs")]

    def plots(self, run: str) -> Stage:
        """The figures of a run."""
        return Stage(self.run(run).path / "plots", PlotConfig(dir=self.root, run=run))

    def require_outside(self, output: Path) -> None:
        """Raise UsageError if what --output names lies among the stages, which nothing but mfcli may change."""
        for name in ("raw", DATA, "runs"):
            if output.resolve().is_relative_to((self.root / name).resolve()):
                raise UsageError(f"--output {output} lies among the artifacts: name another place")
