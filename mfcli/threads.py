"""How many threads NumPy and SciPy compute with."""

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Within the block NumPy and SciPy compute with one thread: with several, last bits depend on how many they are."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"):
        yield
