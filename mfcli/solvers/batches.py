"""Mini-batches: ratings as a torch Dataset, and the order in which they come. A whole batch costs one indexing."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from mfcli.data.ratings import Ratings
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


class ShuffledBatches(Sampler[Tensor]):
    """Batches of shuffled indices. The order is a function of the seed and the epoch alone, so that it can be resumed.

    Set ``epoch`` and ``first``, the batch to begin with, before iterating.
    """

    def __init__(self, size: int, batch: int, seed: int, device: torch.device) -> None:
        self.size, self.batch, self.seed, self.device = size, batch, seed, device
        self.epoch = self.first = 0

    def __len__(self) -> int:
        return -(-self.size // self.batch)

    def __iter__(self) -> Iterator[Tensor]:
        generator = torch.Generator().manual_seed(mixed_seed(self.seed, self.epoch))
        order = torch.randperm(self.size, generator=generator).to(self.device)
        yield from torch.split(order, self.batch)[self.first :]
