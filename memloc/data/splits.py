"""Which points f, g, both or neither are trained on (paper, Section 3 and Appendix B)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias, TypedDict

import numpy as np
from numpy.typing import NDArray

from memloc import io
from memloc.data.groups import GROUPS, REPEATED
from memloc.data.prepared import array_sha256
from memloc.errors import AGAIN, InputError
from memloc.provenance import record
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


def draw_halves(labels: NDArray[np.integer], sizes: Mapping[str, Any], *, dataset: str, seed: int) -> dict[str, Points]:
    """Complementary halves of a pool: candidate is f's, independent is g's, shared is empty. Each group is sorted.

    Pool and external points are the same for every seed, each with the classes in the proportions that the dataset has
    (to about one image). A seed is a pair of encoders: it deals each class of the pool to two halves that differ by one
    image at most, so that every point is in one encoder of the pair and out of the other. With a dose, some images of
    each half stand several times in an epoch of the encoder that has them (REPEATED): others with every seed, as many
    of each class in both halves, and the classes as in the half (to about one image).

    Args:
        labels: [n] classes of all points.
        sizes: ``pool``, ``external`` and, if some are repeated, ``dose``: so many ``images`` for each of ``times``.

    Raises:
        InputError: both together are more than n, or a class has one image in the pool, so that a half lacks it; or a
            half has too few images for the dose.
    """
    key, total = f"datasets.{dataset}.split", sizes["pool"] + sizes["external"]
    if total > len(labels):
        raise InputError(f"{key}: pool and external need {total} images, but there are {len(labels)}; lower them")
    rng = generator("pool", dataset)
    order = rng.permutation(len(labels))
    drawn = order[_stratified(labels[order], rng)]
    pool, external = drawn[: sizes["pool"]], drawn[sizes["pool"] : total]
    halves: dict[str, list[Points]] = {"candidate": [], "independent": []}
    dealing, first = generator("halves", dataset, seed), 0
    for each in dealing.permutation(np.unique(labels[pool])):
        points = dealing.permutation(np.sort(pool[labels[pool] == each]))
        if len(points) == 1:
            raise InputError(f"{key}.pool: {sizes['pool']} has one image of class {each}, which a half lacks; raise it")
        # Classes of odd size give their odd image to the two halves in turn.
        odd, middle = len(points) % 2, len(points) // 2
        middle += odd * first
        first ^= odd
        halves["candidate"].append(points[:middle])
        halves["independent"].append(points[middle:])
    dealt = {half: np.sort(np.concatenate(parts)) for half, parts in halves.items()}
    groups = {"shared": np.empty(0, dtype=np.int64), **dealt, "external": np.sort(external)}
    if "dose" in sizes:
        dose = np.repeat(sizes["dose"]["times"], sizes["dose"]["images"])
        groups[REPEATED] = _repeated(dealt, labels, dose, generator("dose", dataset, seed), key=f"{key}.dose")
    return groups


def _stratified(labels: NDArray[np.integer], rng: np.random.Generator) -> NDArray[np.intp]:
    """An order of points any stretch of which has all classes in their proportions, to about one point each."""
    classes, rank = np.unique(labels, return_inverse=True)
    # A point's place among those of its class, as a share of them.
    places = np.zeros(len(labels))
    for each in range(len(classes)):
        where = np.flatnonzero(rank == each)
        places[where] = (np.arange(len(where)) + rng.random()) / len(where)
    return np.argsort(places, kind="stable")


def _repeated(
    halves: Groups, labels: NDArray[np.integer], dose: Points, rng: np.random.Generator, *, key: str
) -> Points:
    """Points that stand more than once in an epoch, sorted, each one time less often than it does.

    Args:
        dose: how often, for as many images of each half.
    """
    classes = np.unique(labels[np.concatenate([*halves.values()])])
    # So many images of each class both halves have.
    both = np.repeat(classes, [min((labels[half] == each).sum() for half in halves.values()) for each in classes])
    if len(dose) >= len(both):
        smallest = min(map(len, halves.values()))
        matched = f"{len(both)} of which have one of their class in the other half"
        raise InputError(f"{key}: repeats {len(dose)} of the {smallest} images of a half, {matched}; lower images")
    chosen = both[_stratified(both, rng)][: len(dose)]
    parts = []
    for half in halves.values():
        for each in classes:
            times = dose[chosen == each]
            points = rng.permutation(half[labels[half] == each])[: len(times)]
            parts.append(np.repeat(points, times - 1))
    return np.sort(np.concatenate(parts))


class Manifest(TypedDict):
    """Sizes and hashes of a split's groups, and of how many images they were drawn."""

    dataset: str
    seed: int
    images: int
    sizes: dict[str, int]
    sha256: dict[str, str]


