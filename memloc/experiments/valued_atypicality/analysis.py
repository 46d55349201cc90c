"""Whether images that are outliers without regard to the measured encoder are those that it memorizes (Section 4.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc.analysis import plotting
from memloc.analysis.claims import Claim
from memloc.analysis.inputs import rows_of
from memloc.analysis.sheet import Sheet
from memloc.analysis.valued_points import (
    MEASURES,
    STRATA,
    WITNESSES,
    Valued,
    Way,
    cell_rows,
    columns_of,
    dots,
    draw_cells,
    joined,
    kind_of,
    kinds_of,
    resamples,
    told,
    with_ways,
)
from memloc.data.groups import CANDIDATE_AND_NULL
from memloc.metrics.stats import Estimate, nest, permutation_p
from memloc.metrics.within import lift_within, lowest_within, within_orders, within_ranks
from memloc.streams import generator
from memloc.valuation.points import LABELLINGS

CLAIMS = {
    "memorized": Claim(
        "Outliers are memorized most, told without the encoder: rank correlation within classes or clusters of minus "
        "the value and SSLMem of the output, candidates",
    ),
    "memorized-excess": Claim("SSLMem and minus the value correlate more on candidates than on external images"),
    "owners": Claim(
        "Outliers own more of the last layer's top 10 % of units: rank correlation within classes or clusters of minus "
        "the value and the number owned, candidates",
    ),
    "owners-excess": Claim("That correlation with the number owned is higher on candidates than on external images"),
    "distance": Claim(
        "Outliers by value are far from shared images in g's features, too: rank correlation within classes or "
        "clusters of minus the value and atypicality, candidates",
    ),
    "lift": Claim(
        "The most memorized tenth of a class or cluster is among its lowest-valued tenth more often than by chance: "
        "share over that by chance, minus 1, candidates",
    ),
    "lift-excess": Claim("That share over chance is larger for candidates than for external images"),
}
TOLD = {"memorized": 0, "owners": 1, "distance": 2, "lift": 3}
"""Columns of the statistics by claim: rank correlations with MEASURES, then the lift."""
TENTH = 0.1
PERMUTATIONS = 1000
"""Random orders of points within their strata, or of who of them is a candidate, behind a p."""


def analyse(sheet: Sheet) -> None:
    """Correlations within classes and lift by every way to value; every point's values; cells of extreme candidates."""
    inputs, options = sheet.inputs, sheet.options
    tables, findings = [], []
    for encoder in inputs.encoders():
        seeds = joined(inputs, encoder)
        first, ways = seeds[0].table, seeds[0].ways
        # Seeds of one split have the same points, which then are resampled alike.
        shared = all(set(seed.table["point"]) == set(first["point"]) for seed in seeds)
        found = [
            [_statistics(it, group, options["replicates"], 0 if shared else run) for group in CANDIDATE_AND_NULL]
            for run, it in enumerate(seeds)
        ]
        value, drawn, null = (np.array([[group[i] for group in seed] for seed in found]) for i in range(3))
        drawn, null = np.moveaxis(drawn, 2, 1), np.moveaxis(null.mean(axis=0), 1, -1)
        exchanged = np.mean([_exchanged(it, 0 if shared else run) for run, it in enumerate(seeds)], axis=0)
        chance = np.concatenate([null, np.moveaxis(exchanged, 0, -1)[None]])
        correlation = nest(value[..., :3], drawn[..., :3], seed=0, limit=1, shared=shared)
        lift = nest(value[..., 3:], drawn[..., 3:], seed=0, shared=shared)
        tables += _rows(correlation, chance[:, :, :3], list(MEASURES), ways, encoder=encoder, series="correlation")
        tables += _rows(lift, chance[:, :, 3:], ["sslmem"], ways, encoder=encoder, series="lift")
        n = int((first["group"] == CANDIDATE_AND_NULL[0]).sum())
        for claim, column in TOLD.items():
            estimate = correlation[:, :, column] if column < 3 else lift[:, :, 0]
            for witness in WITNESSES:
                p = permutation_p(estimate.value[0], chance[0, :, column])
                findings.append(told(f"{claim}", encoder, estimate[0], ways, witness, n=n, p=p))
                if (excess := f"{claim}-excess") in CLAIMS:
                    gap = estimate[0] - estimate[1]
                    p = permutation_p(gap.value, chance[2, :, column])
                    findings.append(told(excess, encoder, gap, ways, witness, n=n, p=p))
        tables += [it.table.assign(encoder=encoder, series="point", run=run) for run, it in enumerate(seeds)]
        if encoder == inputs.encoders()[0]:
            chosen = _extremes(seeds[0], options["shown"])
            tables.append(cell_rows(seeds[0], chosen, patch=options["patch"], encoder=encoder))
    sheet.add(pd.concat(tables, ignore_index=True).rename(columns={"layer": "measure"}))
    sheet.findings += findings


