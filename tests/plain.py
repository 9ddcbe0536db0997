"""The methods in plain NumPy, one row at a time: what the solvers' blocks must come to."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def implicit_als(weights: Floats, items: Floats, unclicked: float, l2: float, rounds: int) -> tuple[Floats, Floats]:
    """Factors of users and items by alternating least squares for clicks, as Rendle et al. (RecSys 2022) write it.

    Args:
        weights: (n_users, n_items) w of every click, 0 where there is none.
        items: (n_items, k) factors to begin with.
    """

    def half(weights: Floats, q: Floats) -> Floats:
        rows = []
        for w in weights:
            penalty = l2 * ((w > 0).sum() + unclicked * len(q))
            equations = (q.T * w) @ q + unclicked * q.T @ q + penalty * np.eye(q.shape[1])
            rows.append(np.linalg.solve(equations, q.T @ w))
        return np.array(rows)

    for _ in range(rounds):
        users = half(weights, items)
        items = half(weights.T, users)
    return users, items
