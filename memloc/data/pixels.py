"""Many images at a time to one size: padded or resized."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from memloc.data.decoding import square, to_image
from memloc.data.prepared import Pixels, Rows
from memloc.errors import InputError
from memloc.job import threads

CHUNK = 64
"""Images that a thread makes at a time."""


def pad(images: Pixels, size: int) -> Pixels:
    """Images [n, c, s, s] in the middle of black ones.

    Raises:
        InputError: they are larger than ``size``.
    """
    before = size - images.shape[-1]
    if before < 0:
        raise InputError(f"datasets: image_size {size} is smaller than the {images.shape[-1]} pixels of the images")
    sides = (before // 2, before - before // 2)
    return np.pad(images, ((0, 0), (0, 0), sides, sides))


def fit(images: Pixels, rows: Rows, size: int) -> Pixels:
    """Rows of images [n, 1 or 3, s, s], resized (bilinear, antialiased) unless they have that size."""
    if images.shape[-1] == size:
        return images[rows]
    return in_threads(lambda row: square(to_image(images[row]), size), rows, (images.shape[1], size, size))


def in_threads(image: Callable[[int], Pixels], rows: Rows, shape: tuple[int, int, int]) -> Pixels:
    """The images of the rows, [m, *shape], made by several threads; of several errors, the first row's is raised."""
    images = np.empty((len(rows), *shape), dtype=np.uint8)

    def fill(start: int) -> None:
        for at in range(start, min(start + CHUNK, len(rows))):
            images[at] = image(int(rows[at]))

    with ThreadPoolExecutor(threads()) as pool:
        for _ in pool.map(fill, range(0, len(rows), CHUNK)):
            pass
    return images
