"""What ours are measured against: other people's solvers, behind one small interface.

A fit is built from the training part, which it may bring into its library's own form; that is not timed, ``fit`` is.
Keyword arguments are settings that a row of the table may change; their defaults are the best known to us.
"""

from typing import Any, Protocol

import numpy as np

from mfcli.arrays import Floats, Int32s
from mfcli.data.features import Features
from mfcli.data.ratings import Ratings, Sides


class Fit(Protocol):
    """One method of fitting.

    Attributes:
        package: what to name, with its version, in the table.
        note: what else a reader must know to judge the row.
        epochs: passes over the ratings that fit made.
        outside: seconds spent in fit that are no part of fitting.
    """

    package: str
    note: str
    epochs: int
    outside: float

    def fit(self) -> None:
        """Fit, with everything in memory."""

    def predict(self, users: Int32s, items: Int32s) -> Floats:
        """(n,) predictions for (n,) rows of users and items; NaN where the method has none."""


class Biases:
    """μ + b_u + b_i and nothing else."""

    package, note, epochs, outside = "mfcli", "", 10, 0.0

    def __init__(self, train: Ratings, threads: int) -> None:
        from mfcli.models.baselines import bias_model

        self.train, self.bias_model = train, bias_model

    def fit(self) -> None:
        self.model = self.bias_model(self.train)

    def predict(self, users: Int32s, items: Int32s) -> Floats:
        return self.model.predict(users, items)


class Surprise:
    """Stochastic gradient descent in Cython, one thread."""

    package, note, outside = "scikit-surprise", "one thread", 0.0

    def __init__(
        self, train: Ratings, threads: int, *, factors: int = 32, epochs: int = 40, lr: float = 0.005, reg: float = 0.07
    ) -> None:
        import pandas as pd
        from surprise import SVD, Dataset, Reader

        self.epochs = epochs
        scale = float(train.ratings.min()), float(train.ratings.max())
        frame = pd.DataFrame({"user": train.users, "item": train.items, "rating": train.ratings})
        self.trainset = Dataset.load_from_df(frame, Reader(rating_scale=scale)).build_full_trainset()
        self.svd = SVD(n_factors=factors, n_epochs=epochs, lr_all=lr, reg_all=reg, random_state=1)

    def fit(self) -> None:
        self.svd.fit(self.trainset)

    def predict(self, users: Int32s, items: Int32s) -> Floats:
        return np.array([self.svd.predict(u, i).est for u, i in zip(users.tolist(), items.tolist(), strict=True)])


class LensKit:
    """Alternating least squares in Rust; predicts through LensKit's own pipeline."""

    package, note, outside = "lenskit", "BiasedMFScorer", 0.0

    def __init__(
        self, train: Ratings, threads: int, *, factors: int = 32, epochs: int = 20, reg: float = 0.1, damping: float = 5
    ) -> None:
        import pandas as pd
        from lenskit.als import BiasedMFScorer
        from lenskit.data import from_interactions_df
        from lenskit.pipeline import predict_pipeline
        from lenskit.training import TrainingOptions

        self.epochs = epochs
        frame = pd.DataFrame({"user_id": train.users, "item_id": train.items, "rating": train.ratings})
        self.data = from_interactions_df(frame)
        scorer = BiasedMFScorer(embedding_size=factors, epochs=epochs, regularization=reg, damping=damping)
        self.pipeline = predict_pipeline(scorer)
        self.options = TrainingOptions(rng=1)

    def fit(self) -> None:
        self.pipeline.train(self.data, self.options)

    def predict(self, users: Int32s, items: Int32s) -> Floats:
        from lenskit import predict
        from lenskit.data import ItemList

        out = np.empty(len(users))
        for user in np.unique(users):
            rows = np.flatnonzero(users == user)
            out[rows] = predict(self.pipeline, int(user), ItemList(item_ids=items[rows])).scores()
        return out


class Cornac:
    """Stochastic gradient descent in Cython, threads that race."""

    package, note, outside = "cornac", "MF", 0.0

    def __init__(
        self, train: Ratings, threads: int, *, factors: int = 32, epochs: int = 40, lr: float = 0.01, reg: float = 0.05
    ) -> None:
        from cornac.data import Dataset
        from cornac.models import MF

        self.epochs = epochs
        ids = ({row: row for row in range(n)} for n in (train.n_users, train.n_items))
        triples = train.users.astype(np.int64), train.items.astype(np.int64), train.ratings.astype(float)
        self.data = Dataset(train.n_users, train.n_items, *ids, triples)
        self.mf = MF(k=factors, max_iter=epochs, learning_rate=lr, lambda_reg=reg, num_threads=threads)

    def fit(self) -> None:
        self.mf.fit(self.data)

    def predict(self, users: Int32s, items: Int32s) -> Floats:
        mf = self.mf
        dots = np.einsum("nk,nk->n", mf.u_factors[users], mf.i_factors[items])
        return np.asarray(mf.global_mean + mf.u_biases[users] + mf.i_biases[items] + dots)


