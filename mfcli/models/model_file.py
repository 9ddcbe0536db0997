"""A trained model as a file of its run: what its arrays are called there, and what they must be to make a model."""

import contextlib
import io
from collections.abc import Mapping
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from mfcli.data.ratings import Sides
from mfcli.models.days import DayEffects
from mfcli.models.model import PAIRS, FactorModel
from mfcli.models.newcomer import NewcomerPrior
from mfcli.models.tensors import packed, unpacked
from mfcli.record import Guard

FILE = "model.safetensors"
SIDES = Sides("user", "item")
NEWCOMER, DAYS = "newcomer_", "day_"
"""What the names of arrays begin with: user_factors, newcomer_mean, day_keys."""

NEWCOMER_ARRAYS = ("precision", "mean", "each", "link", "basis", "typical")
LAYOUT = {
    "user_factors": "float32 users factors",
    "item_factors": "float32 items factors",
    "user_counts": "int32 users",
    "item_counts": "int32 items",
    "user_biases": "float32 users",
    "item_biases": "float32 items",
    "user_noise": "float32 users",
    "item_noise": "float32 items",
    "user_variances": "float32 users",
    "item_variances": "float32 items",
    "day_keys": "int64 days",
    "day_effects": "float32 days",
    "day_variances": "float32 days",
    "newcomer_precision": "float64 vector vector",
    "newcomer_mean": "float64 vector",
    "newcomer_each": "float64 vector vector",
    "newcomer_link": "float64 features vector",
    "newcomer_basis": "float32 items co-ratings",
    "newcomer_typical": "float64 features",
}
SCALARS = {
    "mean": float,
    "minimum": float,
    "maximum": float,
    "typical_click": float,
    "day_unknown": float,
    "newcomer_by_root_count": bool,
    "newcomer_noise": float,
}


def to_bytes(model: FactorModel) -> bytes:
    """The model as a safetensors file."""
    return packed(arrays(model), scalars(model))


def from_bytes(content: bytes) -> FactorModel:
    """The model that :func:`to_bytes` wrote. Raises ValueError if it is none."""
    return from_file(io.BytesIO(content)).changed(np.asarray, np.asarray)


def from_file(file: IO[bytes], guard: Guard = contextlib.nullcontext) -> FactorModel:
    """The same from a file that stays open; of users a :class:`FileRows`, which reads within ``guard``."""
    return unpacked(file, LAYOUT, SCALARS, _made, guard)


def arrays(model: FactorModel) -> dict[str, npt.NDArray[Any]]:
    """The model's arrays as the file names them."""
    pairs = {name: getattr(model, name) for name in PAIRS if getattr(model, name) is not None}
    named = {f"{side}_{name}": array for name, pair in pairs.items() for side, array in zip(SIDES, pair, strict=True)}
    if model.days is not None:
        named |= {f"{DAYS}{name}": getattr(model.days, name) for name in ("keys", "effects", "variances")}
    if model.newcomer is not None:
        known = {name: getattr(model.newcomer, name) for name in NEWCOMER_ARRAYS}
        named |= {f"{NEWCOMER}{name}": array for name, array in known.items() if array is not None}
    return named


def scalars(model: FactorModel) -> dict[str, Any]:
    """What the model has beside its arrays, as JSON can hold it."""
    named: dict[str, Any] = {"mean": model.mean, "minimum": model.minimum, "maximum": model.maximum}
    if model.of_clicks:
        named["typical_click"] = model.typical_click
    if model.days is not None:
        named[f"{DAYS}unknown"] = model.days.unknown
    if model.newcomer is not None:
        named |= {f"{NEWCOMER}{name}": getattr(model.newcomer, name) for name in ("by_root_count", "noise")}
    return named


def _made(arrays: Mapping[str, npt.NDArray[Any]], scalars: Mapping[str, Any]) -> FactorModel:
    """The model of what :func:`arrays` and :func:`scalars` gave.

    Raises:
        TypeError, KeyError: something is missing, or too much.
        ValueError: it is not what a model has.
    """
    named: dict[str, Any] = {**arrays, **scalars}
    given = [name for name in PAIRS if any(f"{side}_{name}" in named for side in SIDES)]
    pairs: dict[str, Any] = {name: Sides(*(named.pop(f"{side}_{name}") for side in SIDES)) for name in given}
    days, prior = (
        {name.removeprefix(start): named.pop(name) for name in list(named) if name.startswith(start)}
        for start in (DAYS, NEWCOMER)
    )
    model = FactorModel(
        **named,
        **pairs,
        days=DayEffects(**days) if days else None,
        newcomer=NewcomerPrior(**prior) if prior else None,
    )
    _check(model)
    return model


def _check(model: FactorModel) -> None:
    """Raise ValueError where numbers are what no model has, whatever the layout says."""
    if not model.minimum <= model.mean <= model.maximum:
        raise ValueError("its mean is not between minimum and maximum")
    if model.typical_click is not None and model.typical_click <= 0:
        raise ValueError("its typical click is not above 0")
    pairs = {"counts": model.counts, "noise": model.noise, "variances": model.variances}
    for name, pair in pairs.items():
        if pair is not None and any((side < 0).any() for side in pair):
            raise ValueError(f"its {name} are below 0")
    days, prior, width = model.days, model.newcomer, model.n_factors + (model.biases is not None)
    if days is not None and ((np.diff(days.keys) <= 0).any() or (days.variances < 0).any() or days.unknown < 0):
        raise ValueError("its days are in no order, or their variances below 0")
    if prior is None:
        return
    if len(prior.mean) != width or prior.noise <= 0:
        raise ValueError("its prior of newcomers is of another model")
    known = (prior.link, prior.basis, prior.typical)
    if len({one is None for one in known}) > 1:
        raise ValueError("its prior of newcomers has not all that features need")
    if prior.basis is not None and prior.typical is not None and prior.basis.shape[1] > len(prior.typical):
        raise ValueError("its prior of newcomers has too few features")
