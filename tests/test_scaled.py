"""The scale by which ratings are divided before a solver sees them."""

from dataclasses import replace

import numpy as np
import pytest

from mfcli.config.train import TrainConfig
from mfcli.data.training import TrainingData
from mfcli.solvers.als import Als
from mfcli.solvers.create import create
from mfcli.solvers.scaled import scale_of
from tests.planted import CPU, full_matrix


def test_stars_meet_no_scaling_and_are_not_copied() -> None:
    data = TrainingData(full_matrix(40, 30, 2, 0.3))
    assert scale_of(data.train) == 1.0
    solver = create(TrainConfig(solver="als", factors=3), data, CPU)
    assert isinstance(solver, Als)
    assert solver.data is data


@pytest.mark.parametrize(("deviation", "scale"), [(1.1, 1.0), (20.0, 16.0), (25.0, 32.0), (0.02, 1 / 64), (0.0, 1.0)])
def test_the_scale_is_the_nearest_power_of_two(deviation: float, scale: float) -> None:
    pair = full_matrix(2, 1, 1, 0.0)
    assert scale_of(replace(pair, ratings=np.array([3 - deviation, 3 + deviation], np.float32))) == scale
