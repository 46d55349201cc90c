"""A planted atypicality: into some images of a dataset, a patch of another class's image is swapped."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from memloc.errors import InputError
from memloc.streams import stream, uniforms

Pixels = NDArray[np.uint8]
Rows = NDArray[np.int64]


def swap(
    images: Pixels, labels: Rows, *, share: float, side: int, dataset: str
) -> tuple[Pixels, dict[str, NDArray[np.int64]]]:
    """Images of which some hold a square of an image of another class, at its own place there.

    Whether an image is one of them, and who gives it the patch, depends on its point alone, so every group of points
    has about the same share; those of a smaller share are among those of a larger one. Images are cut into squares of
    ``side`` pixels; the one is swapped in which image and donor differ most, so that no black corner takes the place of
    another. A donor is as it was before.

    Args:
        images: [n, channels, size, size], with ``size`` a multiple of ``side``.
        labels: [n].
        share: of the images, on average.
        dataset: names the stream.

    Returns:
        Images, and by name: of each planted one ``points``, ``donors``, and ``rows`` and ``columns`` of the patch's
        first pixel; ``side``.

    Raises:
        InputError: the share is of none.
    """
    points = np.arange(len(images))
    u = uniforms(stream("swap", dataset), points, (2,)).astype(np.float64)
    planted = points[u[:, 0] < share]
    if not len(planted):
        raise InputError(f"datasets: swapped.share: {share} of {len(images)} images of {dataset} is none; raise it")
    donors = np.array([_other(labels, point, u[point, 1]) for point in planted])
    swapped = np.array(images)
    corners = np.empty((len(planted), 2), dtype=np.int64)
    for number, (point, donor) in enumerate(zip(planted, donors, strict=True)):
        difference = np.abs(images[point].astype(np.int64) - images[donor]).sum(axis=0)
        cut = len(difference) // side
        squares = difference.reshape(cut, side, cut, side).sum(axis=(1, 3))
        row, column = corners[number] = side * np.array(divmod(int(squares.argmax()), cut))
        patch = np.s_[:, row : row + side, column : column + side]
        swapped[point][patch] = images[donor][patch]
    places = {"rows": corners[:, 0], "columns": corners[:, 1], "side": np.array(side)}
    return swapped, {"points": planted, "donors": donors, **places}


def _other(labels: Rows, point: int, u: float) -> int:
    """An image of another class than the point's: the one at u of them."""
    others = np.flatnonzero(labels != labels[point])
    return int(others[int(u * len(others))])


def covered(swaps: Mapping[str, NDArray[np.int64]], points: Rows, *, size: int, patch: int) -> NDArray[np.bool_]:
    """Which cells, squares of ``patch`` pixels numbered row by row, a planted patch reaches into: [points, cells].

    Args:
        swaps: of ``swap``.
        points: to tell it of, planted or not.
        size: of the images.
    """
    cells, side = -(-size // patch), int(swaps["side"])
    out = np.zeros((len(points), cells, cells), dtype=np.bool_)
    place = {int(point): number for number, point in enumerate(points)}
    for point, row, column in zip(swaps["points"], swaps["rows"], swaps["columns"], strict=True):
        if int(point) in place:
            down, across = (slice(first // patch, -(-(first + side) // patch)) for first in (row, column))
            out[place[int(point)], down, across] = True
    return out.reshape(len(points), -1)
