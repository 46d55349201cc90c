"""What values of cells cost, by rows, learners and permutations (2D-OOB, Sun et al., 2024)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from numpy.typing import NDArray

from memloc.aliases import Array
from memloc.analysis import plotting
from memloc.analysis.claims import Claim
from memloc.analysis.sheet import Sheet
from memloc.analysis.valued import OOB, PAPER, Floats, over_seeds, share
from memloc.metrics.stats import Estimate

OWN = f"{PAPER}; own threshold"
CLAIMS = {
    "tenth": Claim(
        "2D-OOB is as good as 2D-KNN in a tenth of its time: log10 of CPU time, 2D-KNN of most permutations over "
        "2D-OOB of the fewest learners that find outliers as soon, ten behind each cell, minus 1",
        OWN,
    ),
    "any": Claim(
        "2D-OOB is as good as 2D-KNN in less time for every number of permutations: log10 of CPU time, 2D-KNN over "
        "2D-OOB, the smallest",
    ),
    "learners": Claim("Cost grows at most nearly in proportion to learners: 1.25 minus the exponent", OWN),
    "rows": Claim("Cost grows at most nearly in proportion to rows: 1.25 minus the exponent", OWN),
}
"""Where no number of learners is as good as 2D-KNN, the largest one's time counts and the claim's subject says so."""
ENOUGH = 10
"""Learners behind the cell that has fewest, in every seed: with fewer, some cells have a value of next to nothing."""
KNN = "2D-KNN"


@dataclass(frozen=True)
class Measured:
    """Measurements of one table.

    Attributes:
        methods, rows, amounts: of each, alike in all seeds.
        seconds, areas, fewest: [seeds, measurements].
    """

    methods: NDArray[np.str_]
    rows: NDArray[np.int64]
    amounts: NDArray[np.int64]
    seconds: Floats
    areas: Floats
    fewest: Floats

    def at(self, method: str, *, most_rows: bool = False, most: bool = False) -> NDArray[np.int64]:
        """Places of a method's measurements, with the most rows alone, or its largest amount alone."""
        outcome = self.methods == method
        keep = outcome.copy()
        if most_rows:
            keep &= self.rows == self.rows.max()
        if most:
            keep &= self.amounts == self.amounts[outcome].max()
        return np.flatnonzero(keep)


def analyse(sheet: Sheet) -> None:
    """Seconds and areas of every measurement, exponents of cost, how much longer 2D-KNN takes to be as good."""
    for name in sheet.encoders:
        seeds = sheet.arrays("outcomes", name)
        columns = {key: seeds[0][key] for key in ("methods", "rows", "amounts")}
        stacked = {key: np.stack([seed[key] for seed in seeds]) for key in ("seconds", "areas", "fewest")}
        outcome = Measured(**columns, **stacked)
        about = {"method": outcome.methods, "rows": outcome.rows, "amount": outcome.amounts}
        sheet.add(_rows(share(outcome.areas), series="area", table=name, **about))
        # Times differ by factors, so theirs is the median, and the interval, of the logarithm.
        times = _rows(over_seeds(np.log10(outcome.seconds)), series="seconds", table=name, **about)
        sheet.add(times.assign(**{key: 10 ** times[key] for key in ("value", "low", "high")}))
        n = int(outcome.rows.max())
        permutations = outcome.at(KNN, most_rows=True)
        ratios, reached = zip(*(_ratios(outcome, place) for place in permutations), strict=True)
        last = int(np.argmax(outcome.amounts[permutations]))
        exponents = {
            "learners": _exponents(outcome, outcome.at(OOB[1], most_rows=True), outcome.amounts),
            "rows": _exponents(outcome, outcome.at(OOB[1], most=True), outcome.rows),
        }
        every = over_seeds(np.stack(ratios, axis=1))
        of_them = {key: value[permutations] for key, value in about.items()}
        sheet.add(_rows(every, series="log10 of ratio to 2D-OOB", table=name, **of_them))
        places = [f"{amount} permutation{'s' if amount > 1 else ''}" for amount in outcome.amounts[permutations]]
        sheet.find("tenth", name + reached[last], over_seeds(ratios[last] - 1), n)
        sheet.find_in_every("any", name, every, places, n=n)
        for axis, values in exponents.items():
            sheet.find(axis, f"{name}, exponent of {axis}", over_seeds(1.25 - values), n)


