"""Where a solver computes: the device, the CPU threads, and which of several processes this one is.

Every process has a rank and works on pieces of its own; all that is made of them is the same in every process, as one
process alone would have made it. A single process is the only rank of a world of one.
"""

import contextlib
import heapq
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from torch import Tensor

from mfcli.arrays import Int64s
from mfcli.errors import MfcliError, PeerError, Stopped, StoppedAtOnce, UsageError, error_of
from mfcli.ranks import place

A = TypeVar("A")
B = TypeVar("B")

ROWS_AT_ONCE = {"cpu": 2**11, "cuda": 2**17}  # of a piece: copies stay in a core's cache


class Map(Protocol):
    """Python's ``map`` of one iterable."""

    def __call__(self, work: Callable[[A], B], over: Iterable[A], /) -> Iterator[B]: ...


@dataclass(frozen=True)
class Compute:
    """Where a solver computes.

    Attributes:
        device: where its tensors lie.
        threads: CPU threads; 0 for as many as pay off.
        rank: number of this process among ``world`` of them, which torch.distributed has brought together.
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

    @property
    def first(self) -> bool:
        """Whether this is rank 0, which has the terminal, the locks and the files."""
        return self.rank == 0

    def on(self, device: str, threads: int) -> "Compute":
        """The same process on the device of that name (:func:`pick_device`), with so many threads.

        Raises:
            UsageError: as there, or some of the processes would have CUDA and some not.
        """
        with self.together():
            picked = pick_device(device, None if self.world == 1 else place().local)
        if picked.index is not None:
            torch.cuda.set_device(picked)
        kinds = torch.tensor([picked.type == "cuda"], dtype=torch.int64)
        self.sum(kinds)
        if int(kinds) not in (0, int(picked.type == "cuda") * self.world):
            raise UsageError(f"{int(kinds)} of {self.world} processes have a CUDA device: say --device cpu")
        return replace(self, device=picked, threads=threads)

    def alone(self) -> "Compute":
        """The same place for work that every process does whole."""
        return Compute(self.device, self.threads)

    def place(self, array: npt.NDArray[Any]) -> Tensor:
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

    def deal(self, costs: npt.NDArray[Any]) -> list[Int64s]:
        """The numbers of the (n,) pieces of work that each rank does, ascending: about as much cost for each.

        The dearest first, each to the rank that has the least so far (Graham, SIAM J. Appl. Math. 1969).
        """
        loads = [(0, rank) for rank in range(self.world)]
        dealt: list[list[int]] = [[] for _ in loads]
        for piece in np.argsort(-costs, kind="stable").tolist():
            load, rank = loads[0]
            heapq.heapreplace(loads, (load + int(costs[piece]), rank))
            dealt[rank].append(piece)
        return [np.array(sorted(pieces), np.int64) for pieces in dealt]

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """What one rank raises within the block, an error of ours or a stop, all ranks raise at its end.

        Raises:
            PeerError: another process has ended without a word.
        """
        error: MfcliError | Stopped | StoppedAtOnce | None = None
        try:
            yield
        except (MfcliError, Stopped, StoppedAtOnce) as raised:
            if self.world == 1 or isinstance(raised, PeerError):
                raise
            error = raised
        if self.world == 1:
            return
        codes = torch.zeros(self.world, dtype=torch.int64)
        codes[self.rank] = 0 if error is None else error.exit_code
        self.sum(codes)
        if not bool(codes.any()):
            return
        failed = int(codes.nonzero()[0])
        message = self.broadcast(str(error), by=failed)
        raise error if error is not None and failed == self.rank else error_of(int(codes[failed]), message)

    def broadcast(self, value: Any, by: int = 0) -> Any:
        """What rank ``by`` has for a value, of what JSON can hold."""
        if self.world == 1:
            return value
        content = _as_bytes(value)
        size = torch.tensor([len(content)])
        self._send(size, by)
        text = torch.from_numpy(content) if self.rank == by else torch.empty(int(size), dtype=torch.uint8)
        self._send(text, by)
        return json.loads(text.numpy().tobytes())

    def arrays(self, made: Callable[[], dict[str, npt.NDArray[Any]]]) -> dict[str, npt.NDArray[Any]]:
        """Arrays that rank 0 makes, in every rank."""
        arrays: dict[str, npt.NDArray[Any]] = {}
        with self.together():
            if self.first:
                arrays = made()
        for name, (kind, shape) in self.broadcast({n: (a.dtype.str, a.shape) for n, a in arrays.items()}).items():
            array = np.ascontiguousarray(arrays[name]) if self.first else np.empty(shape, kind)
            self._send(torch.from_numpy(array), 0)
            arrays[name] = array
        return arrays

    def all_of(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The (n_r,) arrays of all ranks, one after the other."""
        if self.world == 1:
            return array
        sizes = torch.zeros(self.world, dtype=torch.int64)
        sizes[self.rank] = len(array)
        self.sum(sizes)
        parts = [np.empty(size, array.dtype) for size in sizes.tolist()]
        parts[self.rank] = np.ascontiguousarray(array)
        for rank, part in enumerate(parts):
            self._send(torch.from_numpy(part), rank)
        return np.concatenate(parts)

    def in_turn(self, mine: Iterator[Any]) -> Iterator[Any]:
        """What the ranks have by turns, of what JSON can hold, in rank 0; in the others nothing, while they send.

        ``mine`` is asked for the next value only when the last one is on its way, so that memory is bounded.
        """
        if not self.first:
            for value in itertools.chain(mine, [None]):
                content = torch.from_numpy(_as_bytes(value))
                with exchanging():
                    dist.send(torch.tensor([len(content)]), 0)
                    dist.send(content, 0)
            return
        left = list(range(self.world))
        while left:
            for rank in tuple(left):
                value = next(mine, None) if rank == 0 else self._received(rank)
                if value is None:
                    left.remove(rank)
                else:
                    yield value

    def _received(self, rank: int) -> Any:
        """The next value that rank sends."""
        size = torch.empty(1, dtype=torch.int64)
        with exchanging():
            dist.recv(size, rank)
            content = torch.empty(int(size), dtype=torch.uint8)
            dist.recv(content, rank)
        return json.loads(content.numpy().tobytes())

    def complete(self, values: Tensor, owned: Sequence[Tensor]) -> None:
        """Fill in what the other ranks have computed.

        Args:
            values: (n, ...), where this rank has filled in the rows ``owned[rank]``.
            owned: for every rank (n_r,) int64 rows.
        """
        if self.world == 1:
            return
        parts = [
            values.index_select(0, rows) if rank == self.rank else values.new_empty(len(rows), *values.shape[1:])
            for rank, rows in enumerate(owned)
        ]
        with exchanging():
            sent = [dist.broadcast(part, rank, async_op=True) for rank, part in enumerate(parts) if len(part)]
            for work in sent:
                work.wait()
        for rank, (rows, part) in enumerate(zip(owned, parts, strict=True)):
            if rank != self.rank:
                values.index_copy_(0, rows, part)

    def sum(self, *values: Tensor) -> None:
        """Put the sums over all ranks in the place of the values, the same in every rank, by one exchange.

        Where all but one have 0 the sum is what that one has, whatever the order.
        """
        if self.world == 1:
            return
        together = values[0] if len(values) == 1 else torch.cat([one.reshape(-1) for one in values])
        with exchanging():
            dist.all_reduce(together)
        if len(values) > 1:
            for one, found in zip(values, torch.split(together, [one.numel() for one in values]), strict=True):
                one.copy_(found.view_as(one))

    def _send(self, values: Tensor, rank: int) -> None:
        """Put that rank's values in the place of all others'."""
        if self.world > 1 and values.numel():
            with exchanging():
                dist.broadcast(values, rank)


