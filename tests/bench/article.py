"""The article's own loop, as the article writes it, to be timed beside our ``adam``.

A Dataset that fetches one rating at a time, DataLoader(batch_size=32, shuffle=True), nn.Embedding tables from N(0, 1),
torch.bmm, RMSELoss and Adam. Two faults are cured, without which there would be nothing to compare: the test pass does
not train, and each table has one row per user or item. Printing and the test pass after every epoch are left out.
"""

import sys
import time
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from mfcli.arrays import Int32s
from mfcli.data.ratings import Ratings


class RatingsDataset(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """One rating at a time."""

    def __init__(self, ratings: Ratings) -> None:
        self.users = torch.from_numpy(ratings.users).long()
        self.items = torch.from_numpy(ratings.items).long()
        self.ratings = torch.from_numpy(ratings.ratings)

    def __len__(self) -> int:
        return len(self.ratings)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        return self.users[index], self.items[index], self.ratings[index]


class MatrixFactorization(nn.Module):
    """p·q."""

    def __init__(self, n_users: int, n_items: int, factors: int) -> None:
        super().__init__()
        self.user_factors = nn.Embedding(n_users, factors)
        self.item_factors = nn.Embedding(n_items, factors)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        p = self.user_factors(users).unsqueeze(1)
        q = self.item_factors(items).unsqueeze(2)
        return torch.bmm(p, q).flatten()


class RMSELoss(nn.Module):
    """sqrt(MSE + 1e-6)."""

    def __init__(self) -> None:
        super().__init__()
        self.mse = nn.MSELoss()

    def forward(self, predicted: Tensor, actual: Tensor) -> Tensor:
        return torch.sqrt(self.mse(predicted, actual) + 1e-6)


class ArticleLoop:
    """The loop as a :class:`tests.bench.fits.Fit`."""

    package, note, outside = "torch", "", 0.0

    def __init__(
        self, train: Ratings, threads: int, *, factors: int = 100, epochs: int = 30, batch: int = 32, lr: float = 1e-3
    ) -> None:
        torch.set_num_threads(threads)
        torch.manual_seed(1234)
        self.epochs = epochs
        self.loader = DataLoader(RatingsDataset(train), batch_size=batch, shuffle=True)
        self.model = MatrixFactorization(train.n_users, train.n_items, factors)
        self.criterion = RMSELoss()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=lr)

    def fit(self) -> None:
        for epoch in range(self.epochs):
            start, losses = time.perf_counter(), []
            self.model.train()
            for users, items, ratings in self.loader:
                self.optimizer.zero_grad()
                loss = self.criterion(self.model(users, items), ratings)
                loss.backward()
                self.optimizer.step()
                losses.append(loss.item())
            spent = time.perf_counter() - start
            sys.stderr.write(f"epoch {epoch + 1}: mean of batch RMSEs {np.mean(losses):.4f}, {spent:.1f} s\n")

    def predict(self, users: Int32s, items: Int32s) -> npt.NDArray[Any]:
        self.model.eval()
        with torch.no_grad():
            predicted: Tensor = self.model(torch.from_numpy(users).long(), torch.from_numpy(items).long())
        return predicted.numpy()