def manifest(groups: Groups, *, dataset: str, seed: int, images: int) -> Manifest:
    """Sizes and hashes that identify a split."""
    return {
        "dataset": dataset,
        "seed": seed,
        "images": images,
        "sizes": {group: len(points) for group, points in groups.items()},
        "sha256": {group: array_sha256(points) for group, points in groups.items()},
    }


def save(groups: Groups, about: Manifest, path: str | Path) -> None:
    """Write a split, with its manifest as its record."""
    io.save_arrays(groups, path, record(path, **about))


def load(path: str | Path, description: Mapping[str, Any]) -> dict[str, Points]:
    """Read the groups of a split.

    Args:
        description: of the prepared dataset that it is of.

    Raises:
        InputError: the file isn't a split, or another's or another dataset's; groups have other points than were drawn,
            have one twice, overlap, or reach beyond the dataset.
    """
    groups, about = io.load_made(path, images=description["sizes"]["train"])
    if fault := fault_of(groups, images=about["images"]):
        raise InputError(f"{path}: {fault}; {AGAIN}")
    drawn = {group: array_sha256(points) for group, points in groups.items()}
    if drawn != about.get("sha256"):
        raise InputError(f"{path}: holds other points than were drawn; {AGAIN}")
    return groups


def fault_of(groups: Groups, *, images: int) -> str | None:
    """What keeps arrays from being a split of so many images: disjoint groups of points, none there twice."""
    if set(groups) - {REPEATED} != set(GROUPS):
        return f"holds {', '.join(groups) or 'nothing'}, not a split"
    for group, points in groups.items():
        if points.dtype.kind != "i" or points.ndim != 1:
            return f"{group} is no list of points, not a split"
        if len(points) and not 0 <= points.min() <= points.max() < images:
            return f"{group} has a point outside the {images} images"
    every, counts = np.unique(np.concatenate([groups[group] for group in GROUPS]), return_counts=True)
    if (counts > 1).any():
        point = every[counts.argmax()]
        return f"point {point} is there twice, in {' and '.join(g for g in GROUPS if point in groups[g])}"
    return None


def training_points(groups: Groups, role: str) -> Points:
    """Sorted points that a role is trained on, each as often as it stands in an epoch."""
    points = np.sort(np.concatenate([groups[group] for group in TRAINED_ON[role]]))
    return np.repeat(points, doses(groups, points)) if REPEATED in groups else points


def doses(groups: Groups, points: Points) -> Points:
    """How often each point stands in an epoch of an encoder that has it."""
    known, counts = np.unique(groups[REPEATED], return_counts=True)
    extra = dict(zip(known.tolist(), counts.tolist(), strict=True))
    return np.array([1 + extra.get(point, 0) for point in points.tolist()], dtype=np.int64)


def measured_points(groups: Groups) -> tuple[Points, NDArray[np.str_]]:
    """All points of a split, group by group, and the name of each point's group."""
    names = [np.full(len(groups[group]), group) for group in GROUPS]
    return np.concatenate([groups[group] for group in GROUPS]), np.concatenate(names)
