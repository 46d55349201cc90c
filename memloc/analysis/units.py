"""What experiments on units share: means over a layer's units with their nulls, and the owners of its top units."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memloc.analysis.inputs import Inputs
from memloc.measuring.units import METRICS, TOP, layer_metrics
from memloc.metrics.stats import Estimate, nest


class UnitMeans:
    """Means over the units of each layer of one encoder, with points resampled within seeds.

    On complementary halves, means over both encoders of a pair, whose images are resampled alike in all pairs.

    Args:
        inputs: of an experiment that reads ``UNIT_FILES``.
        trained: the encoder itself, or f before training.

    Attributes:
        units: the scores of every unit, one table for each seed and role.
        layers: names of the layers that have units.
        size: images in each group.
    """

    def __init__(self, inputs: Inputs, encoder: str, *, trained: bool = True) -> None:
        prefix = "" if trained else "untrained_"
        self.units = inputs.tables(f"{prefix}units", encoder)
        self._resampled = inputs.arrays(f"{prefix}resamples", encoder)
        self._roles = inputs.roles_of(encoder) if trained else 1
        first = self._resampled[0]
        self.layers = [str(name) for name in first["layers"]]
        self.size = int(first["size"])
        self.crossed = inputs.roles_of(encoder) > 1

    def mean(self, group: str, metric: str = "unitmem") -> Estimate:
        """One of METRICS on a group: [layers]."""
        m = METRICS.index(metric)
        values = np.stack([layer_metrics(t[t["group"] == group], metric)[self.layers] for t in self.units])
        drawn = [arrays["means"][:, :, list(arrays["groups"]).index(group), m] for arrays in self._resampled]
        # One seed for all: differences between groups and metrics keep their resamples together.
        resampled = self._of_pairs(np.stack(drawn))
        return nest(self._of_pairs(values), resampled, seed=0, shared=self.crossed).between(0, 1)

    def excess(self, metric: str = "unitmem") -> Estimate:
        """What candidates have above images that the encoder was not trained on, independent and external: [layers].

        On complementary halves the two encoders have each other's candidates for independent images, so what sets
        images apart cancels out; external ones would add it again.
        """
        return self.mean("candidate", metric) - self.unseen(metric)

    def unseen(self, metric: str = "unitmem") -> Estimate:
        """The mean on the images that ``excess`` compares candidates with: [layers]."""
        independent = self.mean("independent", metric)
        if self.crossed:
            return independent
        # Twice as many for comparison, half the noise.
        return (self.mean("external", metric) + independent).scaled(0.5)

    def chance(self) -> NDArray[np.float64]:
        """Null of the excess of UnitMem, averaged over seeds: groups assigned at random, [permutations, layers].

        On complementary halves, membership that is dealt anew within every class of every pair, for both its encoders.
        """
        return np.asarray(np.mean([arrays["dealt"] for arrays in self._resampled], axis=0))

    def _of_pairs(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Means over the encoders of a pair: [seeds and roles, ...] to [seeds, ...]."""
        return np.asarray(values.reshape(-1, self._roles, *values.shape[1:]).mean(axis=1))


def last_units(units: pd.DataFrame, group: str) -> pd.DataFrame:
    """Units of the last layer that some image of a group excites."""
    rows = (units["group"] == group) & (units["layer"] == units["layer"].iloc[-1]) & (units["owner"] >= 0)
    last: pd.DataFrame = units.loc[rows]
    return last


def owners_of_top(units: pd.DataFrame, group: str) -> pd.Series:
    """Owners of the last layer's top 10 % of units, one for each unit (paper, Table 12)."""
    last = last_units(units, group).sort_values("unitmem", ascending=False, kind="stable")
    owners: pd.Series = last["owner"].head(max(1, round(TOP * len(last))))
    return owners
