"""The mean of one value a seed, held against values worked by hand."""

import numpy as np
import pytest

from memloc.metrics.seeds import SeedMean


def test_mean_error_interval_and_z_are_students():
    mean = SeedMean(np.array([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]]), -10, 10)
    # Standard deviation 1, error 1 / sqrt(3), t of two degrees of freedom 4.302653 at 95 %, 9.924843 at 99 %.
    low, high = mean.interval()
    assert mean.seeds == 3 and mean.value.tolist() == [2, 5]
    assert (low[0], high[0]) == pytest.approx((2 - 2.484138, 2 + 2.484138), abs=1e-5)
    assert mean[0].interval(0.99)[1] == pytest.approx(2 + 5.730111, abs=1e-5)
    assert mean.z()[0] == pytest.approx(2 * np.sqrt(3))
    # Seeds that agree leave no error.
    assert low[1] == high[1] == 5 and mean.z()[1] == np.inf and SeedMean(np.zeros((2, 1)), -1, 1).z() == 0


def test_intervals_end_where_values_end_and_one_seed_tells_nothing_of_others():
    assert SeedMean(np.array([0.9, 1.0]), 0, 1).interval()[1] == 1
    one = SeedMean(np.array([[0.9]]), 0, 1)
    assert [float(bound[0]) for bound in one.interval()] == [0, 1] and one.z()[0] == 0