def by_pieces(work: Callable[..., A], *rows: Tensor, workers: Map = map) -> Iterator[A]:
    """``work`` of some of the rows of all (n, ...) tensors at a time, in order: the same pieces for any ``workers``."""
    pieces = zip(*(torch.split(one, ROWS_AT_ONCE[one.device.type]) for one in rows), strict=True)
    return workers(lambda piece: work(*piece), pieces)


def _as_bytes(value: Any) -> npt.NDArray[np.uint8]:
    """The value as JSON."""
    return np.frombuffer(json.dumps(value).encode(), np.uint8).copy()


@contextlib.contextmanager
def exchanging() -> Iterator[None]:
    """Within the block an exchange that fails raises PeerError."""
    try:
        yield
    except RuntimeError as error:
        raise PeerError("another process of this run has ended or does not answer; see its own message") from error


@contextlib.contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Within the block torch computes with so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def pick_device(wanted: str, local: int | None = None) -> torch.device:
    """The device of that name; ``auto`` is CUDA where there is one.

    Args:
        wanted: the option.
        local: of one of several processes its number on this machine, which is that of its CUDA device.

    Raises:
        UsageError: it is not there, or all processes are to have the same one.
    """
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    if local is not None and wanted.startswith("cuda:"):
        raise UsageError(f"--device {wanted}: each of several processes has a device of its own: say --device cuda")
    if local is not None and wanted == "cuda":
        wanted = f"cuda:{local}"
    if wanted != "cpu" and int(wanted.partition(":")[2] or 0) >= torch.cuda.device_count():
        raise UsageError(f"--device {wanted}: there is no such CUDA device here; --device cpu works everywhere")
    return torch.device(wanted)