class Cmfrec:
    """Alternating least squares in C."""

    package, note, outside = "cmfrec", "CMF, λ per rating", 0.0

    def __init__(self, train: Ratings, threads: int, *, factors: int = 32, epochs: int = 15, reg: float = 0.07) -> None:
        from cmfrec import CMF
        from scipy.sparse import coo_matrix

        self.epochs = epochs
        self.data = coo_matrix((train.ratings, (train.users, train.items)), shape=(train.n_users, train.n_items))
        self.cmf = CMF(k=factors, lambda_=reg, scale_lam=True, niter=epochs, nthreads=threads, verbose=False)

    def fit(self) -> None:
        self.cmf.fit(self.data)

    def predict(self, users: Int32s, items: Int32s) -> Floats:
        return np.asarray(self.cmf.predict(users, items))


class MyFM:
    """A Bayesian factorization machine, Gibbs sampling in C++, one thread."""

    package, note, outside = "myfm", "one thread", 0.0

    def __init__(self, train: Ratings, threads: int, *, factors: int = 16, epochs: int = 100) -> None:
        from myfm import MyFMRegressor

        self.epochs, self.train = epochs, train
        self.fm = MyFMRegressor(rank=factors, random_seed=1)
        self.data = self._one_hot(train.users, train.items)

    def _one_hot(self, users: Int32s, items: Int32s) -> Any:
        from scipy.sparse import csr_matrix

        n, width = len(users), self.train.n_users + self.train.n_items
        columns = np.stack([users, items + self.train.n_users], axis=1).ravel()
        return csr_matrix((np.ones(2 * n), columns, np.arange(0, 2 * n + 1, 2)), shape=(n, width))

    def fit(self) -> None:
        groups = [self.train.n_users, self.train.n_items]
        self.fm.fit(self.data, self.train.ratings, n_iter=self.epochs, group_shapes=groups)

    def predict(self, users: Int32s, items: Int32s) -> Floats:
        return np.asarray(self.fm.predict(self._one_hot(users, items)))


class MyFMBlocks:
    """The same with side information in myFM's RelationBlocks: a row's own column, who rated what, and its features."""

    package, note, outside = "myfm", "RelationBlocks, one thread", 0.0

    def __init__(
        self, train: Ratings, threads: int, features: Sides[Features | None], *, factors: int = 10, epochs: int = 100
    ) -> None:
        from myfm import MyFMRegressor
        from scipy.sparse import csr_matrix, diags_array, eye_array, hstack

        self.epochs, self.train = epochs, train
        self.fm = MyFMRegressor(rank=factors, random_seed=1)
        rated = csr_matrix((np.ones(len(train)), (train.users, train.items)), shape=(train.n_users, train.n_items))
        self.sides, self.groups = [], []
        for side, known in zip((rated, rated.T.tocsr()), features, strict=True):
            weights = diags_array(np.maximum(np.diff(side.indptr), 1) ** -0.5)
            kinds = [eye_array(side.shape[0]), weights @ side, *([] if known is None else [known.matrix])]
            self.sides.append(hstack(kinds, format="csr", dtype=np.float64))
            self.groups += [kind.shape[1] for kind in kinds]
        self.data = self._blocks(train.users, train.items)

    def _blocks(self, users: Int32s, items: Int32s) -> Any:
        from myfm import RelationBlock

        return [
            RelationBlock(rows.astype(np.int64), side) for rows, side in zip((users, items), self.sides, strict=True)
        ]

    def fit(self) -> None:
        self.fm.fit(None, self.train.ratings, X_rel=self.data, n_iter=self.epochs, group_shapes=self.groups)

    def predict(self, users: Int32s, items: Int32s) -> Floats:
        return np.asarray(self.fm.predict(None, self._blocks(users, items)))


class LibMF:
    """Stochastic gradient descent in C++, no biases. Its package's own predict is broken; its factors are not."""

    package, note, outside = "libmf", "P·Q of its factors", 0.0

    def __init__(
        self, train: Ratings, threads: int, *, factors: int = 32, epochs: int = 30, reg: float = 0.05, eta: float = 0.1
    ) -> None:
        from libmf.mf import MF

        self.epochs = epochs
        l2 = {"lambda_p2": reg, "lambda_q2": reg, "lambda_p1": 0.0, "lambda_q1": 0.0}
        self.mf = MF(k=factors, nr_iters=epochs, eta=eta, nr_threads=threads, quiet=True, **l2)
        self.data = np.stack([train.users, train.items, train.ratings], axis=1).astype(np.float32)

    def fit(self) -> None:
        self.mf.fit(self.data)

    def predict(self, users: Int32s, items: Int32s) -> Floats:
        p, q = self.mf.p_factors(), self.mf.q_factors()
        out = np.full(len(users), np.nan)
        known = (users < len(p)) & (items < len(q))  # its tables end at the last row it has seen
        out[known] = np.einsum("nk,nk->n", p[users[known]], q[items[known]])
        return out
