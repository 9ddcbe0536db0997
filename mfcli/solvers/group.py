"""Bringing together the processes that torchrun, or another launcher of torch.distributed, has started."""

import contextlib
from collections.abc import Iterator
from datetime import timedelta

import torch
import torch.distributed as dist
from torch.distributed.rendezvous import rendezvous

from mfcli.errors import PeerError
from mfcli.ranks import claim_by, place
from mfcli.solvers.compute import Compute

PATIENCE = timedelta(minutes=30)  # how long a process waits for another that still has its connection


@contextlib.contextmanager
def joined() -> Iterator[Compute]:
    """This process among those that work together, on the CPU until it is told otherwise; a single process is alone.

    What the block raises in a process that is not alone is to be told by the first of them that asks.

    Raises:
        PeerError: the processes do not find each other.
    """
    here, cpu = place(), torch.device("cpu")
    if here.world == 1:
        yield Compute(cpu)
        return
    try:
        store, rank, world = next(rendezvous("env://", timeout=PATIENCE))
        backends = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backends, store=store, rank=rank, world_size=world, timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:
        raise PeerError(f"the {here.world} processes have not found each other: {error}") from None

    def claim() -> bool:
        try:
            return bool(store.add("told", 1) == 1)
        except RuntimeError:  # whoever kept the store has gone
            return True

    claim_by(claim)
    yield Compute(cpu, 0, rank, world)
    dist.destroy_process_group()
