"""Dots with their intervals along an axis, several series side by side: no bands over each other."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from memloc.analysis import plotting

MANY = 14
"""Above so many places, dots are small."""


def side_by_side(
    axis: Axes,
    series: Mapping[str, pd.DataFrame],
    *,
    at: Mapping[str, NDArray[Any]] | None = None,
    colours: Mapping[str, str] | None = None,
    hollow: Collection[str] = (),
    joined: bool = True,
    width: float = 0.44,
) -> None:
    """Values with their intervals, the series of one place beside each other.

    Args:
        series: by label, rows with value, low and high.
        at: by label, their places; by default 0, 1, ...
        colours: by label; ``plotting.COLOURS`` by default.
        hollow: series whose dots are hollow.
        joined: whether a thin line joins the dots of a series.
        width: of all dots of one place together.
    """
    for shift, (label, rows) in zip(shifts(len(series), width), series.items(), strict=True):
        colour = (colours or plotting.COLOURS)[label]
        places = np.arange(len(rows)) if at is None else at[label]
        ends = np.abs(rows[["low", "high"]].to_numpy(dtype=float).T - rows["value"].to_numpy(dtype=float))
        few = len(rows) <= MANY
        axis.errorbar(
            places + shift,
            rows["value"],
            yerr=ends,
            fmt="o-" if joined else "o",
            color=colour,
            markerfacecolor="white" if label in hollow else colour,
            markersize=4 if few else 2.6,
            linewidth=0.6,
            elinewidth=1.2 if few else 0.9,
            capsize=0,
            label=label,
        )


def shifts(series: int, width: float = 0.44) -> NDArray[Any]:
    """Where each of several series stands beside a place."""
    return np.linspace(-width / 2, width / 2, series) if series > 1 else np.zeros(1)


def over_layers(axis: Axes, series: Mapping[str, pd.DataFrame], *, null: float | None = 0.0, **options: Any) -> None:
    """Several series by layer, side by side, with a line where there is no effect and the names of the layers.

    Args:
        series: by label, rows with layer, value, low and high, of the same layers or of some of those of the first.
        options: of ``side_by_side``.
    """
    names = list(next(iter(series.values()))["layer"].astype(str))
    places = {label: np.array([names.index(str(name)) for name in rows["layer"]]) for label, rows in series.items()}
    side_by_side(axis, series, at=places, **options)
    plotting.layers(axis, names)
    axis.set(xlabel="layer", xlim=(-0.6, len(names) - 0.4))
    if null is not None:
        axis.axhline(null, color=plotting.INK, linewidth=0.8, zorder=1)


def named(axis: Axes, names: Sequence[str]) -> None:
    """What stands at 0, 1, ... along the axis."""
    axis.set_xticks(range(len(names)), list(names))
    axis.set_xlim(-0.6, len(names) - 0.4)


def legend(axis: Axes) -> None:
    """A legend to the right of an axis, where it covers no data."""
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False, borderaxespad=0, handletextpad=0.3)


def place(layer: object) -> str:
    """A layer in a sentence: layer 8, and other names as they are."""
    name = plotting.plain(str(layer), most=20)
    return f"layer {name}" if name.isdigit() else name
