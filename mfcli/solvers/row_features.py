"""Side information as a solver sees it: a matrix F with a row of features for every row of one side.

Its first columns are dense, those of co-ratings; the others are sparse, those of attributes. A solver learns from
the rows with ratings alone. What is said of the others is found from these at the end (:mod:`mfcli.models.expected`).
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mfcli.arrays import Float32s, Float64s, Int32s
from mfcli.config.train import TrainConfig
from mfcli.data.features import Features
from mfcli.data.ratings import Sides
from mfcli.data.training import TrainingData
from mfcli.errors import UsageError
from mfcli.models.newcomer import NewcomerPrior
from mfcli.solvers.co_ratings import KIND as CO_RATINGS
from mfcli.solvers.co_ratings import shared_co_ratings
from mfcli.solvers.compute import Compute
from mfcli.solvers.sparse_rows import SparseRows
from mfcli.threads import one_blas_thread


@dataclass(frozen=True, eq=False)
class RowFeatures:
    """F, (n, f), of one side.

    Attributes:
        columns: kind of side information -> its columns: that of co-ratings, and ``users`` or ``items``.
        dense: (n, e) float32, the first of them.
        sparse: (n, f - e) float32, the others.
        transposed: (f - e, n) the same.
        attributes: the same as a (n, f - e) ``scipy.sparse.csr_matrix``.
        rated: (n,) bool, whether a row has ratings.
        gram: (f, f) float64 FᵀF of these rows.
        basis: (n_items, e) float32, what the first columns of a user are made of, as :class:`CoRatings` has it.
    """

    columns: dict[str, slice]
    dense: Tensor
    sparse: SparseRows
    transposed: SparseRows
    attributes: Any
    rated: Tensor
    gram: Tensor
    basis: Float32s

    @classmethod
    def of(
        cls,
        kind: str,
        counts: Int32s,
        co_ratings: Float32s | None,
        features: Features | None,
        compute: Compute,
        basis: Float32s | None = None,
    ) -> "RowFeatures":
        """From features of either kind or of both.

        Args:
            kind: what the sparse ones are called, ``users`` or ``items``.
            counts: (n,) ratings of each row.
            co_ratings: (n, e), or None.
            features: of n rows, or None.
            compute: where tensors are to lie.
            basis: as the attribute; None where nobody new is told of.
        """
        from scipy.sparse import csr_matrix

        dense = np.zeros((len(counts), 0), np.float32) if co_ratings is None else co_ratings
        sparse = csr_matrix((len(counts), 0), dtype=np.float32) if features is None else features.matrix
        rated = counts > 0
        width, total = dense.shape[1], dense.shape[1] + sparse.shape[1]
        spans = {CO_RATINGS: slice(0, width), kind: slice(width, total)}
        return cls(
            columns={name: span for name, span in spans.items() if span.stop > span.start},
            dense=compute.place(dense),
            sparse=SparseRows.of(sparse, compute),
            transposed=SparseRows.of(sparse.T, compute),
            attributes=sparse,
            rated=compute.place(rated),
            gram=compute.place(_gram(dense[rated], sparse[rated])),
            basis=np.zeros((0, width), np.float32) if basis is None else basis,
        )

    @property
    def width(self) -> int:
        """f."""
        return len(self.gram)

    def times(self, link: Tensor, columns: slice | None = None) -> Tensor:
        """F B: (n, d), of a (f, d) link; with ``columns`` of one kind, what these contribute."""
        e = self.dense.shape[1]
        if columns is None:
            return self.dense @ link[:e] + self.sparse @ link[e:]
        alone = torch.zeros_like(link)
        alone[columns] = link[columns]
        return self.times(alone)

    def times_at(self, rows: Tensor, link: Tensor) -> Tensor:
        """F B for (b,) rows alone: (b, d). Gradients reach the link."""
        if len(rows) >= len(self.rated):  # every row once costs less than those of the batch as often as it has them
            every: Tensor = _Times.apply(link, self)  # type: ignore[no-untyped-call]
            return every.index_select(0, rows)
        e = self.dense.shape[1]
        dense = self.dense.index_select(0, rows) @ link[:e]
        return dense if e == self.width else dense + self.sparse.take(rows) @ link[e:]

    def typical(self) -> Float64s:
        """(f,) mean over the rows with ratings."""
        sums = self.transposed_times(self.rated[:, None].float())[:, 0]
        mean: Float64s = (sums.double() / self.rated.sum()).cpu().numpy()
        return mean

    def regression(self, rows: Tensor, penalty: float) -> Tensor:
        """(f, d) float64 link of a ridge regression, with an intercept, of the rows that have ratings.

        Args:
            rows: (n, d).
            penalty: of the squared link.
        """
        rated = torch.nonzero(self.rated)[:, 0]
        mean = rows.index_select(0, rated).mean(0)
        typical = torch.from_numpy(self.typical()[:, None]).to(self.gram)
        gram = self.gram - len(rated) * typical @ typical.T
        moment = self.transposed_times((rows - mean) * self.rated[:, None]).double()
        link: Tensor = torch.linalg.solve(gram + penalty * torch.eye(len(gram)).to(gram), moment)
        return link

    def tell(self, prior: NewcomerPrior, link: Float64s) -> NewcomerPrior:
        """The prior of newcomers whose features add to their mean what this (f, d) link says."""
        return replace(prior, link=link, basis=self.basis, typical=self.typical())

    def transposed_times(self, rows: Tensor) -> Tensor:
        """FᵀZ: (f, d), of (n, d) rows."""
        return torch.cat([self.dense.T @ rows, self.transposed @ rows])

    def explained(self, link: Tensor, rows: Tensor) -> dict[str, float]:
        """Share of the variance of (n, d) rows that each kind of features makes up with this (f, d) link."""
        if len(rows) == 1:  # which does not vary
            return dict.fromkeys(self.columns, 0.0)
        whole = float(rows.var(0).sum())
        parts = {kind: float(self.times(link, columns).var(0).sum()) for kind, columns in self.columns.items()}
        return {kind: part / whole if whole else 0.0 for kind, part in parts.items()}


class _Times(torch.autograd.Function):
    """F B of all rows, whose gradient by B is Fᵀ times that by F B."""

    @staticmethod
    def forward(ctx: Any, link: Tensor, features: RowFeatures) -> Tensor:
        ctx.features = features
        return features.times(link)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.features.transposed_times(gradient), None


def by_side(users: dict[str, float], items: dict[str, float]) -> dict[str, float]:
    """What :meth:`RowFeatures.explained` says of both sides, as :meth:`Solver.explained` names it."""
    return {
        kind if kind == side else f"{kind} of {side}": share
        for side, shares in (("users", users), ("items", items))
        for kind, share in shares.items()
    }


def _gram(dense: Float32s, sparse: Any) -> Float64s:
    """FᵀF of F = [dense, sparse]."""
    exact = dense.astype(np.float64)
    mixed = np.asarray(sparse.T @ exact)
    square = sparse.astype(np.float64)
    return np.block([[exact.T @ exact, mixed.T], [mixed, (square.T @ square).toarray()]])


def attributes(features: Sides[RowFeatures | None]) -> Sides[Any]:
    """The attributes of both sides, as :func:`mfcli.models.expected.with_expected` takes them."""
    return Sides(*(None if side is None else side.attributes for side in features))


def row_features(config: TrainConfig, data: TrainingData, compute: Compute) -> Sides[RowFeatures | None]:
    """What the options say is to be used of the side information there is.

    Raises:
        UsageError: an option names what the data do not have.
    """
    train = data.train
    of_users, of_items = (
        _chosen(config, kind, features) for kind, features in zip(Sides._fields, data.features, strict=True)
    )
    with one_blas_thread():
        found = shared_co_ratings(train, compute) if CO_RATINGS in config.side_kinds else None
        rows = Sides(None, None) if found is None else found.rows
        basis = np.zeros((train.n_items, 0), np.float32) if found is None else found.basis
        users = items = None
        if rows.users is not None or of_users is not None:
            users = RowFeatures.of("users", train.user_counts(), rows.users, of_users, compute, basis)
        if rows.items is not None or of_items is not None:
            items = RowFeatures.of("items", train.item_counts(), rows.items, of_items, compute)
    return Sides(users, items)


def _chosen(config: TrainConfig, kind: str, features: Features | None) -> Features | None:
    """The features of one side if they are to be used. Raises UsageError if they are asked for and there are none."""
    if kind in config.side and features is None:
        raise UsageError(f"--side {kind}: the data hold no features of {kind}; `mfcli prepare` makes them of files")
    return features if kind in config.side_kinds else None
