"""Where a solver computes: the device, the CPU threads, and which of several processes this one is."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy.typing as npt
import torch

from mfcli.errors import UsageError

A = TypeVar("A")
B = TypeVar("B")


class Map(Protocol):
    """Python's ``map`` of one iterable."""

    def __call__(self, work: Callable[[A], B], over: Iterable[A], /) -> Iterator[B]: ...


@dataclass(frozen=True)
class Compute:
    """Where a solver computes.

    Attributes:
        device: where its tensors lie.
        threads: CPU threads; 0 for as many as pay off.
        rank: number of this process among ``world`` of them.
        world: how many processes share the work.
    """

    device: torch.device
    threads: int = 0
    rank: int = 0
    world: int = 1

    @property
    def cores(self) -> int:
        """CPU threads at the most: those asked for, else torch's."""
        return self.threads or torch.get_num_threads()

    def place(self, array: npt.NDArray[Any]) -> torch.Tensor:
        """The array as a tensor on the device."""
        return torch.from_numpy(array).to(self.device)

    @contextlib.contextmanager
    def one_core_each(self) -> Iterator[Map]:
        """A ``map`` that works in as many threads as there are cores, each computing with one; results in order.

        Within the block everything else computes with one core too. On a GPU it is Python's own ``map``.
        """
        cores = self.cores
        if self.device.type != "cpu" or cores == 1:
            yield map
            return
        with torch_threads(1), ThreadPoolExecutor(cores, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            try:
                yield pool.map
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise


@contextlib.contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Within the block torch computes with so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Within the block NumPy and SciPy compute with one thread: with several, last bits depend on how many they are."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"):
        yield


def pick_device(wanted: str) -> torch.device:
    """The device of that name; ``auto`` is CUDA where there is one. Raises UsageError if it is not there."""
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if wanted != "cpu" and int(wanted.partition(":")[2] or 0) >= torch.cuda.device_count():
        raise UsageError(f"--device {wanted}: there is no such CUDA device here; --device cpu works everywhere")
    return torch.device(wanted)
