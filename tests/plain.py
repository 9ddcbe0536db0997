"""The solvers in a few lines of NumPy each: what to read first, and what the real ones must agree with.

A row's vector is z = [p, b]: its factors and its bias. Given the other side, a rating is r = μ + x·z + b' + noise with
x = [q, 1], so every row is a regression of its own.
"""

from collections.abc import Iterator

import numpy as np
from scipy import stats

from mfcli.arrays import Float64s, Int32s
from mfcli.data.ratings import Ratings


def regressions(rows: Int32s, others: Float64s, ratings: Float64s, n: int) -> Iterator[tuple[int, Float64s, Float64s]]:
    """For each of n rows: its number, x (s, d) and the targets r - μ - b' (s,). ``others`` are the ratings' (n, d)."""
    for row in range(n):
        mine = others[rows == row]
        yield row, np.column_stack([mine[:, :-1], np.ones(len(mine))]), ratings[rows == row] - mine[:, -1]


def als(
    train: Ratings, rows: list[Float64s], alpha: float, priors: list[tuple[Float64s, Float64s, Float64s]], rounds: int
) -> tuple[list[Float64s], float]:
    """Alternating least squares with penalties that are learnt: the (n, d) vectors of users and items, and α.

    Args:
        rows: to begin with; those of the items count.
        alpha: precision of the ratings' noise.
        priors: of users and of items Λ, m and S, the covariance of the factors of who is rated or rates.
    """
    ratings = train.ratings - train.ratings.mean(dtype=np.float64)
    n, d = len(ratings), rows[0].shape[1]
    at, factors = [train.users, train.items], np.diag([1.0] * (d - 1) + [0.0])
    counts = [np.bincount(at[side], minlength=len(rows[side])) for side in (0, 1)]
    for _ in range(rounds):
        for side in (0, 1):
            (precision, mean, _), (_, _, spread) = priors[side], priors[1 - side]
            rows[side] = np.array(
                [
                    np.linalg.solve(alpha * (x.T @ x + len(y) * spread) + precision, alpha * x.T @ y + precision @ mean)
                    for _, x, y in regressions(at[side], rows[1 - side][at[1 - side]], ratings, len(rows[side]))
                ]
            )
        x = [np.column_stack([rows[side][:, :-1], np.ones(len(rows[side]))])[at[side]] for side in (0, 1)]
        moments = [x[side].T @ x[side] / n for side in (0, 1)]
        found, unsure = [], []
        for side in (0, 1):
            precision, _, _ = priors[side]
            growth = alpha * (moments[1 - side] + priors[1 - side][2])
            covariances = np.array([np.linalg.inv(precision + c * growth) for c in counts[side]])
            typical, own = covariances[at[side]].mean(0), rows[side][counts[side] > 0]
            away = np.vstack([own, np.zeros(d)]) - own.sum(0) / (len(own) + 1)
            scatter = away.T @ away + covariances[counts[side] > 0].sum(0) + np.eye(d)
            found.append((np.linalg.inv(scatter / len(away)), own.sum(0) / len(away), factors @ typical @ factors))
            unsure.append(typical)
        predicted = (x[0][:, :-1] * x[1][:, :-1]).sum(1) + sum(rows[side][at[side], -1] for side in (0, 1))
        expected = ((ratings - predicted) ** 2).sum()
        expected += n * np.trace(unsure[1] @ moments[0] + unsure[0] @ (moments[1] + found[1][2]))
        alpha, priors = (n + 2) / (expected + 2), found
    return rows, alpha


def implicit_als(
    weights: Float64s, items: Float64s, unclicked: float, l2: float, rounds: int, short: int
) -> tuple[Float64s, Float64s]:
    """Factors of users and items for clicks; the objective is that of Rendle et al. (RecSys 2022).

    Rows of up to ``short`` clicks are solved for. The others take a step of steepest descent, preconditioned with Λ.

    Args:
        weights: (n_users, n_items) w of every click, 0 where there is none.
        items: (n_items, k) factors to begin with.
    """

    def half(weights: Float64s, q: Float64s, rows: Float64s) -> Float64s:
        after = []
        for w, z in zip(weights, rows, strict=True):
            clicks = (w > 0).sum()
            prior = unclicked * q.T @ q + l2 * (clicks + unclicked * len(q)) * np.eye(q.shape[1])
            a, h = (q.T * w) @ q + prior, q.T @ w
            g = np.linalg.solve(prior, h - a @ z)
            after.append(np.linalg.solve(a, h) if clicks <= short else z + (h - a @ z) @ g / (g @ a @ g) * g)
        return np.array(after)

    users = np.zeros((len(weights), items.shape[1]))
    for _ in range(rounds):
        users = half(weights, items, users)
        items = half(weights.T, users, items)
    return users, items


def gibbs(
    train: Ratings, d: int, rng: np.random.Generator
) -> Iterator[tuple[Float64s, Float64s, float, Float64s, Float64s]]:
    """Samples without end of users and items (n, d), of α, and of the users' and the items' γ (n,).

    r ~ N(r̂, 1/(α γ_u γ_i)), z ~ N(m, Λ⁻¹), m and Λ ~ Normal-Wishart(0, β = 2, I, d), α ~ Gamma(1, 1), γ ~ Gamma(5, 5).
    """
    ratings = train.ratings - train.ratings.mean(dtype=np.float64)
    users, items = rng.normal(0, 0.1, (train.n_users, d)), rng.normal(0, 0.1, (train.n_items, d))
    alpha, user_weights, item_weights = 1.0, np.ones(train.n_users), np.ones(train.n_items)

    def half(rows: Int32s, z: Float64s, w: Float64s, others: Float64s, other_weights: Float64s) -> float:
        """Sample the vectors and weights of one side in their place; the weighted sum of squared errors they leave."""
        n, mean = len(z), z.mean(0)
        scatter = np.eye(d) + np.cov(z.T, bias=True) * n + n * 2 / (n + 2) * np.outer(mean, mean)
        precision = stats.wishart(d + n, np.linalg.inv(scatter)).rvs(random_state=rng)
        m = rng.multivariate_normal(n * mean / (n + 2), np.linalg.inv(precision * (n + 2)))
        total = 0.0
        for row, x, y in regressions(rows, others, ratings, n):
            weighted = other_weights[rows == row, None] * x
            covariance = np.linalg.inv(alpha * w[row] * x.T @ weighted + precision)
            center = covariance @ (alpha * w[row] * weighted.T @ y + precision @ m)
            z[row] = rng.multivariate_normal(center, covariance, method="cholesky")
            error = float(other_weights[rows == row] @ (y - x @ z[row]) ** 2)
            w[row] = rng.gamma((10 + len(y)) / 2, 2 / (10 + alpha * error))
            total += w[row] * error
        return total

    while True:
        half(train.users, users, user_weights, items[train.items], item_weights[train.items])
        error = half(train.items, items, item_weights, users[train.users], user_weights[train.users])
        alpha = rng.gamma(1 + len(ratings) / 2, 1 / (1 + error / 2))
        yield users.copy(), items.copy(), alpha, user_weights.copy(), item_weights.copy()
