"""Seeds for every place that draws at random."""

import hashlib


def mixed_seed(seed: int, *parts: int) -> int:
    """A seed for each epoch, half or other part of a run, unrelated to those of its neighbours.

    It is a function of its arguments alone. So no random state has to be kept: a run that is resumed at an epoch draws
    what the run undisturbed draws there.
    """
    text = "/".join(map(str, (seed, *parts)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1
