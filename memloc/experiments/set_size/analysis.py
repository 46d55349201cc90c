"""LayerMem of subsets of the candidates: its mean and spread by the subset's size (paper, Table 19)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc.analysis import dots, plotting
from memloc.analysis.claims import Claim
from memloc.analysis.inputs import images_of_groups, sslmem_of_groups
from memloc.analysis.sheet import Sheet
from memloc.data.groups import UNSHARED
from memloc.measuring.points import own_layers
from memloc.metrics.alignment import ESTIMATORS, layermem
from memloc.metrics.stats import Estimate, Sample
from memloc.streams import generator

PAPER = "ResNet9, SimCLR, CIFAR10; published estimator; 100, 500, 1,000 and 5,000 candidates, 3 draws"
CLAIMS = {
    "mean": Claim(
        "LayerMem doesn't depend on the number of points: a thirtieth of the crossed LayerMem of all points in the "
        "last layer (own margin, .01 of the paper's; at first .01, half our effect) minus the largest difference "
        "between it and the mean over draws at any size",
        "Table 19",
        0.0033,
        PAPER,
    ),
    "spread": Claim(
        "LayerMem of subsets spreads as drawing without replacement predicts: .25 (own margin) minus the largest "
        "relative difference, over sizes, between the standard deviation over at least 50 draws of the last layer's "
        "crossed LayerMem and its closed form",
    ),
    "published-spread": Claim(
        "The last layer's published LayerMem varies by at most .001 between draws of the smallest size: .001 minus its "
        "standard deviation over draws",
        "Table 19",
        None,
        PAPER,
    ),
}
SHARE, RATIO, LARGEST_SPREAD = 1 / 30, 0.25, 0.001
RESAMPLES = 2000
"""Every one draws subsets of its own, which takes long."""
FEWEST_DRAWS = 50
"""Fewer draws can't tell whether a standard deviation is as expected."""


def analyse(sheet: Sheet) -> None:
    """Mean and spread over draws by size, layer and estimator, beside the closed form, and the claims' effects.

    The last size is that of all points. Spreads are root mean squares over seeds.
    """
    sizes, draws = sorted(sheet.options["sizes"]), sheet.options["draws"]
    for encoder in sheet.encoders:
        seeds = sheet.scores("points", encoder)
        layers = own_layers(seeds[0])
        images = images_of_groups(seeds)
        samples = [sslmem_of_groups(points, layers, by_class=images is not None) for points in seeds]
        n = len(samples[0]["candidate"])
        statistic = _Statistic(sizes, draws, generator("set size", encoder))
        estimate = sheet.bootstrap(samples, statistic, at_most=RESAMPLES, images=images)
        mean, spread, expected = estimate[0], estimate[1].map(_root), estimate[2].map(_root)
        low, high = spread.interval()
        for s, size in enumerate([*sizes, n]):
            for e, estimator in enumerate(ESTIMATORS):
                about = {"series": estimator, "size": size, "sd": spread.value[s, e], "sd_low": low[s, e]}
                about |= {"sd_high": high[s, e], "expected_sd": expected.value[s, e]}
                sheet.profile(mean[s, e], layers, encoder=encoder, **about)
        _find(sheet, encoder, estimate, [f"{size} points" for size in sizes], n=n)


def _find(sheet: Sheet, encoder: str, estimate: Estimate, places: Sequence[str], *, n: int) -> None:
    """Effects of the claims.

    Args:
        estimate: of ``_Statistic``.
        places: names of the sizes but the last.
    """
    last = estimate[:, :, ESTIMATORS.index("crossed"), -1]
    shift = last[0].map(lambda v: v[..., :-1] - v[..., -1:])
    sheet.find_equivalent("mean", encoder, shift, places, margin=last[0, -1].scaled(SHARE), n=n)
    smallest = estimate[1, 0, ESTIMATORS.index("published"), -1]
    sheet.find("published-spread", encoder, smallest.map(lambda v: LARGEST_SPREAD - _root(v)), n)
    if sheet.options["draws"] >= FEWEST_DRAWS:
        excess = last.map(lambda v: _ratio(v[..., 1, :-1], v[..., 2, :-1]) - 1)
        sheet.find_equivalent("spread", encoder, excess, places, margin=RATIO, n=n)


