"""2D-OOB values of the points of an encoder's split, without the encoder whose memorization is measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memloc.errors import InputError
from memloc.swapped import covered
from memloc.valuation.oob import squares, value

Arrays = Mapping[str, NDArray[Any]]
Floats = NDArray[np.float64]

GROUPS = ("candidate", "external")
"""Points that are valued: g has seen neither of them, so nothing but f's training tells them apart."""
SPACES = ("pixels", "g", "f")
"""What points are valued by: pixels, g's features and, as a contrast that is no independent witness, f's."""
LABELS = ("classes", "clusters")
"""What learners tell apart: the true classes, or as many clusters of g's features, for which no label is asked."""


def value_points(
    images: NDArray[np.uint8],
    f: Arrays,
    g: Arrays,
    swaps: Arrays,
    *,
    learners: int,
    ratios: Sequence[float],
    patch: int,
    seed: int,
    workers: int = 1,
) -> dict[str, NDArray[Any]]:
    """Values of all points of GROUPS together, by each of SPACES and LABELS.

    All are on the same rows, by one plan for each number of cells and ratio. Cells are squares of ``patch`` pixels, or
    single features, which have unit length as a whole. f reaches what begins with ``f/`` alone.

    Args:
        images: of the dataset [n, channels, size, size].
        f, g: measures of the two encoders on the same points.
        swaps: patches that are swapped in, empty for none.
        ratios: shares of the cells that a learner sees, one after the other.
        learners, seed, workers: see ``memloc.valuation.oob.value``.

    Returns:
        ``points``, ``groups``, ``classes``, ``clusters`` and ``planted`` [n]; ``patched`` [n, cells], which cells a
        planted patch reaches into; ``ratios`` [r]; for each space and kind of labels ``{space}/{labels}/rows``
        [r, 2, n], w = 0 and w = 1, and of pixels ``pixels/{labels}/cells`` [r, 2, n, cells] and
        ``pixels/{labels}/counts`` [r, n, cells].

    Raises:
        InputError: f and g were measured on other points than one another.
    """
    if not np.array_equal(f["points"], g["points"]):
        raise InputError("measures of f and g differ in their points; delete both and run snakemake again")
    rows = np.flatnonzero(np.isin(g["groups"], GROUPS))
    points, classes = g["points"][rows], g["labels"][rows]
    shown = np.asarray(images[points])
    _, channels, size, _ = shown.shape
    spaces = {
        "pixels": shown.reshape(len(points), -1) / 255.0,
        "g": _unit(g["features"][rows]),
        "f": _unit(f["features"][rows]),
    }
    told = {"classes": classes, "clusters": _clusters(spaces["g"], len(np.unique(classes)), seed)}
    none = np.zeros((len(points), (-(-size // patch)) ** 2), dtype=np.bool_)
    patched = covered(swaps, points, size=size, patch=patch) if swaps else none
    about = {"points": points, "groups": g["groups"][rows], "ratios": np.array(ratios, dtype=np.float64), **told}
    out: dict[str, NDArray[Any]] = {**about, "planted": np.asarray(patched.any(axis=1)), "patched": patched}
    for space, x in spaces.items():
        groups = squares(channels, size, patch) if space == "pixels" else None
        for name in LABELS:
            found = [
                value(x, told[name], groups=groups, learners=learners, ratio=ratio, seed=seed, workers=workers)
                for ratio in ratios
            ]
            out[f"{space}/{name}/rows"] = np.stack([values.rows for values in found])
            if space == "pixels":
                out[f"{space}/{name}/cells"] = np.stack([values.cells for values in found])
                out[f"{space}/{name}/counts"] = np.stack([values.counts for values in found])
    return out


def _unit(features: NDArray[np.floating]) -> Floats:
    """Features of unit length, as distances between representations take them everywhere."""
    values = features.reshape(len(features), -1).astype(np.float64)
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return np.asarray(np.divide(values, length, out=np.zeros_like(values), where=length > 0))


def _clusters(features: Floats, number: int, seed: int) -> NDArray[np.int64]:
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    # One thread: the order of its sums would depend on their number.
    with threadpool_limits(1):
        found = KMeans(number, n_init=10, random_state=seed % 2**32).fit(features)
    return np.asarray(found.labels_, dtype=np.int64)
