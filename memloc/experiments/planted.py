"""A control: images with another class's patch in them, and which measures of atypicality and memorization react."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc import plotting
from memloc.claims import Claim, Finding
from memloc.errors import InputError
from memloc.experiments.inputs import Inputs, above, rows_of
from memloc.experiments.valued_points import (
    LOWEST,
    MEASURES,
    NAMES,
    WITNESSES,
    cell_rows,
    dots,
    draw_cells,
    joined,
    places,
    resamples,
    told,
)
from memloc.metrics.stats import Sample, bootstrap, bootstrap_means, nest, permutation_p
from memloc.metrics.within import reached, within_auroc, within_orders
from memloc.streams import generator
from memloc.valuation.points import GROUPS, LABELS

CLAIMS = {
    "planted.sslmem": Claim(
        "beyond the paper",
        "Images with a swapped patch are memorized more: AUROC within classes of SSLMem of the output, minus .5, "
        "candidates",
    ),
    "planted.sslmem-excess": Claim(
        "beyond the paper", "SSLMem tells them better among candidates than among external images: difference of AUROC"
    ),
    "planted.owners": Claim(
        "beyond the paper",
        "They own more of the last layer's top 10 % of units: AUROC within classes of the number owned, minus .5, "
        "candidates",
    ),
    "planted.owners-excess": Claim(
        "beyond the paper",
        "The number owned tells them better among candidates than among external images: difference of AUROC",
    ),
    "planted.distance": Claim(
        "beyond the paper",
        "They are far from shared images in g's features: AUROC within classes of atypicality, minus .5, candidates "
        "and external images",
    ),
    "planted.value": Claim(
        "beyond the paper",
        "They have low values: AUROC within classes of minus the value, minus .65 (own threshold), candidates and "
        "external images",
    ),
    "planted.median": Claim(
        "beyond the paper",
        "Their median value is below that of clean images of their class: difference, candidates and external images",
    ),
    "planted.cells": Claim(
        "beyond the paper",
        "The patch is where the value is low: share of them with a cell of the patch among their five lowest, minus .5 "
        "(own threshold), candidates and external images",
    ),
    "planted.cells-excess": Claim(
        "beyond the paper",
        "That share is larger than that of the same cells in clean images of the same class",
    ),
}
THRESHOLD, SHARE = 0.65, 0.5
"""AUROC of values, and share of planted images whose patch is found: what a control is to reach."""
ALL = (*MEASURES.values(), *NAMES)
PERMUTATIONS = 1000
"""Choices of as many images of each class, at random, as planted ones behind a p."""


def analyse(inputs: Inputs, options: dict[str, Any]) -> tuple[pd.DataFrame, list[Finding]]:
    """AUROC of planted images by every measure and value, where their low cells are; all scores; planted cells."""
    tables, findings = [], []
    replicates, size, patch = options["replicates"], options["shown"], options["patch"]
    for encoder in inputs.encoders():
        seeds = joined(inputs, encoder)
        numbers = [seed for owner, seed in inputs.runs if owner == encoder]
        for seed, (table, _) in zip(numbers, seeds, strict=True):
            _check(table, f"{encoder}, seed {seed}")
        # Seeds of one split have the same points, which then are resampled alike.
        shared = all(set(table["point"]) == set(seeds[0][0]["point"]) for table, _ in seeds)
        found = [
            [_aurocs(table, group, replicates, 0 if shared else run) for group in GROUPS]
            for run, (table, _) in enumerate(seeds)
        ]
        value, drawn, null = (np.array([[group[i] for group in seed] for seed in found]) for i in range(3))
        auroc = nest(value, np.moveaxis(drawn, 2, 1), seed=0, limit=0.5, shared=shared)
        null = np.moveaxis(null.mean(axis=0), 1, -1)
        gap, gap_null = auroc[0] - auroc[1], null[0] - null[1]
        both, both_null = (auroc[0] + auroc[1]).scaled(0.5), (null[0] + null[1]) / 2
        sides = [(group, auroc[g], null[g]) for g, group in enumerate(GROUPS)]
        for group, side, chance in [*sides, ("both", both, both_null)]:
            p = permutation_p(side.value, chance)
            tables.append(rows_of(above(side, -0.5), ALL, series="auroc", group=group, encoder=encoder).assign(p=p))
        p = permutation_p(gap.value, gap_null)
        tables.append(rows_of(gap, ALL, series="difference", encoder=encoder).assign(p=p))
        medians = bootstrap(
            [_values(table) for table, _ in seeds], _lower, replicates=replicates, seed=0, shared=shared
        )
        tables.append(rows_of(medians, NAMES, series="clean median minus planted", encoder=encoder))
        patches = [_reached(*seed) for seed in seeds]
        where = bootstrap_means(patches, _found, replicates=replicates, seed=0, limit=0.5, shared=shared)
        own, clean = where[0], where[1]
        for series, estimate in zip(SERIES, (above(own, -0.5), above(clean, -0.5), own - clean), strict=True):
            tables.append(rows_of(estimate, NAMES[: len(estimate.value)], series=series, encoder=encoder))

        first = seeds[0][0]
        n = int((first["planted"] & (first["group"] == "candidate")).sum())
        every = int(first["planted"].sum())
        for claim, k in (("sslmem", 0), ("owners", 1)):
            p = permutation_p(auroc.value[0, k], null[0, k])
            findings.append(Finding(f"planted.{claim}", encoder, auroc[0, k], n, p=float(p)))
            p = permutation_p(gap.value[k], gap_null[k])
            findings.append(Finding(f"planted.{claim}-excess", encoder, gap[k], n, p=float(p)))
        p = permutation_p(both.value[2], both_null[2])
        findings.append(Finding("planted.distance", encoder, both[2], every, p=float(p)))
        by_value = above(both[len(MEASURES) :], THRESHOLD - 0.5)
        for space, labels in WITNESSES:
            at = places(space, labels)
            findings.append(told("planted.value", encoder, by_value, at, n=every))
            findings.append(told("planted.median", encoder, medians, at, n=every))
            if space == "pixels":
                findings.append(told("planted.cells", encoder, above(own, SHARE - 0.5), at, n=every))
                findings.append(told("planted.cells-excess", encoder, own - clean, at, n=every))
        tables += [table.assign(encoder=encoder, series="point", run=run) for run, (table, _) in enumerate(seeds)]
        if encoder == inputs.encoders()[0]:
            tables.append(cell_rows(seeds[0][1], _shown(first, size), patch=patch, encoder=encoder))
    return pd.concat(tables, ignore_index=True).rename(columns={"layer": "name"}), findings


SERIES = ("patch among the lowest", "same cells in clean images", "patch minus clean")
"""Of low cells by pixels: share of planted images, of clean ones of their class, and the difference."""


def _check(table: pd.DataFrame, whose: str) -> None:
    """Raise an InputError where a group has no planted images, or no others."""
    for group, planted in table.groupby("group")["planted"]:
        if planted.all() or not planted.any():
            few = f"{planted.sum()} of {len(planted)} {group} images have a swapped patch, so nothing to compare with"
            raise InputError(f"{whose}: {few}; change datasets.*.swapped.share or datasets.*.split")


def _aurocs(
    table: pd.DataFrame, group: str, replicates: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """AUROC minus .5 of planted images of a group by each of MEASURES and minus each value [ALL].

    Returns:
        It; the same of planted and of clean images resampled [replicates, ALL]; and of as many images of each class at
        random [PERMUTATIONS, ALL].
    """
    mine = table[table["group"] == group]
    labels, planted = mine["label"].to_numpy(), mine["planted"].to_numpy(dtype=bool)
    scores = np.concatenate([mine[list(MEASURES)].to_numpy(np.float64).T, -mine[NAMES].to_numpy(np.float64).T])

    def of(counts: NDArray[Any], flags: NDArray[np.bool_] = planted) -> NDArray[np.float64]:
        return within_auroc(scores, counts * flags, counts * ~flags, labels) - 0.5

    rng = generator("planted", seed, group)
    drawn = [of(counts) for counts in resamples(planted, replicates, rng, columns=1)]
    chance = of(np.ones((1, 1)), planted[within_orders(labels, PERMUTATIONS, rng)])
    return of(np.ones((1, len(mine))))[0], np.concatenate(drawn), chance


def _values(table: pd.DataFrame) -> Sample:
    """Values of planted and of clean images minus the median of the clean ones of their class, [n, VARIANTS] each."""
    planted = table["planted"].to_numpy(dtype=bool)
    clean = table[~planted].groupby("label")[NAMES].median()
    # A class that has no clean images isn't told from others by its values.
    values = table[NAMES].to_numpy(np.float64) - clean.reindex(table["label"]).fillna(clean.median()).to_numpy()
    return {"planted": values[planted], "clean": values[~planted]}


def _lower(sample: Sample) -> NDArray[np.float64]:
    return np.asarray(np.median(sample["clean"], axis=0) - np.median(sample["planted"], axis=0))


def _reached(table: pd.DataFrame, values: Mapping[str, NDArray[Any]]) -> Sample:
    """Of each planted image, whether its patch has one of the lowest cells, and how many clean ones of its class do.

    Returns:
        ``planted`` [planted images, 2, values by pixels].
    """
    planted, labels = table["planted"].to_numpy(dtype=bool), table["label"].to_numpy()
    cells = np.concatenate([values[f"pixels/{told_apart}/cells"] for told_apart in LABELS])
    rows = []
    for row in np.flatnonzero(planted):
        patch, like = values["patched"][row][None], np.flatnonzero(~planted & (labels == labels[row]))
        own = [reached(c[row][None], patch, LOWEST)[0] for c in cells]
        # A class without clean images tells nothing: its planted one is no better than they.
        clean = [reached(c[like], patch, LOWEST).mean() for c in cells] if len(like) else own
        rows.append([own, clean])
    return {"planted": np.array(rows)}


def _found(means: Sample) -> NDArray[np.float64]:
    return np.asarray(means["planted"] - 0.5)


def _shown(table: pd.DataFrame, size: int) -> list[tuple[str, int]]:
    """Rows of planted images of each group, the first ones."""
    rows = {group: np.flatnonzero(table["planted"] & (table["group"] == group))[:size] for group in GROUPS}
    return [(f"planted, {group}", int(row)) for group, mine in rows.items() for row in mine]


def draw(table: pd.DataFrame, images: NDArray[np.uint8]) -> Figure:
    """Planted images and maps of their cells above; how every measure tells them, and where they are low, below."""
    encoder = table["encoder"].iloc[0]
    mine = table[table["encoder"] == encoder].set_index("series")
    figure, axes = plotting.panels(rows=1, columns=1, width=11, height=8.6)
    axes[0, 0].remove()
    above_, below = figure.subfigures(2, 1, squeeze=False, height_ratios=[4.2, 4.4]).flat
    axis = above_.subplots()
    draw_cells(axis, mine.loc["cell"], images)
    axis.set_title(f"{encoder}, first seed: images with a swapped patch (outlined), cells of low value", fontsize=10)
    aurocs, differences, cells = below.subplots(1, 3)
    kinds = {group: plotting.COLOURS[group] for group in GROUPS}
    dots(aurocs, mine.loc[["auroc"]].rename(columns={"group": "kind"}), ALL, kinds, null=0.5)
    aurocs.set(title="planted images told from clean ones", xlabel="AUROC in classes")
    gap = {"candidate minus external": "black"}
    dots(differences, mine.loc[["difference"]].assign(kind=next(iter(gap))), ALL, gap, null=0)
    differences.set(title="what training adds", xlabel="difference of AUROC")
    differences.tick_params(labelleft=False)
    shares = {SERIES[0]: "#00a0d0", SERIES[1]: plotting.COLOURS["external"]}
    names = [name for name in NAMES if name.startswith("pixels")]
    dots(cells, mine.reset_index().assign(kind=lambda t: t["series"]), names, shares, null=SHARE)
    cells.set(title=f"among an image's {LOWEST} lowest cells", xlabel="share of planted images")
    for axis, place in ((aurocs, "outside lower left"), (cells, "outside lower right")):
        handles, labels = axis.get_legend_handles_labels()
        below.legend(handles, labels, loc=place, ncols=2, fontsize=8)
    return figure
