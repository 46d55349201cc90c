"""Planted atypicality: some images of a dataset hold a patch of another class's image."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from memloc.data.prepared import Pixels, Rows
from memloc.errors import InputError
from memloc.streams import stream, uniforms


def swap(
    images: Pixels, labels: Rows, *, share: float, side: int, dataset: str
) -> tuple[Pixels, dict[str, NDArray[np.int64]]]:
    """Replace one square in some of the images by the same square of an image of another class.

    Whether an image is planted, and its donor, depends on its point alone, so every group of points has about the same
    share; the points of a smaller share are among those of a larger one. Images are divided into squares of ``side``
    pixels; the square in which image and donor differ most is replaced, so that no black corner replaces another.
    Donors give their original pixels.

    Args:
        images: [n, channels, size, size], with ``size`` a multiple of ``side``.
        labels: [n].
        share: share of planted images, on average.
        dataset: name of the random stream.

    Returns:
        The images, and arrays: ``points`` and ``donors`` of the planted images, ``rows`` and ``columns`` of the first
        pixel of each patch, and ``side``.

    Raises:
        InputError: no image is planted.
    """
    points = np.arange(len(images))
    u = uniforms(stream("swap", dataset), points, (2,)).astype(np.float64)
    planted = points[u[:, 0] < share]
    if not len(planted):
        raise InputError(f"datasets: swapped.share: {share} plants none of {len(images)} images of {dataset}; raise it")
    donors = np.array([_other(labels, point, u[point, 1]) for point in planted])
    swapped = np.array(images)
    corners = np.empty((len(planted), 2), dtype=np.int64)
    for number, (point, donor) in enumerate(zip(planted, donors, strict=True)):
        difference = np.abs(images[point].astype(np.int64) - images[donor]).sum(axis=0)
        across = len(difference) // side
        squares = difference.reshape(across, side, across, side).sum(axis=(1, 3))
        row, column = corners[number] = side * np.array(divmod(int(squares.argmax()), across))
        patch = np.s_[:, row : row + side, column : column + side]
        swapped[point][patch] = images[donor][patch]
    places = {"rows": corners[:, 0], "columns": corners[:, 1], "side": np.array(side)}
    return swapped, {"points": planted, "donors": donors, **places}


def _other(labels: Rows, point: int, u: float) -> int:
    """The image at quantile u of those of other classes than the point's."""
    others = np.flatnonzero(labels != labels[point])
    return int(others[int(u * len(others))])


def covered(swaps: Mapping[str, NDArray[np.int64]], points: Rows, *, size: int, patch: int) -> NDArray[np.bool_]:
    """Which cells, squares of ``patch`` pixels numbered row by row, overlap a planted patch: [points, cells].

    Args:
        swaps: as returned by ``swap``.
        points: planted or not.
        size: side of the images.
    """
    cells, side = -(-size // patch), int(swaps["side"])
    out = np.zeros((len(points), cells, cells), dtype=np.bool_)
    place = {int(point): number for number, point in enumerate(points)}
    for point, row, column in zip(swaps["points"], swaps["rows"], swaps["columns"], strict=True):
        if int(point) in place:
            down, across = (slice(first // patch, -(-(first + side) // patch)) for first in (row, column))
            out[place[int(point)], down, across] = True
    return out.reshape(len(points), -1)
