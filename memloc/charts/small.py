"""Small images of charts, by arrays alone: a thousandth of a second each."""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from memloc.charts.drawing import (
    AXES,
    FIRST_MARK,
    JOINING,
    JOINING_COLOUR,
    JOINING_WIDTH,
    LABELS,
    TICKS,
    Drawing,
    bar_width,
    centre,
    diameter,
    joined,
)
from memloc.charts.marks import CELLS, COLOURS, GRID, Chart

DIGITS = ("757", "262", "623", "737", "571", "326", "477", "711", "777")
"""Rows of tick labels 0 to 8, three bits each: there is room for 3 x 3 pixels, to be told apart, hardly to be read."""
FINE = 8
"""Points of a pixel, along a side, at which it is looked whether a mark covers it."""
OUTLINES = {
    "triangle": ((0.0, 0.5), (-0.5, -0.5), (0.5, -0.5)),
    "square": ((-0.5, -0.5), (-0.5, 0.5), (0.5, 0.5), (0.5, -0.5)),
    "star": tuple(
        (0.5 * r * math.sin(math.pi * k / 5), 0.5 * r * math.cos(math.pi * k / 5))
        for k, r in enumerate((1.0, 0.381966) * 5)
    ),
}
"""Corners of markers of diameter 1, y upwards: matplotlib's."""

Floats = NDArray[np.float32]


def draw_small(chart: Chart, size: int) -> Drawing:
    """The image of a chart whose scale is 8, and the elements of its pixels."""
    empty = _empty(size)
    image, elements = empty.image.astype(np.float32), empty.elements.copy()
    for line in joined(chart):
        corners = [centre(chart, mark, size) for mark in line]
        for start, end in pairwise(corners):
            _lay(
                image,
                elements,
                *_segment(start, end, max(1.0, JOINING_WIDTH * size / CELLS), size),
                JOINING_COLOUR,
                JOINING,
            )
    for k, mark in enumerate(chart.marks):
        x, y = centre(chart, mark, size)
        if chart.type == "bar":
            half = bar_width(chart) * size / CELLS / 2
            across, left = _share(x - half, x + half, size)
            down, top = _share(y, (1 - 0.5 / CELLS) * size, size)
            cover = down[:, None] * across
        else:
            cover, left, top = _stamp(mark.marker, diameter(chart, mark) * size / CELLS, x, y)
        _lay(image, elements, cover, left, top, COLOURS[mark.colour], FIRST_MARK + k)
    drawn = np.rint(image).astype(np.uint8)
    elements[(drawn == 255).all(axis=2)] = 0
    return Drawing(drawn, elements)


def _lay(
    image: Floats,
    elements: NDArray[np.uint8],
    cover: Floats,
    left: int,
    top: int,
    colour: tuple[int, ...],
    element: int,
) -> None:
    """Lay a colour over a part of the image, by how much of each pixel it covers."""
    cover = cover[max(0, -top) :, max(0, -left) :, None]
    rows, columns = (
        slice(max(0, at), max(0, at) + length) for at, length in zip((top, left), cover.shape, strict=False)
    )
    part = image[rows, columns]
    cover = cover[: part.shape[0], : part.shape[1]]
    part += (np.array(colour, dtype=np.float32) - part) * cover
    elements[rows, columns][cover[..., 0] > 0] = element


@lru_cache(maxsize=8)
def _empty(size: int) -> Drawing:
    """Axes, ticks and tick labels."""
    image = np.full((size, size, 3), 255, dtype=np.uint8)
    elements = np.zeros((size, size), dtype=np.uint8)
    column = int(size / CELLS / 2)
    row = size - 1 - column
    image[: row + 1, column] = image[row, column:] = 0
    elements[: row + 1, column] = elements[row, column:] = AXES
    for k in range(GRID + 1):
        at = int((k + 0.5) / CELLS * size)
        up = size - 1 - at
        if k:  # There both axes meet.
            image[row - 1, at] = image[up, column + 1] = 0
            elements[row - 1, at] = elements[up, column + 1] = TICKS
        digit = np.array([[int(bits) >> (2 - c) & 1 for c in range(3)] for bits in DIGITS[k]], dtype=bool)
        for top, left in ((row + 1, at - 1), (up - 1, column - 3)):
            if k or top == row + 1:
                image[top : top + 3, left : left + 3][digit] = 0
                elements[top : top + 3, left : left + 3][digit] = LABELS
    return Drawing(image, elements)


def _share(start: float, end: float, size: int) -> tuple[Floats, int]:
    """How much of each pixel along an axis lies between two points, and the first of these pixels."""
    first, last = max(0, math.floor(start)), min(size, math.ceil(end))
    edges = np.arange(first, last)
    return (np.minimum(edges + 1, end) - np.maximum(edges, start)).astype(np.float32), first


def _stamp(marker: str, side: float, x: float, y: float) -> tuple[Floats, int, int]:
    """How much of each pixel a marker covers, and the first of these pixels from the left and from above."""
    left, top = math.floor(x), math.floor(y)
    # Eighths of a pixel are near enough, and leave few stamps to make.
    cover = _cover(marker, side, round((x - left) * FINE), round((y - top) * FINE))
    reach = cover.shape[0] // 2
    return cover, left - reach, top - reach


@lru_cache(maxsize=4096)
def _cover(marker: str, side: float, x: int, y: int) -> Floats:
    """How much of each pixel a marker covers whose centre is so many eighths within the middle pixel."""
    reach = math.ceil(side / 2) + 1
    pixels = 2 * reach + 1
    fine = (np.arange(pixels * FINE) + 0.5) / FINE - reach
    across, up = np.meshgrid((fine - x / FINE) / side, (y / FINE - fine) / side)
    if marker == "circle":
        inside = across**2 + up**2 <= 0.25
    else:
        inside = np.zeros(across.shape, dtype=bool)
        corners = OUTLINES[marker]
        for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1], strict=True):
            if ay != by:  # Whoever leaves to the right crosses an outline an odd number of times from within.
                inside ^= ((ay > up) != (by > up)) & (across < ax + (up - ay) / (by - ay) * (bx - ax))
    cover: Floats = inside.reshape(pixels, FINE, pixels, FINE).mean(axis=(1, 3), dtype=np.float32)
    return cover


def _segment(start: tuple[float, float], end: tuple[float, float], width: float, size: int) -> tuple[Floats, int, int]:
    """How much of each pixel a straight line covers, and the first of these pixels from the left and from above."""
    (ax, ay), (bx, by) = start, end
    left, top = (max(0, math.floor(min(pair) - width)) for pair in ((ax, bx), (ay, by)))
    right, bottom = (min(size, math.ceil(max(pair) + width)) for pair in ((ax, bx), (ay, by)))
    x = np.arange(left, right, dtype=np.float32) + 0.5 - ax
    y = (np.arange(top, bottom, dtype=np.float32) + 0.5 - ay)[:, None]
    dx, dy = bx - ax, by - ay
    along = np.clip((x * dx + y * dy) / (dx * dx + dy * dy), 0, 1)
    away = np.hypot(x - along * dx, y - along * dy)
    return np.clip(0.5 + width / 2 - away, 0, 1).astype(np.float32), left, top
