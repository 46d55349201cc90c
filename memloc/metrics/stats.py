"""Intervals: a bootstrap over points nested in seeds, and verdicts from its intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Sample = Mapping[str, NDArray[Any]]
LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A statistic and its bootstrap replicates.

    Attributes:
        value: the statistic, any shape.
        replicates: [replicates, *value.shape].
    """

    value: NDArray[np.float64]
    replicates: NDArray[np.float64]

    def map(self, function: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Estimate:
        """Apply a function along the trailing axes of value and replicates alike."""
        return Estimate(np.asarray(function(self.value)), np.asarray(function(self.replicates)))

    def __sub__(self, other: Estimate) -> Estimate:
        """Difference of two estimates made with the same resamples."""
        return Estimate(self.value - other.value, self.replicates - other.replicates)

    def __getitem__(self, index: Any) -> Estimate:
        """The estimate of some of the values."""
        return Estimate(self.value[index], self.replicates[(slice(None), *np.index_exp[index])])

    def interval(self, level: float = LEVEL) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Percentile interval."""
        tail = (1 - level) / 2
        low, high = np.quantile(self.replicates, [tail, 1 - tail], axis=0)
        return low, high

    def z(self) -> NDArray[np.float64]:
        """Value over bootstrap standard error."""
        error = self.replicates.std(axis=0, ddof=1)
        return np.asarray(np.divide(self.value, error, out=np.full_like(self.value, np.nan), where=error > 0))


def bootstrap(
    samples: Sequence[Sample],
    statistic: Callable[[Sample], NDArray[np.float64]],
    *,
    replicates: int,
    seed: int,
) -> Estimate:
    """A statistic averaged over seeds, with replicates that resample seeds and, within each, its points.

    Args:
        samples: one for each seed: arrays by name, each resampled along its first axis on its own. What must stay
            together (two scores of one point) stands in one array.
        statistic: of one sample, to an array of fixed shape.
    """
    rng = np.random.default_rng(seed)
    value = np.mean([statistic(sample) for sample in samples], axis=0)
    drawn = np.empty((replicates, *np.shape(value)))
    for i in range(replicates):
        picked = rng.integers(len(samples), size=len(samples))
        drawn[i] = np.mean([statistic(resample(samples[s], rng)) for s in picked], axis=0)
    return Estimate(np.asarray(value, dtype=np.float64), drawn)


def resample(sample: Sample, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    """Each array's rows drawn with replacement."""
    return {name: array[rng.integers(len(array), size=len(array))] for name, array in sample.items()}


def nest(values: Floats, replicates: Floats, *, seed: int) -> Estimate:
    """Join what each seed resampled within itself to an estimate that resamples seeds as well.

    The replicates are shifted so that their mean is the value: UnitMem holds a maximum over points, which
    resampling can only lower (a resample repeats some points and lacks others).

    Args:
        values: [seeds, ...] a statistic of each seed.
        replicates: [seeds, replicates, ...] the same, over resampled points.
    """
    rng = np.random.default_rng(seed)
    seeds, count = replicates.shape[:2]
    value = np.asarray(values.mean(axis=0), dtype=np.float64)
    picked, row = rng.integers(seeds, size=(count, seeds)), rng.integers(count, size=(count, seeds))
    centred = replicates + (values - replicates.mean(axis=1))[:, None]
    return Estimate(value, np.asarray(centred[picked, row].mean(axis=1), dtype=np.float64))


def ranks(values: Floats) -> NDArray[np.float64]:
    """Ranks along the last axis, ties sharing their mean rank."""
    from scipy.stats import rankdata

    return np.asarray(rankdata(values, axis=-1), dtype=np.float64)


def rank_correlation(x: Floats, y: Floats) -> NDArray[np.float64]:
    """Spearman's rho along the last axis; 0 where one side is constant."""
    a, b = ranks(x), ranks(y)
    a, b = a - a.mean(axis=-1, keepdims=True), b - b.mean(axis=-1, keepdims=True)
    product = (a * b).sum(axis=-1)
    scale = np.sqrt((a**2).sum(axis=-1) * (b**2).sum(axis=-1))
    return np.asarray(np.divide(product, scale, out=np.zeros_like(product), where=scale > 0))


def verdict(low: float, high: float) -> str:
    """Supported if the interval lies above 0, refuted if it lies below, else inconclusive."""
    if low > 0:
        return "supported"
    return "refuted" if high < 0 else "inconclusive"
