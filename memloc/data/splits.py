"""Which points f, g, both or neither are trained on (paper, Section 3 and Appendix B)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias, TypedDict

import numpy as np
from numpy.typing import NDArray

from memloc.data.groups import GROUPS
from memloc.data.prepared import array_sha256
from memloc.errors import InputError
from memloc.streams import generator

Points: TypeAlias = NDArray[np.int64]
Groups: TypeAlias = Mapping[str, Points]

TRAINED_ON = {"f": ("shared", "candidate"), "g": ("shared", "independent"), "untrained": ("shared", "candidate")}
"""Groups that each role is trained on. ``untrained`` is f before its first step."""


def draw(n: int, sizes: Mapping[str, int], *, dataset: str, seed: int) -> dict[str, Points]:
    """Disjoint random groups of the points 0 .. n - 1, each sorted.

    External points are drawn like the others, and neither encoder is trained on them: candidate, independent and
    external points are exchangeable.

    Raises:
        InputError: the sizes add up to more than n.
    """
    total = sum(sizes[group] for group in GROUPS)
    if total > n:
        raise InputError(f"datasets.{dataset}.split: its groups need {total} images, but there are {n}; lower them")
    order = generator("split", dataset, seed).permutation(n)
    bounds = np.cumsum([0] + [sizes[group] for group in GROUPS])
    return {group: np.sort(order[bounds[i] : bounds[i + 1]]) for i, group in enumerate(GROUPS)}


class Manifest(TypedDict):
    """Sizes and hashes of a split's groups."""

    dataset: str
    seed: int
    sizes: dict[str, int]
    sha256: dict[str, str]


def manifest(groups: Groups, *, dataset: str, seed: int) -> Manifest:
    """Sizes and hashes that identify a split."""
    return {
        "dataset": dataset,
        "seed": seed,
        "sizes": {group: len(points) for group, points in groups.items()},
        "sha256": {group: array_sha256(points) for group, points in groups.items()},
    }


def training_points(groups: Groups, role: str) -> Points:
    """Sorted points that a role is trained on."""
    return np.sort(np.concatenate([groups[group] for group in TRAINED_ON[role]]))


def measured_points(groups: Groups) -> tuple[Points, NDArray[np.str_]]:
    """All points of a split, group by group, and the name of each point's group."""
    names = [np.full(len(groups[group]), group) for group in GROUPS]
    return np.concatenate([groups[group] for group in GROUPS]), np.concatenate(names)
