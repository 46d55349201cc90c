"""LayerMem of subsets of the candidates: its mean and spread by the subset's size (paper, Table 19)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc.analysis import plotting
from memloc.analysis.claims import Claim, Finding
from memloc.analysis.inputs import GROUPS, equivalent, rows_of, wide
from memloc.analysis.sheet import Sheet
from memloc.measuring.points import own_layers
from memloc.metrics.alignment import ESTIMATORS, layermem
from memloc.metrics.stats import Sample, bootstrap
from memloc.streams import generator

PAPER = "ResNet9, SimCLR, CIFAR10; published estimator; 100, 500, 1,000 and 5,000 candidates, 3 draws"
CLAIMS = {
    "mean": Claim(
        "LayerMem doesn't depend on the number of points: at every size the last layer's crossed LayerMem, mean over "
        "draws, is within a thirtieth (own margin, .01 of the paper's; at first .01, half our effect) of that of all "
        "points: this minus the largest difference",
        "Table 19",
        0.0033,
        PAPER,
    ),
    "spread": Claim(
        "Subsets spread as drawing without replacement makes them: at every size the standard deviation of the last "
        "layer's crossed LayerMem over draws is within 25 % (own margin) of the closed form: .25 minus the largest "
        "relative difference; from 50 draws on, fewer can't tell",
    ),
    "published-spread": Claim(
        "At the smallest size the last layer's published LayerMem has a standard deviation over draws of at most .001: "
        ".001 minus the standard deviation",
        "Table 19",
        None,
        PAPER,
    ),
}
SHARE, RATIO, LARGEST_SPREAD, FEWEST_DRAWS = 1 / 30, 0.25, 0.001, 50


def analyse(sheet: Sheet) -> None:
    """Mean and spread over draws by size, layer and estimator, beside the closed form, and the claims' effects.

    The last size is that of all points. Spreads are root mean squares over seeds.
    """
    inputs, options = sheet.inputs, sheet.options
    sizes, draws = sorted(options["sizes"]), options["draws"]
    tables, findings = [], []
    for encoder in inputs.encoders():
        seeds = inputs.tables("points", encoder)
        layers = own_layers(seeds[0])
        samples = [{group: wide(points, group, "sslmem")[layers].to_numpy() for group in GROUPS} for points in seeds]
        n = len(samples[0]["candidate"])
        statistic = _Statistic(sizes, draws, generator("set size", encoder))
        estimate = bootstrap(samples, statistic, replicates=options["replicates"], seed=0)
        mean, spread, expected = estimate[0], estimate[1].map(_root), estimate[2].map(_root)
        low, high = spread.interval()
        for s, size in enumerate([*sizes, n]):
            for e, estimator in enumerate(ESTIMATORS):
                about = {"series": estimator, "size": size, "sd": spread.value[s, e], "sd_low": low[s, e]}
                about |= {"sd_high": high[s, e], "expected_sd": expected.value[s, e]}
                tables.append(rows_of(mean[s, e], layers, encoder=encoder, **about))
        last = estimate[:, :, ESTIMATORS.index("crossed"), -1]
        shift = last[0].map(lambda v: v[..., :-1] - v[..., -1:])
        excess = last.map(lambda v: _ratio(v[..., 1, :-1], v[..., 2, :-1]) - 1)
        room = spread[0, ESTIMATORS.index("published"), -1].map(lambda v: LARGEST_SPREAD - v)
        places = [f"{size} points" for size in sizes]
        findings += [
            equivalent("mean", encoder, shift, places, margin=last[0, -1].scaled(SHARE), n=n),
            Finding("published-spread", encoder, room, n),
        ]
        if draws >= FEWEST_DRAWS:
            findings.append(equivalent("spread", encoder, excess, places, margin=RATIO, n=n))
    sheet.add(pd.concat(tables, ignore_index=True))
    sheet.findings += findings


class _Statistic:
    """Of LayerMem over subsets: mean, variance and its closed form, [3, sizes and all, estimators, layers].

    A subset of m candidates goes with as many independent and external points. Without replacement, out of n points
    of variance s^2, the mean of m varies by

        s^2 (1 / m - 1 / n)

    summed over the groups that an estimator takes in. Every call draws new subsets, so a resample has its own.
    """

    def __init__(self, sizes: Sequence[int], draws: int, rng: np.random.Generator) -> None:
        self.sizes, self.draws, self.rng = sizes, draws, rng

    def __call__(self, sample: Sample) -> NDArray[np.float64]:
        # The smaller subsets of a draw are parts of its larger ones: the first rows of one order.
        drawn = [sample[group][self._orders(len(sample[group]))] for group in GROUPS]
        everything = [sample[group] for group in GROUPS]
        out = []
        for size in self.sizes:
            subsets = np.stack([layermem(*(d[:size] for d in drawn), estimator=e) for e in ESTIMATORS])
            out.append((subsets.mean(axis=1), subsets.var(axis=1, ddof=1), self._expected(everything, size)))
        whole = np.stack([layermem(*everything, estimator=e) for e in ESTIMATORS])
        out.append((whole, np.zeros_like(whole), np.zeros_like(whole)))
        return np.stack(out, axis=1)

    def _orders(self, n: int) -> NDArray[np.int64]:
        """Beginnings of random orders of n points, [largest size, draws]."""
        return np.asarray(self.rng.permuted(np.tile(np.arange(n)[:, None], self.draws), axis=0)[: max(self.sizes)])

    def _expected(self, groups: Sequence[NDArray[Any]], size: int) -> NDArray[np.float64]:
        candidate, independent, external = (g.var(axis=0, ddof=1) * (1 / size - 1 / len(g)) for g in groups)
        form = {
            "published": candidate,
            "external-corrected": candidate + external,
            "crossed": (candidate + independent) / 4,
        }
        return np.stack([form[estimator] for estimator in ESTIMATORS])


def _root(variance: NDArray[np.float64]) -> NDArray[np.float64]:
    # A replicate that is moved to have the seed's value as its mean may fall below 0.
    return np.sqrt(np.clip(variance, 0, None))


def _ratio(variance: NDArray[np.float64], expected: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard deviation over what is expected; 1 where both are 0."""
    expected = np.clip(expected, 0, None)
    return _root(np.divide(variance, expected, out=np.ones_like(expected), where=expected > 0))


