"""Shares of yes among yes and no, with their intervals."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from memloc.metrics.stats import LEVEL


def wilson(yes: ArrayLike, of: ArrayLike, *, level: float = LEVEL) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Wilson's interval of a share: (p + z²/2n ± z sqrt(p(1 - p)/n + z²/4n²)) / (1 + z²/n).

    It stays inside [0, 1] and keeps a width where all or none are yes. NaN where n is 0.
    """
    yes, n = np.asarray(yes, dtype=np.float64), np.asarray(of, dtype=np.float64)
    z = norm.ppf(0.5 + level / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = yes / n
        half = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
        middle, scale = p + z**2 / (2 * n), 1 + z**2 / n
        return np.clip((middle - half) / scale, 0, 1), np.clip((middle + half) / scale, 0, 1)


def clustered(values: ArrayLike, clusters: ArrayLike, *, level: float = LEVEL) -> tuple[float, float, float]:
    """A mean and its normal interval, where values of one cluster may go together.

    The variance is sum over clusters (sum of its deviations)² / n² times c / (c - 1); NaN for one cluster.
    """
    values = np.asarray(values, dtype=np.float64)
    if not len(values):
        return np.nan, np.nan, np.nan
    mean = float(values.mean())
    _, number = np.unique(np.asarray(clusters), return_inverse=True)
    sums = np.bincount(number, weights=values - mean)
    if len(sums) < 2:
        return mean, np.nan, np.nan
    error = np.sqrt((sums**2).sum() * len(sums) / (len(sums) - 1)) / len(values)
    half = float(norm.ppf(0.5 + level / 2) * error)
    return mean, mean - half, mean + half
