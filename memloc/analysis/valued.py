"""What experiments on valuation share: outcomes of trials, medians over seeds with intervals, marks by method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc.analysis import dots, plotting
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


def main_of(rows: pd.DataFrame, wanted: tuple[str, float] = MAIN) -> tuple[str, float]:
    """The method that a figure is about: the wanted one, or the first where its ratio wasn't tried."""
    methods = methods_of(rows)
    return wanted if wanted in methods else methods[0]


def ranked(axis: Axes, rows: pd.DataFrame, main: tuple[str, float], *, null: float | None = None) -> None:
    """A row a method: the main one filled, random order grey, all others hollow."""
    methods = methods_of(rows)
    table = pd.concat([of_method(rows, method) for method in methods])
    colours = [plotting.COLOURS["random"] if method[0] == "random" else plotting.INK for method in methods]
    hollow = [method != main for method in methods]
    plotting.forest(axis, table, [label(method) for method in methods], colours=colours, hollow=hollow, null=null)


def curves(axis: Axes, rows: pd.DataFrame, main: tuple[str, float]) -> None:
    """Values along ``at`` of the main method and of random order, with their intervals."""
    series = {label(method): of_method(rows, method) for method in (main, ("random", 0.0))}
    at = {name: mine["at"].to_numpy(dtype=float) for name, mine in series.items()}
    colours = dict(zip(series, (plotting.INK, plotting.COLOURS["random"]), strict=True))
    step = min((float(np.diff(np.unique(places)).min(initial=1.0)) for places in at.values()), default=1.0)
    dots.side_by_side(axis, series, at=at, colours=colours, width=0.2 * step)


def curves_and_ranks(
    table: pd.DataFrame, *, main: tuple[str, float], curve: str, along: str, rank: str, ranks: str
) -> tuple[Figure, list[tuple[str, Axes, Axes]]]:
    """For each table the curves of a method and of random order, and below them how all methods compare.

    Args:
        curve, along: labels of the curves' axes; they are the series "accuracy".
        rank, ranks: the series that is compared, and the label of its axis.

    Returns:
        Also every table's name with its two axes.
    """
    names = list(dict.fromkeys(table["table"]))
    main = main_of(table[table["series"] == "accuracy"], main)
    lines = -(-len(names) // 4)
    columns = -(-len(names) // lines)
    compared = table[table["series"] == rank]
    height = 0.5 + 0.16 * len(methods_of(compared))
    figure, axes = plotting.panels(rows=2 * lines, columns=columns, height=height, sharey="row")
    axes[0, 0].get_gridspec().set_height_ratios([1.6, height] * lines)
    figure.set_figheight((1.6 + height) * lines + 0.4)
    places = []
    for place, name in enumerate(names):
        line, column = divmod(place, columns)
        above, below = axes[2 * line, column], axes[2 * line + 1, column]
        curves(above, table[(table["series"] == "accuracy") & (table["table"] == name)], main)
        ranked(below, compared[compared["table"] == name], main)
        above.set(title=plotting.plain(name), xlabel=along, ylabel="" if column else curve)
        below.set_xlabel(ranks)
        places.append((name, above, below))
    for axis in axes[-2:, 1 + (len(names) - 1) % columns :].flat:
        axis.remove()
    plotting.one_scale(below for _, _, below in places)
    plotting.key(figure, {label(main): plotting.INK, "random order": plotting.COLOURS["random"]})
    return figure, places
