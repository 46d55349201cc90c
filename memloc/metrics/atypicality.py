"""How unlike the others an image is, judged by an encoder that has never seen it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

DISTANCES = 1 << 25
"""Distances in memory at once."""


def neighbour_distance(features: Floats, reference: Floats, *, neighbours: int) -> NDArray[np.float64]:
    """Mean Euclidean distance to the nearest ``neighbours`` reference points, both scaled to unit length, [n].

    Args:
        features: [n, dim] of the points to judge.
        reference: [m, dim] of points they are compared with, none of them among the judged.

    Raises:
        ValueError: fewer reference points than neighbours.
    """
    if neighbours > len(reference):
        raise ValueError(f"{neighbours} neighbours asked for among {len(reference)} reference points")
    units, others = _unit(features), _unit(reference).T
    out, step = np.empty(len(units)), max(1, DISTANCES // len(reference))
    for some in (slice(start, start + step) for start in range(0, len(units), step)):
        squared = np.clip(2 - 2 * units[some] @ others, 0, None)
        nearest = np.partition(squared, neighbours - 1, axis=1)[:, :neighbours]
        out[some] = np.sqrt(nearest).mean(axis=1)
    return out


def _unit(features: Floats) -> NDArray[np.float64]:
    values = features.astype(np.float64)
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return np.asarray(np.divide(values, length, out=np.zeros_like(values), where=length > 0))
