"""How much a click says: its confidence, from how often, how long or how much."""

import numpy as np

from mfcli.arrays import Float32s


def confidences(weights: Float32s, typical: float) -> Float32s:
    """w of each click: log₂(1 + its weight over the typical one). It is 1 for a typical click, in whatever unit.

    The logarithm keeps a song that was played a thousand times from outweighing all others (Hu, Koren and Volinsky,
    ICDM 2008, offer it beside the plain count).

    Args:
        weights: (n,) above 0.
        typical: the median weight of the training clicks.

    Returns:
        (n,) float32.
    """
    confident: Float32s = np.log2(1 + weights / np.float32(typical)).astype(np.float32)
    return confident
