"""Whether images that are outliers without regard to the measured encoder are those that it memorizes (Section 4.1)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc import plotting
from memloc.claims import Claim, Finding
from memloc.experiments.inputs import Inputs, rows_of
from memloc.experiments.valued_points import (
    MEASURES,
    NAMES,
    VARIANTS,
    WITNESSES,
    cell_rows,
    dots,
    draw_cells,
    joined,
    places,
    resamples,
    told,
)
from memloc.metrics.stats import Estimate, nest, permutation_p
from memloc.metrics.within import lowest_within, within_orders, within_ranks
from memloc.streams import generator
from memloc.valuation.points import GROUPS

CLAIMS = {
    "valued_atypicality.memorized": Claim(
        "beyond the paper",
        "Outliers are memorized most, told without the encoder: rank correlation within classes of minus the value and "
        "SSLMem of the output, candidates",
    ),
    "valued_atypicality.memorized-excess": Claim(
        "beyond the paper", "SSLMem and minus the value correlate more on candidates than on external images"
    ),
    "valued_atypicality.owners": Claim(
        "beyond the paper",
        "Outliers own more of the last layer's top 10 % of units: rank correlation within classes of minus the value "
        "and the number owned, candidates",
    ),
    "valued_atypicality.owners-excess": Claim(
        "beyond the paper", "That correlation with the number owned is higher on candidates than on external images"
    ),
    "valued_atypicality.distance": Claim(
        "beyond the paper",
        "Outliers by value are far from shared images in g's features, too: rank correlation within classes of minus "
        "the value and atypicality, candidates",
    ),
    "valued_atypicality.lift": Claim(
        "beyond the paper",
        "The most memorized tenth of a class is among its lowest-valued tenth more often than by chance: share over "
        "that by chance, minus 1, candidates",
    ),
    "valued_atypicality.lift-excess": Claim(
        "beyond the paper", "That share over chance is larger for candidates than for external images"
    ),
}
TOLD = {"memorized": 0, "owners": 1, "distance": 2, "lift": 3}
"""Columns of the statistics by claim: rank correlations with MEASURES, then the lift."""
TENTH = 0.1
PERMUTATIONS = 1000
"""Random orders of a class's points behind a p."""


def analyse(inputs: Inputs, options: dict[str, Any]) -> tuple[pd.DataFrame, list[Finding]]:
    """Correlations within classes and lift by every way to value; every point's values; cells of extreme candidates."""
    tables, findings = [], []
    for encoder in inputs.encoders():
        seeds = joined(inputs, encoder)
        # Seeds of one split have the same points, which then are resampled alike.
        shared = all(set(table["point"]) == set(seeds[0][0]["point"]) for table, _ in seeds)
        found = [
            [_statistics(table, group, options["replicates"], 0 if shared else run) for group in GROUPS]
            for run, (table, _) in enumerate(seeds)
        ]
        value, drawn, null = (np.array([[group[i] for group in seed] for seed in found]) for i in range(3))
        drawn, null = np.moveaxis(drawn, 2, 1), np.moveaxis(null.mean(axis=0), 1, -1)
        correlation = nest(value[..., :3], drawn[..., :3], seed=0, limit=1, shared=shared)
        lift = nest(value[..., 3], drawn[..., 3], seed=0, shared=shared)
        for series, estimate, of, names in (
            ("correlation", correlation, null[:, :, :3], list(MEASURES)),
            ("lift", lift.map(lambda v: v[..., None]), null[:, :, 3:], ["sslmem"]),
        ):
            tables += _rows(estimate, of, names, encoder=encoder, series=series)
        n = int((seeds[0][0]["group"] == GROUPS[0]).sum())
        for claim, column in TOLD.items():
            estimate = correlation[:, :, column] if column < 3 else lift
            for at in (places(*witness) for witness in WITNESSES):
                p = permutation_p(estimate.value, null[:, :, column])
                findings.append(told(f"valued_atypicality.{claim}", encoder, estimate[0], at, n=n, p=p[0]))
                if (excess := f"valued_atypicality.{claim}-excess") in CLAIMS:
                    gap, chance = estimate[0] - estimate[1], null[0, :, column] - null[1, :, column]
                    findings.append(told(excess, encoder, gap, at, n=n, p=permutation_p(gap.value, chance)))
        tables += [table.assign(encoder=encoder, series="point", run=run) for run, (table, _) in enumerate(seeds)]
        if encoder == inputs.encoders()[0]:
            table, values = seeds[0]
            tables.append(
                cell_rows(values, _extremes(table, options["shown"]), patch=options["patch"], encoder=encoder)
            )
    return pd.concat(tables, ignore_index=True).rename(columns={"layer": "measure"}), findings


