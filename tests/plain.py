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


def als(train: Ratings, items: Float64s, l2: float, bias_l2: float, rounds: int) -> tuple[Float64s, Float64s]:
    """Alternating least squares from (n_items, d) vectors: min Σ(r - r̂)² + Σ_rows √n (λ‖p‖² + λ_b b²)."""
    ratings = train.ratings - train.ratings.mean(dtype=np.float64)
    penalty = np.diag([l2] * (items.shape[1] - 1) + [bias_l2])

    def solved(rows: Int32s, others: Float64s, n: int) -> Float64s:
        return np.array(
            [
                np.linalg.solve(x.T @ x + np.sqrt(max(len(y), 1)) * penalty, x.T @ y)
                for _, x, y in regressions(rows, others, ratings, n)
            ]
        )

    for _ in range(rounds):
        users = solved(train.users, items[train.items], train.n_users)
        items = solved(train.items, users[train.users], train.n_items)
    return users, items


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
