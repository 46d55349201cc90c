"""The paper's figures drawn from a run's points: one panel a part, in the paper's form."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from memloc.aliases import Array
from memloc.analysis import plotting
from memloc.paper.readings import Plot

COLUMNS = 2
BINS = 30
DASHED = ("external", "external images", "unseen images", ", SL")
"""Ends of the names of series that stand beside another one of their colour."""
IMAGES = 10
"""Images in a row: the paper's Figure 13 has as many."""


def draw(plots: Mapping[str, Plot], images: Array | None = None) -> Figure:
    """One panel for each part that has points, by the part's label.

    Args:
        images: of the data set whose images a part shows, [n, channels, height, width].
    """
    if images is not None and (shown := next((p for p in plots.values() if p.form == "images"), None)):
        return _strips(shown, images)
    columns = min(COLUMNS, len(plots))
    figure, axes = plotting.panels(rows=-(-len(plots) // columns), columns=columns, width=5.2 * columns, height=3.6)
    for axis, (label, plot) in zip(axes.flat, plots.items(), strict=False):
        {"lines": _lines, "histogram": _histogram, "scatter": _scatter}[plot.form](axis, plot)
        axis.set(xlabel=plot.x, ylabel=plot.y, title=label)
    for axis in axes.flat[len(plots) :]:
        axis.remove()
    return figure


def _hues(plot: Plot) -> dict[str, str]:
    """A colour for each series; those that are told apart behind a comma share one."""
    of = {name: name.partition(", ")[0].removesuffix(" memorized") for name in plot.series}
    hues = plotting.colours(list(dict.fromkeys(of.values())))
    return {name: hues[base] for name, base in of.items()}


def _lines(axis: Axes, plot: Plot) -> None:
    """Lines with their intervals as bars, moved apart a little so that none hides another."""
    named = [point.x for points in plot.series.values() for point in points if isinstance(point.x, str)]
    places: dict[str | float, float] = {name: float(place) for place, name in enumerate(dict.fromkeys(named))}
    for nth, (name, points) in enumerate(plot.series.items()):
        shift = 0.07 * (nth - (len(plot.series) - 1) / 2) if named else 0.0
        at = [places.get(point.x, point.x) + shift for point in points]  # type: ignore[operator]
        error = np.abs([[point.value - point.low, point.high - point.value] for point in points]).T
        values = [point.value for point in points]
        style = "o--" if name.endswith(DASHED) else "o-"
        axis.errorbar(
            at,
            values,
            yerr=error,
            fmt=style,
            color=_hues(plot)[name],
            label=name,
            markersize=4,
            elinewidth=1,
            capsize=2,
        )
    if named:
        plotting.layers(axis, [str(name) for name in places])
    _key(axis, plot)


def _histogram(axis: Axes, plot: Plot) -> None:
    edges = np.linspace(0, 1, BINS + 1)
    for name, points in plot.series.items():
        values = np.array([point.value for point in points])
        share, _ = np.histogram(values, edges)
        axis.stairs(share / max(len(values), 1), edges, color=_hues(plot)[name], label=name, linewidth=1.6)
    axis.set_xlim(0, 1)
    _key(axis, plot)


def _scatter(axis: Axes, plot: Plot) -> None:
    for name, points in plot.series.items():
        x, y = [float(point.x) for point in points], [point.value for point in points]
        axis.scatter(x, y, s=9, alpha=0.45, linewidths=0, color=_hues(plot)[name], label=name)
    if {plot.x, plot.y} == {"UnitMem", "ClassMem"}:
        axis.plot([0, 1], [0, 1], color="black", linewidth=0.8)
        axis.set(xlim=(0, 1), ylim=(0, 1))
    _key(axis, plot)


def _key(axis: Axes, plot: Plot) -> None:
    """A legend below the panel, where it hides nothing; none of a single series."""
    if len(plot.series) > 1:
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=2, fontsize=8, frameon=False)


def _strips(plot: Plot, images: Array) -> Figure:
    """A row of images a layer."""
    most = min(IMAGES, max(len(points) for points in plot.series.values()))
    figure, axes = plotting.panels(rows=len(plot.series), columns=most, width=1.05 * most, height=1.25)
    for row, (layer, points) in zip(axes, plot.series.items(), strict=True):
        for axis, point in zip(row, points, strict=False):
            plotting.thumbnail(axis, images[int(float(point.x))])
        for axis in row[len(points) :]:
            axis.axis("off")
        row[0].set_title(f"layer {layer}", fontsize=9, loc="left", pad=3)
    return figure