def _ratios(outcome: Measured, place: int) -> tuple[Floats, str]:
    """log10 of CPU time, one 2D-KNN over the 2D-OOB of fewest learners as good in the median and enough, [seeds]."""
    ours = outcome.at(OOB[1], most_rows=True)
    ours = ours[np.argsort(outcome.amounts[ours])]
    areas, enough = np.median(outcome.areas, axis=0), outcome.fewest.min(axis=0) >= ENOUGH
    good = ours[(areas[ours] >= areas[place]) & enough[ours]]
    chosen = good[0] if len(good) else ours[-1]
    lacking = " (not as good)" if areas[chosen] < areas[place] else "" if enough[chosen] else " (too few)"
    learners = f", {outcome.amounts[chosen]} learners{lacking}"
    return np.log10(outcome.seconds[:, place] / outcome.seconds[:, chosen]), learners


def _exponents(outcome: Measured, places: NDArray[np.int64], size: NDArray[np.int64]) -> Floats:
    """Slope of log time against log size by least squares, [seeds]."""
    logs = np.log(size[places]) - np.log(size[places]).mean()
    return np.asarray(np.log(outcome.seconds[:, places]) @ logs / (logs @ logs))


def _rows(estimate: Estimate, **about: object) -> pd.DataFrame:
    low, high = estimate.interval()
    return pd.DataFrame({**about, "value": estimate.value, "low": low, "high": high})


def draw(table: pd.DataFrame) -> Figure:
    """By table: areas against time, time against learners, time against rows."""
    names = list(dict.fromkeys(table["table"]))
    lines = -(-len(names) // 4)
    columns = -(-len(names) // lines)
    figure, axes = plotting.panels(rows=3 * lines, columns=columns, height=1.7, sharex="row", sharey="row")
    for place, name in enumerate(names):
        line, column = divmod(place, columns)
        above, middle, below = axes[3 * line : 3 * line + 3, column]
        part = table[table["table"] == name]
        seconds, areas = (part[part["series"] == series] for series in ("seconds", "area"))
        most = part["rows"].max()
        for method in dict.fromkeys(seconds["method"]):
            time, area = (rows[(rows["method"] == method) & (rows["rows"] == most)] for rows in (seconds, areas))
            _line(above, time["value"], area, method)
            largest = seconds[seconds["method"] == method]
            largest = largest[largest["amount"] == largest["amount"].max()]
            _line(below, largest["rows"], largest, method)
            if method == OOB[1]:
                _line(middle, time["amount"], time, method)
                _proportion(middle, time["amount"].to_numpy(), time["value"].to_numpy())
                _proportion(below, largest["rows"].to_numpy(), largest["value"].to_numpy())
        above.set(title=f"{plotting.plain(name)}, {most} rows\nWhat does time buy?", xlabel="CPU seconds", xscale="log")
        middle.set(title="Does time grow with learners?", xlabel="learners of 2D-OOB", xscale="log", yscale="log")
        below.set(title="And with rows?", xlabel="rows (dotted: in proportion)", xscale="log", yscale="log")
        for axis, at, rows in ((middle, "amount", seconds[seconds["method"] == OOB[1]]), (below, "rows", seconds)):
            axis.set_xticks(sorted(set(rows[at])), [f"{tick:g}" for tick in sorted(set(rows[at]))])
            axis.set_xticks([], minor=True)
        if not column:
            above.set_ylabel("area under the\ndetection curve")
            middle.set_ylabel("CPU seconds")
            below.set_ylabel("CPU seconds")
    spread = table.loc[table["series"] == "seconds", "value"]
    # A label a decade, or where there are few, two.
    steps = (1.0,) if spread.max() / spread.min() > 50 else (1.0, 3.0)
    for row, axis in ((row, axis) for row, line in enumerate(axes) for axis in line):
        ticks = axis.yaxis if row % 3 else axis.xaxis
        ticks.set_major_locator(LogLocator(subs=steps))
        ticks.set_major_formatter("{x:g}")
        ticks.set_minor_formatter(NullFormatter())
    for axis in axes[-3:, 1 + (len(names) - 1) % columns :].flat:
        axis.remove()
    plotting.shared_legend(figure, axes[0, 0])
    return figure


def _line(axis: Axes, at: Sequence[float] | pd.Series, rows: pd.DataFrame, method: str) -> None:
    error = np.abs(rows[["low", "high"]].to_numpy().T - rows["value"].to_numpy())
    colour, shape = plotting.COLOURS[method], _SHAPES.get(method, "o")
    axis.errorbar(
        at,
        rows["value"],
        yerr=error,
        marker=shape,
        color=colour,
        markerfacecolor=colour if shape == "o" else "white",
        markersize=5,
        capsize=0,
        label=method,
    )


_SHAPES = {"2D-KNN": "s", "two-stage": "^", "z-score": "D"}


def _proportion(axis: Axes, at: Array, value: Array) -> None:
    """A line of exponent 1 through the last point."""
    axis.plot(at, value[-1] * at / at[-1], color=plotting.COLOURS["null"], linestyle=":", linewidth=1.2)