class _Statistic:
    """Of LayerMem over subsets: mean, variance and its closed form, [3, sizes and all, estimators, layers].

    A subset has m candidates and as many independent and external points. Without replacement, out of n points of
    variance s^2, the mean of m varies by

        s^2 (1 / m - 1 / n)

    summed over the groups that an estimator uses. Every call draws new subsets, so each resample has other ones.
    """

    def __init__(self, sizes: Sequence[int], draws: int, rng: np.random.Generator) -> None:
        self.sizes, self.draws, self.rng = sizes, draws, rng

    def __call__(self, sample: Sample) -> NDArray[np.float64]:
        # The smaller subsets of a draw are parts of its larger ones: the first rows of one order.
        drawn = [sample[group][self._orders(len(sample[group]))] for group in UNSHARED]
        out = []
        for size in self.sizes:
            subsets = np.stack([layermem(*(d[:size] for d in drawn), estimator=e) for e in ESTIMATORS])
            out.append((subsets.mean(axis=1), subsets.var(axis=1, ddof=1), _expected(sample, size)))
        whole = np.stack([layermem(*(sample[group] for group in UNSHARED), estimator=e) for e in ESTIMATORS])
        out.append((whole, np.zeros_like(whole), np.zeros_like(whole)))
        return np.stack(out, axis=1)

    def _orders(self, n: int) -> NDArray[np.int64]:
        """Beginnings of random orders of n points, [largest size, draws]."""
        return np.asarray(self.rng.permuted(np.tile(np.arange(n)[:, None], self.draws), axis=0)[: max(self.sizes)])


def _expected(sample: Sample, size: int) -> NDArray[np.float64]:
    """Closed form of the variance over subsets, [estimators, layers]."""
    variance = {group: values.var(axis=0, ddof=1) * (1 / size - 1 / len(values)) for group, values in sample.items()}
    candidate, independent, external = (variance[group] for group in UNSHARED)
    form: Mapping[str, NDArray[np.float64]] = {
        "published": candidate,
        "external-corrected": candidate + external,
        "crossed": (candidate + independent) / 4,
    }
    return np.stack([form[estimator] for estimator in ESTIMATORS])


def _root(variance: NDArray[np.float64]) -> NDArray[np.float64]:
    # Replicates are shifted to have the seed's value as their mean, which can put one below 0.
    return np.sqrt(np.clip(variance, 0, None))


def _ratio(variance: NDArray[np.float64], expected: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard deviation over what is expected; 1 where both are 0."""
    expected = np.clip(expected, 0, None)
    return _root(np.divide(variance, expected, out=np.ones_like(expected), where=expected > 0))


def draw(table: pd.DataFrame, images: NDArray[np.uint8]) -> Figure:
    """Two panels an encoder, both of the last layer against the number of images: LayerMem, and its spread."""
    encoders = plotting.by_encoder(table)
    figure, axes = plotting.panels(rows=len(encoders), columns=2)
    for (a, b), (encoder, rows) in zip(axes, encoders.items(), strict=True):
        layer = rows["layer"].iloc[-1]
        last = {name: rows[rows["layer"] == layer].loc[[name]].sort_values("size") for name in ESTIMATORS}
        sizes = [f"{size:,}" for size in last["crossed"]["size"]]
        dots.side_by_side(a, last, joined=False)
        dots.named(a, [*sizes[:-1], f"{sizes[-1]} (all)"])
        plotting.zero(a)
        _draw_spreads(b, last)
        a.set(title=f"{plotting.plain(encoder)}\nDoes LayerMem depend on the number of images?", xlabel="images")
        a.set_ylabel(f"LayerMem, {dots.place(layer)}")
        b.set(title="Does it vary between draws as chance predicts?", xlabel="images")
        b.set_ylabel("spread of draws (dash: chance)")
    plotting.key(figure, {name: plotting.COLOURS[name] for name in ESTIMATORS})
    return figure


def _draw_spreads(axis: Axes, last: Mapping[str, pd.DataFrame]) -> None:
    """Standard deviation over draws by size, beside a dash for its closed form; all points have no spread."""
    drawn = {name: rows.iloc[:-1] for name, rows in last.items()}
    spread = {n: r.assign(value=r["sd"], low=r["sd_low"], high=r["sd_high"]) for n, r in drawn.items()}
    dots.side_by_side(axis, spread, joined=False)
    sizes = next(iter(drawn.values()))["size"]
    for shift, (name, rows) in zip(dots.shifts(len(drawn)), drawn.items(), strict=True):
        places, hue = np.arange(len(rows)) + shift, plotting.COLOURS[name]
        axis.plot(places, rows["expected_sd"], "_", color=hue, markersize=12, markeredgewidth=1.5)
    dots.named(axis, [f"{size:,}" for size in sizes])
    axis.set_ylim(bottom=0)
