"""How many candidates and seeds an effect on LayerMem needs."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from memloc.analysis import plotting
from memloc.analysis.claims import Claim
from memloc.analysis.inputs import images_of_groups, sslmem_of_groups
from memloc.analysis.sheet import Sheet
from memloc.measuring.points import own_layers
from memloc.metrics.alignment import ESTIMATORS
from memloc.metrics.stats import LEVEL

CLAIMS = {
    "augmentation": Claim(
        "Three seeds of 5,000 candidates are enough to find the paper's difference between augmentations, .005 of .308 "
        "or 1.6 % of LayerMem: power minus .8 (own threshold)",
        "Table 27",
    ),
}
ENOUGH = 0.8
PAPER_LAYERMEM, PAPER_DIFFERENCE = 0.308, 0.005
"""LayerMem of the last layer (Table 1) and its smallest difference between two augmentations (Table 27)."""
PAPER_SEEDS, PAPER_CANDIDATES = 3, 5000
MOST_SEEDS = 1000
"""More are not tried."""

LAST, RISE, EARLIER = "last layer", "last over first layer", "strongest earlier over last increment"
MEASURED = (LAST, RISE, EARLIER)
TARGET, DIFFERENCE, SHARE = "LayerMem of .308", "difference of .005", "difference of 1.6 %"
EFFECTS = (*MEASURED, TARGET, DIFFERENCE, SHARE)
SHOWN = {
    LAST: ("Does the last layer memorize?", "LayerMem {}, measured"),
    RISE: ("More than the first layer?", "{} more, measured"),
    EARLIER: ("Does an earlier layer add most?", "{} beyond the last, measured"),
    TARGET: ("Does a layer memorize as in the paper?", "LayerMem {}, the paper's"),
    DIFFERENCE: ("Do augmentations differ as in the paper?", "{} apart, the paper's"),
    SHARE: ("... or by the paper's share of LayerMem?", "1.6 % of ours: {} apart"),
}
"""By effect, what the figure asks and says of its size."""
RUN, PAPER = "this run", "the paper"
FRAMES = {RUN: "white", PAPER: plotting.COLOURS["paper"]}


@dataclass(frozen=True)
class Effect:
    """An effect's size and the variance of its estimates.

    Attributes:
        size: of the effect.
        within: variance of one seed's value over points, times the number of candidates.
        between: variance of that value between seeds of ``candidates`` candidates each; nan for a single seed.
        candidates, seeds: of the run that the variances are of.
        arms: 2 for a difference between two encoders, taken as independent: what they have in common can only help.
    """

    size: float
    within: float
    between: float
    candidates: int
    seeds: int
    arms: int = 1

    def spread(self, candidates: int, *, between: float) -> float:
        """Standard deviation of a seed's value with so many candidates, and as many independent points.

        sigma^2(n) = arms (tau^2 + w / n),   tau^2 = max(0, between - w / n_0)
        """
        tau = max(0.0, between - self.within / self.candidates)
        return float(np.sqrt(self.arms * (tau + self.within / candidates)))

    def variances(self, level: float = LEVEL) -> tuple[float, float, float]:
        """Variance between seeds, and its limits by the chi-square distribution of S - 1 degrees of freedom.

        A single seed says nothing about others: then the variance is 0, that of points alone, and at most infinite.
        """
        from scipy.stats import chi2

        if self.seeds == 1:
            return 0.0, 0.0, np.inf
        freedom = self.seeds - 1
        low, high = (float(chi2.ppf((1 + side * level) / 2, freedom)) for side in (-1, 1))
        return self.between, self.between * freedom / high, self.between * freedom / low

    def power(self, candidates: int, seeds: int, level: float = LEVEL) -> tuple[float, float, float]:
        """Power with so many candidates and seeds, and its limits: those of the variance between seeds."""
        value, least, most = (
            power(self.size, self.spread(candidates, between=b), seeds) for b in self.variances(level)
        )
        return value, most, least

    def seeds_needed(self, candidates: int) -> tuple[float, float, float]:
        """Fewest seeds that give enough power, and their limits; infinite above MOST_SEEDS."""
        spreads = [self.spread(candidates, between=b) for b in self.variances()]
        value, low, high = (fewest_seeds(self.size, spread) for spread in spreads)
        return value, low, high


def power(size: float, spread: float, seeds: int) -> float:
    """Probability that a two-sided t-test at LEVEL over seeds' values finds an effect.

        P(|T| > t),   T noncentral t with S - 1 degrees of freedom, noncentrality sqrt(S) size / spread

    Args:
        spread: standard deviation of one seed's value; 0 finds any effect.
        seeds: at least 2.
    """
    from scipy.stats import ncf, t

    if spread == 0:
        return 1.0 if size else 1 - LEVEL
    threshold = t.ppf((1 + LEVEL) / 2, seeds - 1)
    # T^2 is a noncentral F, and scipy's noncentral t has gaps (nan at 4 degrees of freedom and 40), its F only at 0.
    shift = np.clip(seeds * (size / spread) ** 2, 1e-12, 1e9)
    return float(ncf.sf(threshold**2, 1, seeds - 1, shift))


def fewest_seeds(size: float, spread: float) -> float:
    """Fewest seeds with which the power is ENOUGH; infinite above MOST_SEEDS."""
    counts = range(2, MOST_SEEDS + 1)
    first = bisect_left(counts, ENOUGH, key=lambda seeds: power(size, spread, seeds))
    return float(counts[first]) if first < len(counts) else np.inf


@dataclass(frozen=True)
class Margin:
    """Power for an effect in a run of the paper's size, minus ENOUGH; its limits are those of ``Effect.power``."""

    effect: Effect
    of_pairs = np.asarray(1.0)

    @property
    def seeds(self) -> int:
        """Seeds behind the effect."""
        return self.effect.seeds

    @property
    def value(self) -> NDArray[np.float64]:
        """Power minus ENOUGH."""
        return np.asarray(self.effect.power(PAPER_CANDIDATES, PAPER_SEEDS)[0] - ENOUGH)

    def interval(self, level: float = LEVEL) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Its limits, which need not be symmetric."""
        _, low, high = self.effect.power(PAPER_CANDIDATES, PAPER_SEEDS, level)
        return np.asarray(low - ENOUGH), np.asarray(high - ENOUGH)

    def z(self) -> NDArray[np.float64]:
        """Not a number."""
        return np.asarray(np.nan)


def analyse(sheet: Sheet) -> None:
    """Power by effect, candidates and seeds; fewest seeds; what seeds' values differ by."""
    for encoder in sheet.encoders:
        seeds = sheet.scores("points", encoder)
        layers, own = list(dict.fromkeys(seeds[0]["layer"])), own_layers(seeds[0])
        last, series = [layers.index(own[-1])], sheet.layermem(seeds)
        for name in ESTIMATORS:
            sheet.profile(series[name][last], own[-1:], encoder=encoder, series=name)
        effects = effects_of(seeds, own)
        for name, effect in effects.items():
            powers = _powers(effect, sheet.options["candidates"], sheet.options["seeds"])
            sheet.add(_components(effect), powers, encoder=encoder, effect=name)
        # Power at a size that was measured here is its p once more, and is in the table alone.
        share = effects[SHARE]
        subject = f"{encoder}, {SHARE}: {PAPER_SEEDS} seeds, {PAPER_CANDIDATES} candidates"
        sheet.find("augmentation", subject, Margin(share), share.candidates)


