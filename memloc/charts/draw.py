"""Images of charts, and which element of a chart every pixel belongs to.

A large image is matplotlib's. Smaller ones are drawn by arrays alone, which takes a thousandth of a second, with the
same marks in the same places.
"""

from __future__ import annotations

from memloc.charts.drawing import Drawing
from memloc.charts.marks import Chart
from memloc.charts.settings import LARGE


def draw(chart: Chart, size: int = LARGE) -> Drawing:
    """The image of a chart, of ``size`` pixels a side, and the elements of its pixels."""
    # Whoever draws small images alone doesn't wait for matplotlib.
    if size == LARGE:
        from memloc.charts.large import draw_large

        return draw_large(chart, size)
    from memloc.charts.small import draw_small

    return draw_small(chart, size)
