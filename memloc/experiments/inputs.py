"""The files an experiment reads, by name, encoder and seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memloc.io import load_arrays
from memloc.metrics.stats import Estimate, rank_correlation
from memloc.tables import load_table


@dataclass(frozen=True)
class Inputs:
    """Files of an experiment.

    Attributes:
        runs: (encoder, seed) in the order of the files.
        files: for each input name, one path a run.
    """

    runs: Sequence[tuple[str, int]]
    files: Mapping[str, Sequence[str]]

    def encoders(self) -> list[str]:
        """Encoders in the order of the configuration."""
        return list(dict.fromkeys(encoder for encoder, _ in self.runs))

    def tables(self, name: str, encoder: str) -> list[pd.DataFrame]:
        """One table for each seed of an encoder."""
        return [load_table(path) for path in self._paths(name, encoder)]

    def arrays(self, name: str, encoder: str) -> list[dict[str, NDArray[Any]]]:
        """One set of arrays for each seed of an encoder."""
        return [load_arrays(path) for path in self._paths(name, encoder)]

    def _paths(self, name: str, encoder: str) -> list[str]:
        return [path for (owner, _), path in zip(self.runs, self.files[name], strict=True) if owner == encoder]


def wide(points: pd.DataFrame, group: str, score: str) -> pd.DataFrame:
    """One score of a group's points: rows are points, columns layers in order of depth."""
    layers = list(dict.fromkeys(points["layer"]))
    chosen = points[points["group"] == group]
    return chosen.pivot(index="point", columns="layer", values=score)[layers]


def rows_of(estimate: Estimate, axis: Sequence[Any], **about: Any) -> pd.DataFrame:
    """A profile as a table: one row for each place along the axis, with interval and z."""
    low, high = estimate.interval()
    return pd.DataFrame(
        {**about, "layer": list(axis), "value": estimate.value, "low": low, "high": high, "z": estimate.z()}
    )


def depth_correlation(profile: Estimate) -> Estimate:
    """Rank correlation of a profile over layers with depth."""
    return profile.map(lambda v: rank_correlation(np.arange(v.shape[-1]) + np.zeros_like(v), v), limit=1)