def effects_of(seeds: Sequence[pd.DataFrame], own: Sequence[str]) -> dict[str, Effect]:
    """Every effect, as a weighted sum of crossed LayerMem over the layers proper.

    The strongest earlier increment is chosen on the mean of the same seeds, so its lead is rather too large.

    Args:
        seeds: points of one encoder, one table for each seed.
        own: names of the layers proper.
    """
    by_class = images_of_groups(seeds) is not None
    samples = [sslmem_of_groups(points, own, by_class=by_class) for points in seeds]
    groups = [(sample["candidate"], sample["independent"]) for sample in samples]
    profile = np.mean([(c.mean(axis=0) - i.mean(axis=0)) / 2 for c, i in groups], axis=0)
    one = np.eye(len(own))
    step = int(np.argmax(np.diff(profile)[:-1]))
    weights = {
        LAST: one[-1],
        RISE: one[-1] - one[0],
        EARLIER: one[step + 1] - one[step] - (one[-1] - one[-2]),
    }
    out = {name: _effect(groups, weight) for name, weight in weights.items()}
    last = out[LAST]
    sizes = {
        TARGET: (PAPER_LAYERMEM, 1),
        DIFFERENCE: (PAPER_DIFFERENCE, 2),
        SHARE: (PAPER_DIFFERENCE / PAPER_LAYERMEM * last.size, 2),
    }
    return out | {
        name: Effect(size, last.within, last.between, last.candidates, last.seeds, arms)
        for name, (size, arms) in sizes.items()
    }


def _effect(groups: Sequence[Sequence[NDArray[np.float64]]], weight: NDArray[np.float64]) -> Effect:
    """A weighted sum of crossed LayerMem, (mean_C - mean_I) / 2; over points it varies by (v_C/n_C + v_I/n_I) / 4."""
    values, within = [], []
    for candidate, independent in groups:
        c, i = candidate @ weight, independent @ weight
        values.append((c.mean() - i.mean()) / 2)
        within.append((c.var(ddof=1) / len(c) + i.var(ddof=1) / len(i)) / 4)
    n, between = len(groups[0][0]), float(np.var(values, ddof=1)) if len(values) > 1 else np.nan
    return Effect(float(np.mean(values)), float(np.mean(within)) * n, between, n, len(values))