def _statistics(
    table: pd.DataFrame, group: str, replicates: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Of a group, by way to value: rank correlation of minus the value with each of MEASURES, and lift minus 1.

    Lowest and most memorized are chosen once, not anew in every resample.

    Returns:
        [VARIANTS, 4]; the same of resampled points [replicates, VARIANTS, 4]; and of points put into random orders
        within their classes [PERMUTATIONS, VARIANTS, 4].
    """
    mine, k = table[table["group"] == group], len(VARIANTS)
    labels = mine["label"].to_numpy()
    columns = np.concatenate([-mine[NAMES].to_numpy(np.float64).T, mine[list(MEASURES)].to_numpy(np.float64).T])
    lowest = np.stack([lowest_within(-row, labels, TENTH) for row in columns[:k]]).astype(np.float64)
    most = lowest_within(-columns[k], labels, TENTH).astype(np.float64)
    by_chance = sum(lowest[:, labels == c].sum(axis=1) * most[labels == c].mean() for c in np.unique(labels))

    def of(counts: NDArray[Any]) -> NDArray[np.float64]:
        z = within_ranks(columns, labels, counts.T)
        rho = np.stack([np.einsum("knr,nr->rk", z[:k], counts.T * other) for other in z[k:]], axis=-1)
        lift = counts @ (lowest * most).T / by_chance - 1
        return np.concatenate([rho, lift[..., None]], axis=-1)

    rng = generator("valued", seed, group)
    drawn = [of(counts) for counts in resamples(np.zeros(len(mine)), replicates, rng, columns=len(columns))]
    orders = within_orders(labels, PERMUTATIONS, rng)
    z = within_ranks(columns, labels, np.ones((len(mine), 1)))[..., 0]
    rho = np.stack([z[:k] @ row[orders].T for row in z[k:]], axis=-1)
    lift = lowest @ most[orders].T / by_chance[:, None] - 1
    null = np.concatenate([rho, lift[..., None]], axis=-1).swapaxes(0, 1)
    return of(np.ones((1, len(mine))))[0], np.concatenate(drawn), null


def _rows(estimate: Estimate, null: NDArray[np.float64], names: list[str], **about: Any) -> list[pd.DataFrame]:
    """A row for each group, way to value and measure, and for candidates minus external images.

    Args:
        estimate: [GROUPS, VARIANTS, names].
        null: [GROUPS, VARIANTS, names, permutations].
    """
    gap = estimate[0] - estimate[1]
    sides = [(group, estimate[g], null[g]) for g, group in enumerate(GROUPS)] + [("difference", gap, null[0] - null[1])]
    return [
        rows_of(side[k], names, **about, group=group, space=space, labels=labels, w=w, name=NAMES[k]).assign(
            p=permutation_p(side[k].value, chance[k])
        )
        for group, side, chance in sides
        for k, (space, labels, w) in enumerate(VARIANTS)
    ]


def _extremes(table: pd.DataFrame, size: int) -> list[tuple[str, int]]:
    """Rows of the most memorized candidates, of those of lowest value in their class, and of those in its middle."""
    mine = table[table["group"] == GROUPS[0]]
    by = NAMES[places("pixels", "classes")[1]]
    value, labels = mine[by].to_numpy(np.float64), mine["label"].to_numpy()
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
    figure, axes = plotting.panels(rows=1, columns=1, width=11, height=9.5)
    axes[0, 0].remove()
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=[5.6, 3.9]).flat
    axis = above.subplots()
    draw_cells(axis, mine.loc["cell"], images)
    axis.set_title(f"{encoder}, first seed: candidates, and cells of low value by pixels and classes", fontsize=10)
    panels = below.subplots(1, len(TOLD), sharey=True)
    kinds = {group: plotting.COLOURS[group] for group in GROUPS}
    for panel, (measure, said) in zip(panels, MEASURES.items(), strict=False):
        rows = mine.loc[["correlation"]].rename(columns={"group": "kind"})
        dots(panel, rows[rows["measure"] == measure], NAMES, kinds, null=0)
        panel.set(title=f"−value and\n{said}", xlabel="rank correlation in classes")
    dots(panels[-1], mine.loc[["lift"]].rename(columns={"group": "kind"}), NAMES, kinds, null=0)
    panels[-1].set(title="lowest tenth among the\nmost memorized tenth", xlabel="share over chance, minus 1")
    handles, labels = panels[-1].get_legend_handles_labels()
    below.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=8)
    return figure
