"""Shares and their intervals."""

import numpy as np
import pytest

from memloc.metrics.shares import clustered, wilson


def test_wilson_is_as_by_hand():
    low, high = wilson([10, 0, 7], [10, 5, 0])
    # All of n: low is n / (n + z²), none: high is z² / (n + z²).
    z = 1.959964**2
    assert low[0] == pytest.approx(10 / (10 + z), abs=1e-6) and high[0] == pytest.approx(1)
    assert low[1] == pytest.approx(0) and high[1] == pytest.approx(z / (5 + z), abs=1e-6)
    assert np.isnan(low[2]) and np.isnan(high[2])


def test_a_mean_over_clusters_is_that_of_their_sums():
    values = [1.0, 0.0, 1.0, 1.0]
    mean, low, high = clustered(values, ["a", "b", "c", "d"])
    error = np.std(values, ddof=1) / 2
    assert mean == 0.75 and (high - low) / 2 == pytest.approx(1.959964 * error, abs=1e-6)
    # Each value four times in a cluster of its own is no more than once.
    assert clustered(np.repeat(values, 4), np.repeat(list("abcd"), 4)) == pytest.approx((mean, low, high))
    assert np.isnan(clustered(values, ["a"] * 4)[1]) and np.isnan(clustered([], [])).all()