def _components(effect: Effect) -> pd.DataFrame:
    """Size, and standard deviations of one seed's value: over its points, and beyond that between seeds."""
    tau = [effect.spread(10**12, between=b) for b in effect.variances()]
    points = np.sqrt(effect.arms * effect.within / effect.candidates)
    rows = [("size", effect.size, np.nan, np.nan), ("over points", points, np.nan, np.nan), ("between seeds", *tau)]
    frame = pd.DataFrame(rows, columns=["series", "value", "low", "high"])
    return frame.assign(candidates=effect.candidates, seeds=effect.seeds)


def _powers(effect: Effect, candidates: Sequence[int], seeds: Sequence[int]) -> pd.DataFrame:
    """Power at every number of candidates and of seeds, this run's among them, and the fewest seeds."""
    rows: list[tuple[object, ...]] = []
    for n in sorted({effect.candidates, *candidates}):
        rows.append(("fewest seeds", n, np.nan, *effect.seeds_needed(n)))
        rows += [("power", n, s, *effect.power(n, s)) for s in sorted({max(effect.seeds, 2), *seeds})]
    return pd.DataFrame(rows, columns=["series", "candidates", "seeds", "value", "low", "high"])


def draw(table: pd.DataFrame, images: NDArray[np.uint8]) -> Figure:
    """Two rows of maps an encoder, one map an effect: power by seeds and candidates."""
    encoders = plotting.by_encoder(table)
    figure, axes = plotting.panels(rows=2 * len(encoders), columns=3, height=2.5)
    for panels, (encoder, every) in zip(axes.reshape(-1, len(EFFECTS)), encoders.items(), strict=True):
        for number, (axis, effect) in enumerate(zip(panels, EFFECTS, strict=True)):
            rows = every[every["effect"] == effect]
            _draw_map(axis, rows)
            size = rows.loc[["size"], "value"].iloc[0]
            asked, said = SHOWN[effect]
            axis.set(title=f"{asked}\n{said.format(f'{size:.2g}')}", xlabel="seeds")
            axis.set_ylabel("" if number % 3 else f"{plotting.plain(encoder)}: candidates")
    colours = figure.colorbar(axes[0, 0].collections[0], ax=axes, location="bottom", shrink=0.5, aspect=40)
    colours.set_label(
        "chance that a study finds it, %. Right of the thick line: at least 80.\n"
        "Framed: a study like this run (black and white), and one like the paper's (purple)"
    )
    return figure


def _draw_map(axis: Axes, rows: pd.DataFrame) -> None:
    """Power in percent, a line along its 80 %, and frames around this run's size and the paper's."""
    found = rows.loc[["power"]].pivot(index="candidates", columns="seeds", values="value")
    percent = 100 * found.to_numpy()
    axis.pcolormesh(percent, cmap=plotting.SEQUENTIAL, vmin=0, vmax=100, edgecolors="white", linewidth=0.5)
    for (row, column), value in np.ndenumerate(percent):
        axis.text(
            column + 0.5, row + 0.5, f"{value:.0f}", ha="center", va="center", color="white" if value > 60 else "black"
        )
    # Power grows with seeds and with candidates, so enough of it is what lies behind a staircase.
    few = (percent < 100 * ENOUGH).sum(axis=1).astype(float)
    axis.stairs(few, np.arange(len(few) + 1), orientation="horizontal", baseline=None, color="black", linewidth=2)
    axis.set_xticks(np.arange(len(found.columns)) + 0.5, [f"{seeds:.0f}" for seeds in found.columns])
    axis.set_yticks(np.arange(len(found)) + 0.5, [f"{candidates:,.0f}" for candidates in found.index])
    run = rows.loc[["size"]].iloc[0]
    sizes = {RUN: (run["candidates"], max(run["seeds"], 2)), PAPER: (PAPER_CANDIDATES, PAPER_SEEDS)}
    for name, (candidates, seeds) in sizes.items():
        if candidates in found.index and seeds in found.columns:
            place = list(found.columns).index(seeds), list(found.index).index(candidates)
            frame = Rectangle(place, 1, 1, fill=False, edgecolor=FRAMES[name], linewidth=1.8)
            # An outline tells a frame from light cells, too.
            frame.set_path_effects([withStroke(linewidth=3.6, foreground=plotting.INK if name == RUN else "white")])
            axis.add_patch(frame)
