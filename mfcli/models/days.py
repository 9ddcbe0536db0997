"""Days: what the ratings of one user on one day have in common, beyond what user and item say.

They are known of the days in the training part alone. So they help with a rating that was given on the same day as
others, and say nothing of days to come.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mfcli.arrays import Float32s, Int64s

SECONDS = 86_400  # of a day
DAYS = 2**32  # more than there are: a user's row times this and a day are one number


def keys(users: npt.NDArray[Any], timestamps: Int64s) -> Int64s:
    """(n,) int64: one number for each user and day (UTC), in the order of users, then of days."""
    days = np.floor_divide(timestamps, SECONDS).clip(-DAYS // 2, DAYS // 2 - 1)
    found: Int64s = users.astype(np.int64) * DAYS + days + DAYS // 2
    return found


@dataclass(frozen=True)
class DayEffects:
    """What is added to the ratings of a user on a day.

    Attributes:
        keys: (m,) int64, ascending, of users and days that are known, as :func:`keys` makes them.
        effects: (m,) float32, in rating points.
        variances: (m,) float32, of how far the effects may be off.
        unknown: variance of the effect of any other day, whose mean is 0.
    """

    keys: Int64s
    effects: Float32s
    variances: Float32s
    unknown: float

    def of(self, users: npt.NDArray[Any], timestamps: Int64s) -> Float32s:
        """(n,) float32 effects for (n,) rows of users and (n,) seconds since 1970; 0 where the day is not known."""
        return np.append(self.effects, np.float32(0))[find(self.keys, users, timestamps)]

    def variances_of(self, users: npt.NDArray[Any], timestamps: Int64s) -> Float32s:
        """(n,) float32 variances for (n,) rows of users and (n,) seconds since 1970."""
        return np.append(self.variances, np.float32(self.unknown))[find(self.keys, users, timestamps)]

    def of_users(self, rows: Int64s) -> "DayEffects":
        """The effects of these (n,) rows of users, who become rows 0 to n - 1; of a row of -1 none is known."""
        users, days = np.divmod(self.keys, DAYS)
        places = np.full(max(users.max(initial=-1), rows.max(initial=-1)) + 1, -1)
        places[rows[rows >= 0]] = np.flatnonzero(rows >= 0)
        moved = places[users] * DAYS + days
        order = np.argsort(moved)[(places[users] < 0).sum() :]  # unknown users are below 0
        return replace(self, keys=moved[order], effects=self.effects[order], variances=self.variances[order])

    def scaled(self, scale: float) -> "DayEffects":
        """The same effects in another unit: ``scale`` times as large."""
        squared = scale**2
        effects, variances = (self.effects * scale).astype(np.float32), (self.variances * squared).astype(np.float32)
        return replace(self, effects=effects, variances=variances, unknown=self.unknown * squared)


def find(known: Int64s, users: npt.NDArray[Any], timestamps: Int64s) -> Int64s:
    """(n,) int64 places among the (m,) ascending keys; m where a user's day is not among them."""
    wanted = keys(users, timestamps)
    places = np.searchsorted(known, wanted)
    found = np.append(known, -1)[places] == wanted
    return np.where(found, places, len(known))