def draw(table: pd.DataFrame, images: NDArray[np.uint8]) -> Figure:
    """A row an encoder: LayerMem by layer for every size, published and crossed, and spread against size."""
    encoders = list(dict.fromkeys(table["encoder"]))
    figure, axes = plotting.panels(rows=len(encoders), columns=3, width=13)
    for row, encoder in zip(axes, encoders, strict=True):
        mine = table[table["encoder"] == encoder].set_index("series")
        for axis, estimator in zip(row, ("published", "crossed"), strict=False):
            _profiles(axis, mine.loc[estimator])
            axis.set(title=f"{encoder}: {estimator}", xlabel="layer", ylabel="LayerMem")
        _spreads(row[2], mine[mine["layer"] == mine["layer"].iloc[-1]])
        row[2].set(title=f"{encoder}: spread, last layer", xlabel="points", ylabel="standard deviation over draws")
    return figure


def _profiles(axis: Axes, profiles: pd.DataFrame) -> None:
    """LayerMem by layer of every size, side by side, with the standard deviation over draws."""
    sizes = sorted(set(profiles["size"]))
    shades = plotting.colours([str(size) for size in sizes])
    for shift, size in zip(np.linspace(-0.3, 0.3, len(sizes)), sizes, strict=True):
        mine = profiles[profiles["size"] == size]
        bars = mine.assign(low=mine["value"] - mine["sd"], high=mine["value"] + mine["sd"])
        label = f"{size} points" + (", all" if size == sizes[-1] else "")
        plotting.points(axis, np.arange(len(mine)) + shift, bars, colour=shades[str(size)], label=label, size=3.5)
    plotting.layers(axis, list(mine["layer"].astype(str)))
    plotting.zero(axis)
    plotting.legend(axis)


def _spreads(axis: Axes, last: pd.DataFrame) -> None:
    """Standard deviation over draws against size, and its closed form."""
    for shift, estimator in zip((0.97, 1, 1.03), ESTIMATORS, strict=True):
        # All points have no spread.
        mine = last.loc[[estimator]].sort_values("size").iloc[:-1]
        seen = mine.assign(value=mine["sd"], low=mine["sd_low"], high=mine["sd_high"])
        colour = plotting.COLOURS[estimator]
        plotting.points(axis, shift * mine["size"].to_numpy(), seen, colour=colour, label=estimator, size=4)
        axis.plot(mine["size"], mine["expected_sd"], color=colour, linestyle="--", linewidth=1)
    axis.plot([], [], color="black", linestyle="--", linewidth=1, label="closed form")
    axis.set_ylim(bottom=0)
    plotting.legend(axis)
