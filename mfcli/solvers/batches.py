"""Mini-batches: ratings as a torch Dataset, and the order in which they come. A whole batch costs one indexing."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from mfcli.arrays import Bools
from mfcli.data.ratings import Ratings, Sides
from mfcli.data.shared import Chosen
from mfcli.solvers.compute import Compute
from mfcli.solvers.seeds import mixed_seed

Example = tuple[Tensor, Tensor, Tensor]


class RatingsDataset(Dataset[Example]):
    """Ratings as tensors; an index, or a whole tensor of indices, fetches users, items and ratings."""

    def __init__(self, ratings: Ratings, device: torch.device) -> None:
        self.users = torch.from_numpy(ratings.users).to(device)
        self.items = torch.from_numpy(ratings.items).to(device)
        self.ratings = torch.from_numpy(ratings.ratings).to(device)

    def __len__(self) -> int:
        return len(self.ratings)

    def __getitem__(self, index: Tensor | int) -> Example:
        if isinstance(index, int):
            return self.users[index], self.items[index], self.ratings[index]
        # index_select is several times faster than tensor[index] on a CPU.
        return self.users.index_select(0, index), self.items.index_select(0, index), self.ratings.index_select(0, index)


def own_share(compute: Compute) -> Chosen:
    """Which ratings a process wants: those whose place, divided by the number of processes, leaves its rank."""

    def chosen(ratings: Ratings, begin: int) -> Sides[Bools]:
        mine = np.arange(begin, begin + len(ratings)) % compute.world == compute.rank
        return Sides(mine, np.zeros(len(ratings), bool))

    return chosen


class ShuffledBatches(Sampler[Tensor]):
    """Batches of shuffled indices. The order is a function of the seed and the epoch alone, so that it can be resumed.

    Set ``epoch`` and ``first``, the batch to begin with, before iterating. Of several processes, each of which has an
    :func:`own_share` of the ratings, every one has the part of every batch that is in its share, by places there.

    Args:
        size: ratings in all.
        batch: ratings of a batch, of all processes together.
        seed: of the order.
        compute: where the indices lie, and which of the processes this is.
    """

    def __init__(self, size: int, batch: int, seed: int, compute: Compute) -> None:
        self.size, self.batch, self.seed, self.compute = size, batch, seed, compute
        self.epoch = self.first = 0

    def __len__(self) -> int:
        return -(-self.size // self.batch)

    def whole(self, number: int) -> int:
        """Ratings of that batch, of all processes together."""
        return min(self.batch, self.size - number * self.batch)

    def __iter__(self) -> Iterator[Tensor]:
        generator = torch.Generator().manual_seed(mixed_seed(self.seed, self.epoch))
        order = torch.randperm(self.size, generator=generator, dtype=torch.int32)
        mine = order % self.compute.world == self.compute.rank
        parts = np.add.reduceat(mine.numpy(), np.arange(0, self.size, self.batch), dtype=np.int64)
        order = (order[mine] // self.compute.world).to(self.compute.device)
        yield from torch.split(order, parts.tolist())[self.first :]
