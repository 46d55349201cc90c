"""Which images f, g, both or neither are trained on (paper, Section 3 and Appendix B)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memloc.data.prepared import array_sha256
from memloc.errors import InputError
from memloc.streams import generator

GROUPS = ("shared", "candidate", "independent", "external")
UNSHARED = ("candidate", "independent", "external")
CANDIDATE_AND_NULL = ("candidate", "external")
TRAINED_ON = {"f": ("shared", "candidate"), "g": ("shared", "independent"), "untrained": ("shared", "candidate")}
"""Groups each role is trained on. ``untrained`` is f before its first step."""


def draw(n: int, sizes: Mapping[str, int], *, dataset: str, seed: int) -> dict[str, NDArray[np.int64]]:
    """Disjoint random groups of the points 0 .. n - 1, each sorted.

    External points are drawn like the others and trained on by neither encoder, so candidate, independent and
    external points are exchangeable.

    Raises:
        InputError: the sizes add up to more than n.
    """
    total = sum(sizes[group] for group in GROUPS)
    if total > n:
        raise InputError(f"datasets.{dataset}.split: {total} images asked for, {n} there; ask for fewer")
    order = generator("split", dataset, seed).permutation(n)
    bounds = np.cumsum([0] + [sizes[group] for group in GROUPS])
    return {group: np.sort(order[bounds[i] : bounds[i + 1]]) for i, group in enumerate(GROUPS)}


def manifest(groups: Mapping[str, NDArray[np.int64]], *, dataset: str, seed: int) -> dict[str, Any]:
    """Sizes and hashes that identify a split."""
    return {
        "dataset": dataset,
        "seed": seed,
        "sizes": {group: len(points) for group, points in groups.items()},
        "sha256": {group: array_sha256(points) for group, points in groups.items()},
    }


def training_points(groups: Mapping[str, NDArray[np.int64]], role: str) -> NDArray[np.int64]:
    """Sorted points that an encoder of this role is trained on."""
    return np.sort(np.concatenate([groups[group] for group in TRAINED_ON[role]]))


def measured_points(groups: Mapping[str, NDArray[np.int64]]) -> tuple[NDArray[np.int64], NDArray[np.str_]]:
    """All points of a split, group by group, and the name of each one's group."""
    names = [np.full(len(groups[group]), group) for group in GROUPS]
    return np.concatenate([groups[group] for group in GROUPS]), np.concatenate(names)