def _columns(table: pd.DataFrame, ways: Sequence[Way], labels: str) -> NDArray[np.float64]:
    """Minus the values of the ways whose learners tell ``labels`` apart, then MEASURES: [k + 3, points]."""
    values = -table[columns_of(ways, labels)].to_numpy(np.float64).T
    return np.concatenate([values, table[list(MEASURES)].to_numpy(np.float64).T])


def _correlations(columns: NDArray[np.float64], strata: NDArray[Any], counts: NDArray[Any]) -> NDArray[np.float64]:
    """Rank correlations within strata of the first columns with the last three: [r, k, 3] of counts [r, points]."""
    z = within_ranks(columns, strata, counts.T)
    return np.stack([np.einsum("knr,nr->rk", z[:-3], counts.T * other) for other in z[-3:]], axis=-1)


def _statistics(
    seed: Valued, group: str, replicates: int, number: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Of a group, by way to value: rank correlation of minus the value with each of MEASURES, and lift minus 1.

    Lowest and most memorized are chosen once, not anew in every resample.

    Returns:
        [ways, 4]; the same of resampled points [replicates, ways, 4]; and of points put into random orders within
        their strata [PERMUTATIONS, ways, 4].
    """
    mine = seed.table[seed.table["group"] == group]
    parts = []
    for told_apart in LABELLINGS:
        strata, columns = mine[STRATA[told_apart]].to_numpy(), _columns(mine, seed.ways, told_apart)
        values, memorized = columns[:-3], columns[-3]
        everyone = np.ones((1, len(mine)), dtype=np.bool_)
        lowest = np.stack([lowest_within(-row, strata, TENTH) for row in values]).astype(np.float64)
        most = lowest_within(-memorized, strata, TENTH).astype(np.float64)
        by_chance = sum(lowest[0, strata == c].sum() * most[strata == c].mean() for c in np.unique(strata))
        rng = generator("valued", number, group)
        drawn = [
            np.concatenate(
                [_correlations(columns, strata, counts), (counts @ (lowest * most).T / by_chance - 1)[..., None]],
                axis=-1,
            )
            for counts in resamples(np.zeros(len(mine)), replicates, rng, columns=len(columns))
        ]
        orders = within_orders(strata, PERMUTATIONS, rng)
        z = within_ranks(columns, strata, np.ones((len(mine), 1)))[..., 0]
        rho = np.stack([z[:-3] @ row[orders].T for row in z[-3:]], axis=-1)
        lift = lowest @ most[orders].T / by_chance - 1
        null = np.concatenate([rho, lift[..., None]], axis=-1).swapaxes(0, 1)
        of_all = lift_within(-values, -memorized, everyone, strata, TENTH)[..., None]
        parts.append(
            (
                np.concatenate([_correlations(columns, strata, everyone), of_all], axis=-1)[0],
                np.concatenate(drawn),
                null,
            )
        )
    value, resampled, chance = (np.concatenate([part[i] for part in parts], axis=-2) for i in range(3))
    return value, resampled, chance


def _exchanged(seed: Valued, number: int) -> NDArray[np.float64]:
    """What candidates have above external images once it is random who of a stratum is which.

    f was trained on the one and not on the other, and nothing else tells them apart.

    Returns:
        [PERMUTATIONS, ways, 4].
    """
    parts = []
    for told_apart in LABELLINGS:
        strata, columns = seed.table[STRATA[told_apart]].to_numpy(), _columns(seed.table, seed.ways, told_apart)
        orders = within_orders(strata, PERMUTATIONS, generator("exchanged", number))
        member = (seed.table["group"] == CANDIDATE_AND_NULL[0]).to_numpy()[orders]
        rows = []
        step = max(1, CHUNK // columns.size)
        for start in range(0, PERMUTATIONS, step):
            sides = []
            for inside in (member[start : start + step], ~member[start : start + step]):
                lift = lift_within(-columns[:-3], -columns[-3], inside, strata, TENTH)
                sides.append(np.concatenate([_correlations(columns, strata, inside), lift[..., None]], axis=-1))
            rows.append(sides[0] - sides[1])
        parts.append(np.concatenate(rows))
    return np.concatenate(parts, axis=1)


CHUNK = 1 << 22
"""Numbers of exchanged points that are in memory at once."""


def _rows(
    estimate: Estimate, null: NDArray[np.float64], names: list[str], ways: Sequence[Way], **about: Any
) -> list[pd.DataFrame]:
    """A row for each group, way to value and measure, and for candidates minus external images.

    Args:
        estimate: [CANDIDATE_AND_NULL, ways, names].
        null: [CANDIDATE_AND_NULL and the difference, ways, names, permutations].
    """
    sides = [
        *((group, estimate[g]) for g, group in enumerate(CANDIDATE_AND_NULL)),
        ("difference", estimate[0] - estimate[1]),
    ]
    return [
        with_ways(
            rows_of(side[k], names, **about, group=group, name=way.name).assign(
                p=permutation_p(side[k].value, chance[k])
            ),
            ways,
        )
        for (group, side), chance in zip(sides, null, strict=True)
        for k, way in enumerate(ways)
    ]


def _extremes(seed: Valued, size: int) -> list[tuple[str, int]]:
    """Rows of the most memorized candidates, of those of lowest value in their class, and of those in its middle."""
    mine = seed.table[seed.table["group"] == CANDIDATE_AND_NULL[0]]
    value, labels = mine[seed.shown().name].to_numpy(np.float64), mine["label"].to_numpy()
    z = within_ranks(value[None], labels, np.ones((len(mine), 1)))[0, :, 0]
    orders = {"most memorized": -mine["chosen"].to_numpy(), "most atypical": z, "typical": np.abs(z)}
    return [
        (strip, int(mine.index[place]))
        for strip, order in orders.items()
        for place in np.argsort(order, kind="stable")[:size]
    ]


def draw(table: pd.DataFrame, images: NDArray[np.uint8]) -> Figure:
    """Maps of cells above; correlations and lift of every way to value below."""
    encoder = table["encoder"].iloc[0]
    mine = table[table["encoder"] == encoder].set_index("series")
    figure, axes = plotting.panels(rows=1, columns=1, width=11, height=10.5)
    axes[0, 0].remove()
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=[5.6, 4.9]).flat
    axis = above.subplots()
    draw_cells(axis, mine.loc["cell"], images)
    axis.set_title(f"{encoder}, first seed: candidates, and cells of low value by pixels and classes", fontsize=10)
    panels = below.subplots(1, len(TOLD), sharey=True)
    ratios = sorted(mine.loc["correlation", "ratio"].unique())
    kinds = kinds_of({group: plotting.COLOURS[group] for group in CANDIDATE_AND_NULL}, ratios)
    rows = mine.loc[["correlation", "lift"]].reset_index()
    rows["kind"] = [kind_of(group, ratio) for group, ratio in zip(rows["group"], rows["ratio"], strict=True)]
    correlations = rows[rows["series"] == "correlation"]
    for panel, (measure, said) in zip(panels, MEASURES.items(), strict=False):
        dots(panel, correlations[correlations["measure"] == measure], kinds, null=0)
        panel.set(title=f"−value and\n{said}", xlabel="rank correlation in classes or clusters")
    dots(panels[-1], rows[rows["series"] == "lift"], kinds, null=0)
    panels[-1].set(title="lowest tenth among the\nmost memorized tenth", xlabel="share over chance, minus 1")
    handles, labels = panels[-1].get_legend_handles_labels()
    below.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=8)
    return figure
