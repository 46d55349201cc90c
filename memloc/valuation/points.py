"""2D-OOB values of the points of an encoder's split, without the encoder whose memorization is measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memloc.data.swapped import covered
from memloc.errors import InputError
from memloc.valuation.oob import Values, gathered, scored, squares, value

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
    table = _table(images, f, g, swaps, ratios=ratios, patch=patch, seed=seed)
    found = {
        name: [
            value(x, labels, groups=groups, learners=learners, ratio=ratio, seed=seed, workers=workers)
            for ratio in ratios
        ]
        for name, x, labels, groups in table.tasks()
    }
    return table.about | _named(found)


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
    """What part ``number`` of ``of`` of the learners has to say, for ``gathered_points``.

    Returns:
        What is known of the points and, some learners at a time, their scores [some, 2, n] by each of SPACES, LABELS
        and the number of the ratio. See ``value_points`` for the rest.
    """
    table = _table(images, f, g, swaps, ratios=ratios, patch=patch, seed=seed)
    options: dict[str, Any] = {"learners": learners, "seed": seed, "workers": workers}
    made = (
        {f"{name}/{r}/scores": some}
        for name, x, labels, groups in table.tasks()
        for r, ratio in enumerate(ratios)
        for some in scored(x, labels, groups=groups, ratio=ratio, number=number, of=of, **options)
    )
    widths = {
        f"{name}/width": np.array(len(np.unique(groups)) if groups is not None else x.shape[1])
        for name, x, _, groups in table.tasks()
    }
    return table.about | widths, made


def gathered_points(
    parts: Sequence[Mapping[str, NDArray[Any]]], *, learners: int, ratios: Sequence[float], seed: int
) -> dict[str, NDArray[Any]]:
    """What ``value_points`` gives, from the parts in their order; one array of one part at a time is in memory.

    Raises:
        InputError: parts differ in what they say of the points.
    """
    first = parts[0]
    about = {name: first[name] for name in ABOUT}
    for name, part in ((name, part) for part in parts[1:] for name in ABOUT):
        if not np.array_equal(part[name], about[name]):
            raise InputError(f"parts of the values differ in their {name}; delete them and run snakemake again")
    found = {
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
        for name in (f"{space}/{labels}" for space in SPACES for labels in LABELS)
    }
    return about | _named(found)


ABOUT = ("points", "groups", "ratios", *LABELS, "planted", "patched")
"""What is told of points besides their values."""


@dataclass(frozen=True)
class _Table:
    """The points that are valued: by what, under which labels, and ABOUT them."""

    spaces: dict[str, Floats]
    cells: NDArray[np.int64]
    about: dict[str, NDArray[Any]]

    def tasks(self) -> Iterator[tuple[str, Floats, NDArray[np.int64], NDArray[np.int64] | None]]:
        """Name, features, labels and cells of each valuation."""
        for space, x in self.spaces.items():
            for labels in LABELS:
                yield f"{space}/{labels}", x, self.about[labels], self.cells if space == "pixels" else None


def _table(
    images: NDArray[np.uint8], f: Arrays, g: Arrays, swaps: Arrays, *, ratios: Sequence[float], patch: int, seed: int
) -> _Table:
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
    planted = np.asarray(patched.any(axis=1))
    about = {"points": points, "groups": g["groups"][rows], "ratios": np.array(ratios, dtype=np.float64), **told}
    about |= {"planted": planted, "patched": patched}
    return _Table(spaces, squares(channels, size, patch), about)


def _named(found: Mapping[str, Sequence[Values]]) -> dict[str, NDArray[Any]]:
    """Values by name as one file holds them: of pixels, those of cells, too."""
    out: dict[str, NDArray[Any]] = {}
    for name, values in found.items():
        out[f"{name}/rows"] = np.stack([one.rows for one in values])
        if name.startswith("pixels/"):
            out[f"{name}/cells"] = np.stack([one.cells for one in values])
            out[f"{name}/counts"] = np.stack([one.counts for one in values])
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
