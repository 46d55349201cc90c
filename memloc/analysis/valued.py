"""What experiments on valuation share: outcomes of trials, medians over seeds with intervals, marks by method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc.analysis import plotting
from memloc.analysis.inputs import Inputs
from memloc.errors import InputError
from memloc.metrics.stats import Estimate

PAPER = "2D-OOB (Sun et al., 2024)"
RESAMPLES = 1000
"""Of seeds, of which there are few."""
OOB = ("2D-OOB, w = 0", "2D-OOB, w = 1")
MAIN = (OOB[1], 0.5)
"""The method and ratio that claims about every table are about, chosen after trials on three of the tables: 2D-OOB's as
it is published, with closeness, and the ratio between those of its authors."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Outcomes:
    """Outcomes of one table's trials, stacked over seeds.

    Attributes:
        methods: (name, ratio) of each row of the arrays.
        arrays: by name, [seeds, ...].
        rows: valued in each seed, at least.
    """

    methods: Sequence[tuple[str, float]]
    arrays: dict[str, Floats]
    rows: int

    def at(self, axis: str, share: float) -> int:
        """The place of a share along an axis that the trials report."""
        return int(np.argmin(np.abs(self.arrays[axis][0] - share)))

    def of(self, name: str, method: tuple[str, float], *, axis: int = 0) -> Floats:
        """One method's part of an array, whose methods are along an axis behind that of seeds: [seeds, ...].

        Raises:
            InputError: it wasn't tried.
        """
        if method not in self.methods:
            raise InputError(f"outcomes lack {label(method)}; delete them and run snakemake again to make them anew")
        return np.asarray(np.take(self.arrays[name], self.methods.index(method), axis=axis + 1))


def outcomes(inputs: Inputs, table: str) -> Outcomes:
    """What the trials on one table came to."""
    seeds = inputs.arrays("outcomes", table)
    methods = list(zip(seeds[0]["methods"].tolist(), seeds[0]["ratios"].tolist(), strict=True))
    arrays = {name: np.stack([seed[name] for seed in seeds]) for name in seeds[0] if name not in ("methods", "ratios")}
    return Outcomes(methods, arrays, int(arrays["rows"].min()))


def over_seeds(values: Floats, *, limit: float = np.inf, centre: float = 0.0) -> Estimate:
    """Median over seeds; its error is that over resampled seeds, with as many degrees of freedom as there are but one.

    Nothing is resampled within a seed: its rows, columns and outliers are drawn anew in every one.

    Args:
        values: [seeds, ...], between centre - limit and centre + limit.
    """
    values = np.asarray(values, dtype=np.float64)
    picked = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    nested = np.median(values[picked], axis=1)
    value = np.median(values, axis=0)
    return Estimate(value, nested, np.broadcast_to(value, nested.shape), len(values), limit, centre)


def share(values: Floats) -> Estimate:
    """The median over seeds of what lies between 0 and 1."""
    return over_seeds(values, limit=0.5, centre=0.5)


def rows_of_methods(
    estimate: Estimate, methods: Sequence[tuple[str, float]], axis: Floats | None = None, **about: str | float
) -> pd.DataFrame:
    """One row a method, and one for each place along the axis: estimates [methods], or [methods, places]."""
    low, high = estimate.interval()
    places = [np.nan] if axis is None else list(axis)
    rows = [(name, ratio or np.nan, place) for name, ratio in methods for place in places]
    told = {"value": estimate.value.ravel(), "low": low.ravel(), "high": high.ravel()}
    return (
        pd.DataFrame(rows, columns=["method", "ratio", "at"])
        .assign(**told)[["method", "ratio", "at", "value", "low", "high"]]
        .assign(**about)
    )


def label(method: tuple[str, float]) -> str:
    """A method's name with its ratio, where it has one."""
    name, ratio = method
    return f"{name}, ratio {ratio:g}" if ratio == ratio and ratio else name


def methods_of(rows: pd.DataFrame) -> list[tuple[str, float]]:
    """Methods with their ratios in the order of a figure's table."""
    return list(dict.fromkeys(zip(rows["method"], rows["ratio"].fillna(0.0), strict=True)))


def of_method(rows: pd.DataFrame, method: tuple[str, float]) -> pd.DataFrame:
    """Rows of one method and ratio."""
    return rows[(rows["method"] == method[0]) & (rows["ratio"].fillna(0.0) == method[1])]


class Style(TypedDict):
    """How matplotlib draws a method."""

    color: str
    marker: str
    linestyle: str
    label: str


def style(method: tuple[str, float], methods: Sequence[tuple[str, float]]) -> Style:
    """Colour by method; shape and dashes by ratio."""
    ratios = sorted({ratio for _, ratio in methods if ratio})
    place = ratios.index(method[1]) if method[1] else -1
    return {
        "color": plotting.COLOURS[method[0]],
        "marker": "D" if place < 0 else "os^v"[place % 4],
        "linestyle": "-" if place < 0 else ("-", "--", ":", "-.")[place % 4],
        "label": label(method),
    }


def dots(axis: Axes, rows: pd.DataFrame, places: Sequence[str], *, column: str = "table") -> None:
    """Every method's values with their intervals, side by side at each of the named places."""
    methods = methods_of(rows)
    for number, method in enumerate(methods):
        mine = of_method(rows, method).set_index(column).reindex(list(places))
        at = np.arange(len(places)) + 0.8 * ((number + 0.5) / len(methods) - 0.5)
        marks: Style = {**style(method, methods), "linestyle": "none"}
        error = np.abs(mine[["low", "high"]].to_numpy().T - mine["value"].to_numpy())
        axis.errorbar(at, mine["value"], yerr=error, markersize=4, elinewidth=1, capsize=1.5, **marks)
    axis.set_xticks(range(len(places)), list(places), fontsize=8, rotation=20 if len(places) > 4 else 0)
    axis.set_xlim(-0.5, len(places) - 0.5)
    for edge in np.arange(len(places) - 1) + 0.5:
        axis.axvline(edge, color="#cccccc", linewidth=0.8, zorder=0)
    axis.grid(visible=False, axis="x")


def curves(axis: Axes, rows: pd.DataFrame, *, bands: Sequence[tuple[str, float]] = ()) -> None:
    """Every method's values along ``at``, with the intervals of some as bands."""
    methods = methods_of(rows)
    for method in methods:
        mine = of_method(rows, method)
        axis.plot(mine["at"], mine["value"], **style(method, methods), linewidth=1.3, markersize=4, markevery=4)
        if method in bands:
            colour = plotting.COLOURS[method[0]]
            axis.fill_between(mine["at"], mine["low"], mine["high"], color=colour, alpha=0.15, linewidth=0)


def legend_below(figure: Figure, axis: Axes) -> None:
    """One legend of all methods below the panels."""
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=8)
