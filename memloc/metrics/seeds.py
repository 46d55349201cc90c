"""What several seeds say, each by one value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memloc.metrics.stats import LEVEL


@dataclass(frozen=True)
class SeedMean:
    """The mean of one value a seed, with Student's interval over seeds.

    Attributes:
        values: [seeds, ...].
        least, most: what the values lie between. One seed shows nothing of others: its interval is all of that.
    """

    values: NDArray[np.float64]
    least: float
    most: float

    @property
    def seeds(self) -> int:
        """Their number."""
        return len(self.values)

    @property
    def value(self) -> NDArray[np.float64]:
        """The mean [...]."""
        return np.asarray(self.values.mean(axis=0))

    @property
    def error(self) -> NDArray[np.float64]:
        """Standard error of the mean [...]; infinite for one seed."""
        if self.seeds == 1:
            return np.full(self.values.shape[1:], np.inf)
        return np.asarray(self.values.std(axis=0, ddof=1) / np.sqrt(self.seeds))

    @property
    def of_pairs(self) -> NDArray[np.float64]:
        """The share of the squared error that more seeds make smaller: all [...]."""
        return np.ones(self.values.shape[1:])

    def __getitem__(self, index: Any) -> SeedMean:
        """The mean of some of the values."""
        return SeedMean(self.values[(slice(None), *np.index_exp[index])], self.least, self.most)

    def interval(self, level: float = LEVEL) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Confidence interval: value -+ t error, cut where the values end."""
        from scipy.stats import t

        half = self.error * t.ppf((1 + level) / 2, max(1, self.seeds - 1))
        return np.maximum(self.value - half, self.least), np.minimum(self.value + half, self.most)

    def z(self) -> NDArray[np.float64]:
        """Value over standard error; without any error 0 for 0, else infinite."""
        certain = np.where(self.value == 0, 0.0, np.copysign(np.inf, self.value))
        return np.asarray(np.divide(self.value, self.error, out=np.asarray(certain), where=self.error > 1e-12))
