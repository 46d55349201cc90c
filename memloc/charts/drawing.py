"""What both renderers have in common: elements of a chart, and where its marks are and how large."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from memloc.charts.marks import CELLS, Chart, Mark

BACKGROUND, AXES, TICKS, LABELS, FIRST_MARK, JOINING = 0, 1, 2, 3, 4, 255
"""Elements: mark k is FIRST_MARK + k; JOINING is the line that joins the marks of a line chart."""
JOINING_COLOUR = (170, 170, 170)
JOINING_WIDTH = 0.05
"""In cells."""


class Drawing(NamedTuple):
    """An image [size, size, 3], its row 0 the highest, and the elements of its pixels [size, size]."""

    image: NDArray[np.uint8]
    elements: NDArray[np.uint8]


def centre(chart: Chart, mark: Mark, size: int) -> tuple[float, float]:
    """Column and row of a mark, in pixels from the image's upper left corner."""
    across, up = ((value / chart.step + 0.5) / CELLS for value in (mark.x, mark.y))
    return across * size, (1 - up) * size


def crowded(chart: Chart) -> bool:
    """Whether a chart has a crowd of marks, which are smaller and needn't be on positions."""
    return "asked" in chart.settings


def diameter(chart: Chart, mark: Mark) -> float:
    """Of a mark, in cells; a star's is larger, for little of it is ink."""
    small = crowded(chart) * (1 + (len(chart.marks) > 32))
    return (0.64, 0.32, 0.2)[small] * (1.3 if mark.marker == "star" else 1)


def bar_width(chart: Chart) -> float:
    """In cells."""
    return 0.7 * (8 / len(chart.marks) if crowded(chart) else 1)


def joined(chart: Chart) -> list[list[Mark]]:
    """The marks of a line chart that one line joins, from left to right, for each line."""
    if chart.type != "line":
        return []
    lines: dict[str | None, list[Mark]] = {}
    for mark in sorted(chart.marks, key=lambda mark: mark.x):
        lines.setdefault(mark.series, []).append(mark)
    if len(lines) > 1:
        del lines[None]  # The mark that a question is about belongs to no line.
    return [*lines.values()]


def cleared(image: NDArray[np.uint8], elements: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Elements of pixels with ink alone, and every pixel with ink given to an element that it touches."""
    ink = (image != 255).any(axis=2)
    found = np.where(ink, elements, 0).astype(np.uint8)
    while (lost := ink & (found == 0)).any():
        padded = np.pad(found, 1)
        size = found.shape[0]
        around = np.max([padded[r : r + size, c : c + size] for r in range(3) for c in range(3)], axis=0)
        if not (lost & (around > 0)).any():
            break
        found[lost] = around[lost]
    return found
