"""A training run that is not finished yet: all that going on needs, in one safetensors file, replaced as a whole."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from mfcli.artifacts import atomic_file
from mfcli.errors import ArtifactError
from mfcli.models.model import FactorModel, metadata
from mfcli.solvers.base import State

FILE = "checkpoint.safetensors"
FORMAT = 1


@dataclass
class Best:
    """The model with the best validation RMSE so far; without a validation part, nothing."""

    epoch: int = 0
    validation_rmse: float = float("inf")
    model: FactorModel | None = None


@dataclass
class Checkpoint:
    """Where a run stands.

    Attributes:
        key: what the run is made from; another key, another run.
        state: the solver's.
        history: one record an epoch, as in history.jsonl.
        best: best so far.
    """

    key: dict[str, Any]
    state: State
    history: list[dict[str, Any]] = field(default_factory=list)
    best: Best = field(default_factory=Best)

    def save(self, path: Path) -> None:
        """Write the file; it appears whole or not at all."""
        from safetensors.torch import save

        tensors = {f"state.{name}": t for name, t in self.state.tensors.items()}
        values: dict[str, Any] = {"key": self.key, "state": self.state.values, "history": self.history, "best": None}
        if self.best.model is not None:
            tensors |= {f"best.{name}": torch.from_numpy(a) for name, a in self.best.model.arrays().items()}
            values["best"] = [self.best.epoch, self.best.validation_rmse, self.best.model.scalars()]
        text = json.dumps({"format": FORMAT} | values)
        content = save(tensors, metadata={"mfcli": text})
        with atomic_file(path, sync=False) as file:
            file.write(content)
            file.write(hashlib.sha256(content).digest())

    @classmethod
    def load(cls, path: Path) -> "Checkpoint":
        """Read what :meth:`save` wrote. Raises ArtifactError if it is damaged."""
        from safetensors.torch import load

        content = path.read_bytes()
        content, digest = content[:-32], content[-32:]
        if hashlib.sha256(content).digest() != digest:
            raise ArtifactError(f"{path} is damaged: train again without --resume")
        tensors = load(content)
        values = metadata(content)
        if values["format"] != FORMAT:
            raise ArtifactError(f"{path} was written by another version of mfcli: train again without --resume")
        state = {name.removeprefix("state."): t for name, t in tensors.items() if name.startswith("state.")}
        best = Best()
        if values["best"] is not None:
            epoch, validation_rmse, scalars = values["best"]
            arrays: dict[str, Any] = {
                name.removeprefix("best."): t.numpy() for name, t in tensors.items() if name.startswith("best.")
            }
            best = Best(epoch, validation_rmse, FactorModel.of(arrays, scalars))
        return cls(values["key"], State(state, values["state"]), values["history"], best)
