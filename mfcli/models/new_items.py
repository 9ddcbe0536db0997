"""New items: a run that answers for items that nobody has rated yet, too."""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mfcli.data.ratings import Sides
from mfcli.errors import UsageError
from mfcli.models.expected import Expected, fill
from mfcli.models.exposure import Exposure
from mfcli.models.model import FactorModel
from mfcli.models.run import TrainedRun

EXPOSED = 0.5
"""Power of its ratings by which a row weighs in what exposure a new item is expected to have. With items of
ml-latest-small held out at random, lists with new items are then as good as without (NDCG@10 0.328 both), and with 0.75
a fiftieth worse: known items would make way for new ones that few of the users meet."""


def with_new_items(trained: TrainedRun, items: Any) -> TrainedRun:
    """The run with items more, which it predicts and ranks by their features.

    Args:
        items: table of :func:`mfcli.data.new_items.read_new_items`.

    Raises:
        UsageError: the model predicts nothing of unrated items.
    """
    if trained.model.biases is None and not trained.model.of_clicks:
        raise UsageError(
            "--items-new: a model without biases predicts the mean of every item that nobody rated: "
            "train one with --biases"
        )
    prepared = replace(trained.prepared, new_items=items)
    known = prepared.features.items
    assert known is not None, "read_new_items has refused data without features of items"
    n = trained.model.n_items
    model = fill(_longer(trained.model, len(items)), 1, np.arange(n, n + len(items)), known.matrix)
    exposure = trained.exposure and _exposed(trained.exposure, model, known.matrix)
    return replace(trained, prepared=prepared, model=model, exposure=exposure)


def _longer(model: FactorModel, more: int) -> FactorModel:
    """The model with so many items more, all zeros."""
    longer = model.changed(lambda of_users: of_users, lambda of_items: _with_zeros(of_items, more))
    newcomer = model.newcomer
    if newcomer is not None and newcomer.basis is not None:
        newcomer = replace(newcomer, basis=_with_zeros(newcomer.basis, more))
    return replace(longer, newcomer=newcomer)


def _exposed(exposure: Exposure, model: FactorModel, features: Any) -> Exposure:
    """The exposure to these items too. A leverage of 1 says that they tell nothing of other items."""
    n, more = exposure.n_items, model.n_items - exposure.n_items
    expected = Expected.of(exposure.vectors.items, features[:n], model.counts.items[:n], EXPOSED)
    vectors = expected.rows(features[n:]).astype(np.float32)
    return replace(
        exposure,
        vectors=Sides(exposure.vectors.users, np.concatenate([exposure.vectors.items, vectors])),
        leverages=np.append(exposure.leverages, np.ones(more, np.float32)),
    )


def _with_zeros(array: npt.NDArray[Any], more: int) -> npt.NDArray[Any]:
    """The array with so many rows of zeros behind it."""
    return np.concatenate([array, np.zeros((more, *array.shape[1:]), array.dtype)])
