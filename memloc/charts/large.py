"""Large images of charts, by matplotlib."""

from __future__ import annotations

from functools import lru_cache

import matplotlib

matplotlib.use("Agg")

import matplotlib.style
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import Collection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
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
    cleared,
    diameter,
    joined,
)
from memloc.charts.marks import CELLS, COLOURS, GRID, SCALES, Chart, Scale, number

INCHES, POINTS = 8.0, 72.0
"""Side of a figure, and points of an inch."""
SHAPES = {"circle": "o", "triangle": "^", "star": "*", "square": "s"}


class _Frame:
    """Axes without marks, drawn in their own colours and in a colour for each element, for any chart of a scale."""

    def __init__(self, scale: str, size: int) -> None:
        figure = Figure(figsize=(INCHES, INCHES), dpi=size / INCHES)
        self.canvas = FigureCanvasAgg(figure)
        self.axes = figure.add_axes((0, 0, 1, 1))
        elements = _draw_axes(self.axes, SCALES[scale], pixel=POINTS * INCHES / size)
        self.canvas.draw()  # type: ignore[no-untyped-call]
        self.plain = self.canvas.copy_from_bbox(figure.bbox)  # type: ignore[no-untyped-call]
        figure.set_facecolor("black")
        self.axes.patch.set_visible(False)
        _code(elements)
        self.canvas.draw()  # type: ignore[no-untyped-call]
        self.coded = self.canvas.copy_from_bbox(figure.bbox)  # type: ignore[no-untyped-call]

    def with_marks(self, marks: list[tuple[Artist, int]], *, coded: bool) -> NDArray[np.uint8]:
        """The pixels with marks above the axes."""
        self.canvas.restore_region(self.coded if coded else self.plain)  # type: ignore[no-untyped-call]
        for artist, _ in marks:
            self.axes.draw_artist(artist)
        pixels = np.asarray(self.canvas.buffer_rgba())  # type: ignore[no-untyped-call]
        return pixels[..., :3].copy()


_frame = lru_cache(maxsize=8)(_Frame)


def draw_large(chart: Chart, size: int) -> Drawing:
    """The image of a chart, and the elements of its pixels: drawn twice, once in a colour for each element."""
    with matplotlib.style.context("default", after_reset=True):
        frame = _frame(chart.scale, size)
        marks = _marks(frame.axes, chart)
        image = frame.with_marks(marks, coded=False)
        _code(marks)
        elements = frame.with_marks(marks, coded=True)[..., 0]
        for artist, _ in marks:
            artist.remove()
    return Drawing(image, cleared(image, elements))


def _code(elements: list[tuple[Artist, int]]) -> None:
    """Give artists the colours of their elements, with hard edges."""
    for artist, element in elements:
        # matplotlib takes a quicker way for markers of one kind, which has soft edges whatever it is told.
        edges = [False, False] if isinstance(artist, Collection) else False
        colour = (element / 255, 0, 0)
        artist.set(color=colour, antialiased=edges)
        if isinstance(artist, Line2D):  # A tick is a marker of a line.
            artist.set_markeredgecolor(colour)


def _draw_axes(axes: Axes, scale: Scale, *, pixel: float) -> list[tuple[Artist, int]]:
    """Two axes that meet at 0, with ticks and their labels; each artist with its element.

    Args:
        pixel: in points. Lines as wide have no soft edges, whatever matplotlib is told of ticks.
    """
    step = scale.step
    ticks = [step * k for k in range(0, GRID + 1, scale.every)]
    axes.set_xlim(-step / 2, (GRID + 0.5) * step)
    axes.set_ylim(-step / 2, (GRID + 0.5) * step)
    found: list[tuple[Artist, int]] = []
    for name, spine in axes.spines.items():
        spine.set_visible(name in ("left", "bottom"))
        if spine.get_visible():
            spine.set_position(("data", 0))
            spine.set_bounds(0, (GRID + 0.5) * step)
            spine.set_linewidth(pixel)
            found.append((spine, AXES))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(ticks, [number(tick) for tick in ticks])
        axis.set_tick_params(direction="in", length=5 * pixel, width=pixel, pad=3, labelsize=10)
        found += [(line, TICKS) for line in axis.get_ticklines()]
        found += [(label, LABELS) for label in axis.get_ticklabels()]
    return found


def _marks(axes: Axes, chart: Chart) -> list[tuple[Artist, int]]:
    """Marks, and the lines that join them, above the axes; each artist with its element."""
    cell = INCHES * POINTS / CELLS
    found: list[tuple[Artist, int]] = []
    for line in joined(chart):
        found += [
            (artist, JOINING)
            for artist in axes.plot(
                [mark.x for mark in line],
                [mark.y for mark in line],
                color=_colour(JOINING_COLOUR),
                linewidth=JOINING_WIDTH * cell,
                zorder=3,
            )
        ]
    for k, mark in enumerate(chart.marks):
        colour = _colour(COLOURS[mark.colour])
        artist: Artist
        if chart.type == "bar":
            (artist,) = axes.bar(mark.x, mark.y, width=bar_width(chart) * chart.step, color=colour, zorder=4)
        else:
            artist = axes.scatter(
                mark.x, mark.y, s=(diameter(chart, mark) * cell) ** 2, marker=SHAPES[mark.marker], color=colour,
                linewidths=0, antialiaseds=[True, True], zorder=4,
            )  # fmt: skip
        found.append((artist, FIRST_MARK + k))
    return found


def _colour(rgb: tuple[int, ...]) -> tuple[float, ...]:
    return tuple(part / 255 for part in rgb)
