"""2D-OOB values of the points of an encoder's split, without the encoder whose memorization is measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memloc.data.groups import CANDIDATE_AND_NULL
from memloc.data.swapped import covered
from memloc.errors import InputError
from memloc.valuation.oob import Values, gathered, scored, squares, value

Arrays = Mapping[str, NDArray[Any]]
Floats = NDArray[np.float64]

SPACES = ("pixels", "g", "f")
"""What points are valued by: pixels, g's features and, as a contrast that is not an independent witness, f's."""
LABELLINGS = ("classes", "clusters")
"""What learners predict: the true classes, or as many clusters of g's features, which need no labels."""


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
    """Values of all candidate and external points together, by each of SPACES and LABELLINGS.

    g was trained on neither group, so only f's training tells them apart. All values are on the same rows, by one plan
    for each number of cells and ratio. Cells are squares of ``patch`` pixels, or single features of a vector of unit
    length. f changes only the arrays that begin with ``f/``.

    Args:
        images: of the dataset [n, channels, size, size].
        f, g: measures of the two encoders on the same points.
        swaps: patches that are swapped in, empty for none.
        ratios: shares of the cells that a learner sees; each gives values.
        learners, seed, workers: see ``memloc.valuation.oob.value``.

    Returns:
        ``points``, ``groups``, ``classes``, ``clusters`` and ``planted`` [n]; ``patched`` [n, cells], which cells a
        planted patch reaches into; ``ratios`` [r]; for each space and labelling ``{space}/{labelling}/rows``
        [r, 2, n], w = 0 and w = 1, and of pixels ``pixels/{labelling}/cells`` [r, 2, n, cells] and
        ``pixels/{labelling}/counts`` [r, n, cells].

    Raises:
        InputError: f and g were measured on different points.
    """
    table = _table(images, f, g, swaps, ratios=ratios, patch=patch, seed=seed)
    values = {
        name: [
            value(x, labels, groups=groups, learners=learners, ratio=ratio, seed=seed, workers=workers)
            for ratio in ratios
        ]
        for name, x, labels, groups in table.tasks()
    }
    return table.about | _named(values)


def scored_points(
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
    number: int = 1,
    of: int = 1,
) -> tuple[dict[str, NDArray[Any]], Iterator[dict[str, NDArray[Any]]]]:
    """Scores of part ``number`` of ``of`` of the learners, for ``gathered_points``.

    Returns:
        ABOUT the points and the widths of the tables; and, some learners at a time, their scores [some, 2, n] by each
        of SPACES, LABELLINGS and the number of the ratio. See ``value_points`` for the rest.
    """
    table = _table(images, f, g, swaps, ratios=ratios, patch=patch, seed=seed)
    scores = (
        {f"{name}/{r}/scores": some}
        for name, x, labels, groups in table.tasks()
        for r, ratio in enumerate(ratios)
        for some in scored(
            x,
            labels,
            groups=groups,
            learners=learners,
            ratio=ratio,
            seed=seed,
            workers=workers,
            number=number,
            of=of,
        )
    )
    widths = {
        f"{name}/width": np.array(len(np.unique(groups)) if groups is not None else x.shape[1])
        for name, x, _, groups in table.tasks()
    }
    return table.about | widths, scores


def gathered_points(
    parts: Sequence[Mapping[str, NDArray[Any]]], *, learners: int, ratios: Sequence[float], seed: int
) -> dict[str, NDArray[Any]]:
    """What ``value_points`` gives, from the parts in their order; one array of one part at a time is in memory.

    Raises:
        InputError: parts differ in ABOUT.
    """
    first = parts[0]
    about = {name: first[name] for name in ABOUT}
    for name, part in ((name, part) for part in parts[1:] for name in ABOUT):
        if not np.array_equal(part[name], about[name]):
            raise InputError(f"parts of the values differ in their {name}; delete them and run snakemake again")
    values = {
        name: [
            gathered(
                (part[key] for part in parts if key in part),
                n=len(about["points"]),
                cells=int(first[f"{name}/width"]),
                learners=learners,
                ratio=ratio,
                seed=seed,
            )
            for key, ratio in ((f"{name}/{r}/scores", ratio) for r, ratio in enumerate(ratios))
        ]
        for name in (f"{space}/{labelling}" for space in SPACES for labelling in LABELLINGS)
    }
    return about | _named(values)


ABOUT = ("points", "groups", "ratios", *LABELLINGS, "planted", "patched")
"""What a file says of points besides their values."""


@dataclass(frozen=True)
class _Table:
    """The points that are valued: their features by space, the cells of pixels, and ABOUT them."""

    spaces: dict[str, Floats]
    cells: NDArray[np.int64]
    about: dict[str, NDArray[Any]]

    def tasks(self) -> Iterator[tuple[str, Floats, NDArray[np.int64], NDArray[np.int64] | None]]:
        """Name, features, labels and cells of each valuation."""
        for space, x in self.spaces.items():
            for labelling in LABELLINGS:
                yield f"{space}/{labelling}", x, self.about[labelling], self.cells if space == "pixels" else None


def _table(
    images: NDArray[np.uint8], f: Arrays, g: Arrays, swaps: Arrays, *, ratios: Sequence[float], patch: int, seed: int
) -> _Table:
    if not np.array_equal(f["points"], g["points"]):
        raise InputError("measures of f and g differ in their points; delete both and run snakemake again")
    rows = np.flatnonzero(np.isin(g["groups"], CANDIDATE_AND_NULL))
    points, classes = g["points"][rows], g["labels"][rows]
    pixels = np.asarray(images[points])
    _, channels, size, _ = pixels.shape
    spaces = {
        "pixels": pixels.reshape(len(points), -1) / 255.0,
        "g": _unit(g["features"][rows]),
        "f": _unit(f["features"][rows]),
    }
    clusters = _clusters(spaces["g"], len(np.unique(classes)), seed)
    none = np.zeros((len(points), (-(-size // patch)) ** 2), dtype=np.bool_)
    patched = covered(swaps, points, size=size, patch=patch) if swaps else none
    about = {
        "points": points,
        "groups": g["groups"][rows],
        "ratios": np.array(ratios, dtype=np.float64),
        "classes": classes,
        "clusters": clusters,
        "planted": np.asarray(patched.any(axis=1)),
        "patched": patched,
    }
    return _Table(spaces, squares(channels, size, patch), about)


def _named(values: Mapping[str, Sequence[Values]]) -> dict[str, NDArray[Any]]:
    """Values by name as one file holds them; cells only of pixels."""
    out: dict[str, NDArray[Any]] = {}
    for name, by_ratio in values.items():
        out[f"{name}/rows"] = np.stack([one.rows for one in by_ratio])
        if name.startswith("pixels/"):
            out[f"{name}/cells"] = np.stack([one.cells for one in by_ratio])
            out[f"{name}/counts"] = np.stack([one.counts for one in by_ratio])
    return out


def _unit(features: NDArray[np.floating]) -> Floats:
    """Features of unit length, as in all distances between representations."""
    flat = features.reshape(len(features), -1).astype(np.float64)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.asarray(np.divide(flat, length, out=np.zeros_like(flat), where=length > 0))


def _clusters(features: Floats, number: int, seed: int) -> NDArray[np.int64]:
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    # One thread: the order of its sums would depend on their number.
    with threadpool_limits(1):
        clusters = KMeans(number, n_init=10, random_state=seed % 2**32).fit(features)
    return np.asarray(clusters.labels_, dtype=np.int64)
