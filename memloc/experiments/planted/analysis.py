"""A control: images with another class's patch in them, and which measures of atypicality and memorization react."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc.analysis import plotting
from memloc.analysis.claims import Claim, Finding
from memloc.analysis.inputs import above, rows_of
from memloc.analysis.sheet import Sheet
from memloc.analysis.valued_points import (
    LOWEST,
    MEASURES,
    STRATA,
    WITNESSES,
    Valued,
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
from memloc.errors import InputError
from memloc.metrics.stats import Sample, bootstrap, bootstrap_means, nest, permutation_p
from memloc.metrics.within import reached, within_auroc, within_orders
from memloc.streams import generator
from memloc.valuation.points import LABELLINGS

CLAIMS = {
    "sslmem": Claim(
        "Images with a swapped patch are memorized more: AUROC within classes of SSLMem of the output, minus .5, "
        "candidates",
    ),
    "sslmem-excess": Claim(
        "SSLMem tells images with a swapped patch better among candidates than among external images: difference of "
        "AUROC",
    ),
    "owners": Claim(
        "Images with a swapped patch own more of the last layer's top 10 % of units: AUROC within classes of the "
        "number owned, minus .5, candidates",
    ),
    "owners-excess": Claim(
        "The number owned tells images with a swapped patch better among candidates than among external images: "
        "difference of AUROC",
    ),
    "distance": Claim(
        "Images with a swapped patch are far from shared ones in g's features: AUROC within classes of atypicality, "
        "minus .5, candidates and external images",
    ),
    "value": Claim(
        "Images with a swapped patch have low values: AUROC within classes or clusters of minus the value, minus "
        ".65 (own threshold), candidates and external images",
    ),
    "median": Claim(
        "The median value of images with a swapped patch is below that of clean images of their class or cluster: "
        "difference, candidates and external images (p of a sign test)",
    ),
    "cells": Claim(
        "The patch is where the value is low: share of them with a cell of the patch among their five lowest, minus "
        ".5 (own threshold), candidates and external images",
    ),
    "cells-excess": Claim(
        "The share of images with a cell of the patch among their five lowest is larger than that of the same cells "
        "in clean images of the same class or cluster",
    ),
}
THRESHOLD, SHARE = 0.65, 0.5
"""AUROC of values, and share of planted images whose patch is found: what a control is to reach."""
PERMUTATIONS = 1000
"""Choices of as many images of each stratum, at random, as planted ones, or of who is a candidate, behind a p."""


def analyse(sheet: Sheet) -> None:
    """AUROC of planted images by every measure and value, where their low cells are; all scores; planted cells."""
    inputs, options = sheet.inputs, sheet.options
    tables, findings = [], []
    replicates, size, patch = options["replicates"], options["shown"], options["patch"]
    for encoder in inputs.encoders():
        seeds = joined(inputs, encoder)
        numbers = [seed for owner, seed in inputs.runs if owner == encoder]
        for seed, it in zip(numbers, seeds, strict=True):
            _check(it.table, f"{encoder}, seed {seed}")
        first, ways = seeds[0].table, seeds[0].ways
        # Seeds of one split have the same points, which then are resampled alike.
        shared = all(set(it.table["point"]) == set(first["point"]) for it in seeds)
        streams = [0 if shared else run for run in range(len(seeds))]
        found = [
            [_aurocs(it, group, replicates, number) for group in CANDIDATE_AND_NULL]
            for it, number in zip(seeds, streams, strict=True)
        ]
        value, drawn, null = (np.array([[group[i] for group in seed] for seed in found]) for i in range(3))
        auroc = nest(value, np.moveaxis(drawn, 2, 1), seed=0, limit=0.5, shared=shared)
        null = np.moveaxis(null.mean(axis=0), 1, -1)
        exchanged = np.mean([_exchanged(it, number) for it, number in zip(seeds, streams, strict=True)], axis=0)
        gap, both = auroc[0] - auroc[1], (auroc[0] + auroc[1]).scaled(0.5)
        p_of, p_both = permutation_p(auroc.value, null), permutation_p(both.value, null.mean(axis=0))
        p_gap = permutation_p(gap.value, exchanged.T)
        names = [*MEASURES.values(), *(way.name for way in ways)]
        for group, side, p in [
            *zip(CANDIDATE_AND_NULL, (auroc[0], auroc[1]), p_of, strict=True),
            ("both", both, p_both),
        ]:
            tables.append(rows_of(above(side, -0.5), names, series="auroc", group=group, encoder=encoder).assign(p=p))
        tables.append(rows_of(gap, names, series="difference", encoder=encoder).assign(p=p_gap))
        tables.append(_owning(seeds).assign(series="planted images that own top units", encoder=encoder))
        values = [_values(it) for it in seeds]
        medians = bootstrap(values, _lower, replicates=replicates, seed=0, shared=shared)
        tables.append(rows_of(medians, names[len(MEASURES) :], series="clean median minus planted", encoder=encoder))
        where = bootstrap_means(
            [_reached(it) for it in seeds], _found, replicates=replicates, seed=0, limit=0.5, shared=shared
        )
        own, clean, pixels = where[0], where[1], [way for way in ways if way.space == "pixels"]
        for series, estimate in zip(SERIES, (above(own, -0.5), above(clean, -0.5), own - clean), strict=True):
            tables.append(rows_of(estimate, [way.name for way in pixels], series=series, encoder=encoder))

        n = int((first["planted"] & (first["group"] == "candidate")).sum())
        every = int(first["planted"].sum())
        for claim, k in (("sslmem", 0), ("owners", 1)):
            findings.append(Finding(f"{claim}", encoder, auroc[0, k], n, p=float(p_of[0, k])))
            findings.append(Finding(f"{claim}-excess", encoder, gap[k], n, p=float(p_gap[k])))
        findings.append(Finding("distance", encoder, both[2], every, p=float(p_both[2])))
        by_value = above(both[len(MEASURES) :], THRESHOLD - 0.5)
        signs = _sign_p(seeds, values)
        for witness in WITNESSES:
            findings.append(told("value", encoder, by_value, ways, witness, n=every))
            findings.append(told("median", encoder, medians, ways, witness, n=every, p=signs))
            if witness[0] == "pixels":
                cells = above(own, SHARE - 0.5)
                findings.append(told("cells", encoder, cells, pixels, witness, n=every))
                findings.append(told("cells-excess", encoder, own - clean, pixels, witness, n=every))
        tables += [it.table.assign(encoder=encoder, series="point", run=run) for run, it in enumerate(seeds)]
        if encoder == inputs.encoders()[0]:
            tables.append(cell_rows(seeds[0], _shown(first, size), patch=patch, encoder=encoder))
    table = pd.concat(tables, ignore_index=True).rename(columns={"layer": "name"})
    sheet.add(with_ways(table, ways))
    sheet.findings += findings


SERIES = ("patch among the lowest", "same cells in clean images", "patch minus clean")
"""Of low cells by pixels: share of planted images, of clean ones of their class, and the difference."""


def _check(table: pd.DataFrame, whose: str) -> None:
    """Raise an InputError where a group has no planted images, or no others."""
    for group, planted in table.groupby("group")["planted"]:
        if planted.all() or not planted.any():
            few = f"{planted.sum()} of {len(planted)} {group} images have a swapped patch, so nothing to compare with"
            raise InputError(f"{whose}: {few}; change datasets.*.swapped.share or datasets.*.split")


def _strata(seed: Valued) -> Iterator[tuple[NDArray[Any], NDArray[np.float64]]]:
    """For each of LABELLINGS, every point's class or cluster, and scores [k, points] that are compared within it.

    These are MEASURES (within classes) and minus the values, in all the order of the table.
    """
    for told_apart in LABELLINGS:
        scores = -seed.table[columns_of(seed.ways, told_apart)].to_numpy(np.float64).T
        if told_apart == LABELLINGS[0]:
            scores = np.concatenate([seed.table[list(MEASURES)].to_numpy(np.float64).T, scores])
        yield seed.table[STRATA[told_apart]].to_numpy(), scores


def _aurocs(
    seed: Valued, group: str, replicates: int, number: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """AUROC minus .5 of planted images of a group by each of MEASURES and minus each value, [scores].

    Returns:
        It; the same of planted and of clean images resampled [replicates, scores]; and of as many images of each class,
        or cluster, at random [PERMUTATIONS, scores].
    """
    mine = (seed.table["group"] == group).to_numpy()
    planted = seed.table["planted"].to_numpy(dtype=bool)[mine]
    parts = []
    for labels, scores in ((labels[mine], scores[:, mine]) for labels, scores in _strata(seed)):
        rng = generator("planted", number, group)

        def of(
            counts: NDArray[Any],
            flags: NDArray[np.bool_] = planted,
            labels: NDArray[Any] = labels,
            scores: NDArray[np.float64] = scores,
        ) -> NDArray[np.float64]:
            return within_auroc(scores, counts * flags, counts * ~flags, labels) - 0.5

        drawn = [of(counts) for counts in resamples(planted, replicates, rng, columns=1)]
        chance = of(np.ones((1, 1)), planted[within_orders(labels, PERMUTATIONS, rng)])
        parts.append((of(np.ones((1, len(planted))))[0], np.concatenate(drawn), chance))
    value, resampled, null = (np.concatenate([part[i] for part in parts], axis=-1) for i in range(3))
    return value, resampled, null


def _exchanged(seed: Valued, number: int) -> NDArray[np.float64]:
    """AUROC of candidates minus that of external images, once it is random who of a stratum's planted is which.

    Of its clean ones likewise: f was trained on the one and not on the other, and nothing else tells them apart.

    Returns:
        [PERMUTATIONS, scores].
    """
    planted = seed.table["planted"].to_numpy(dtype=bool)
    candidate = (seed.table["group"] == CANDIDATE_AND_NULL[0]).to_numpy()
    parts = []
    for labels, scores in _strata(seed):
        member = candidate[within_orders(2 * labels + planted, PERMUTATIONS, generator("exchanged", number))]
        sides = [within_auroc(scores, inside & planted, inside & ~planted, labels) for inside in (member, ~member)]
        parts.append(sides[0] - sides[1])
    return np.concatenate(parts, axis=1)


def _owning(seeds: Sequence[Valued]) -> pd.DataFrame:
    """How many planted images of each group own a top unit, in all seeds, and how many there are: none says nothing."""
    every = pd.concat(seed.table for seed in seeds)
    planted = every[every["planted"].astype(bool)].assign(value=lambda t: (t["owned"] > 0).astype(float))
    return planted.groupby("group")["value"].agg(value="sum", n="size").reset_index()


def _values(seed: Valued) -> Sample:
    """Values of planted and of clean images minus the median of the clean ones of their stratum, [n, ways] each."""
    planted = seed.table["planted"].to_numpy(dtype=bool)
    parts = []
    for told_apart in LABELLINGS:
        columns, stratum = columns_of(seed.ways, told_apart), STRATA[told_apart]
        clean = seed.table[~planted].groupby(stratum)[columns].median()
        # A stratum that has no clean images isn't told from others by its values.
        usual = clean.reindex(seed.table[stratum]).fillna(clean.median()).to_numpy()
        parts.append(seed.table[columns].to_numpy(np.float64) - usual)
    values = np.concatenate(parts, axis=1)
    return {"planted": values[planted], "clean": values[~planted]}


def _lower(sample: Sample) -> NDArray[np.float64]:
    return np.asarray(np.median(sample["clean"], axis=0) - np.median(sample["planted"], axis=0))


def _sign_p(seeds: Sequence[Valued], values: Sequence[Sample]) -> NDArray[np.float64]:
    """Two-sided p, by way, of a sign test: planted images are above the median of clean ones as often as below.

    An image that several seeds have counts once, with its mean over them; one that is neither doesn't count.
    """
    from scipy.stats import binomtest

    points = np.concatenate([it.table.loc[it.table["planted"].astype(bool), "point"] for it in seeds])
    means = pd.DataFrame(np.concatenate([sample["planted"] for sample in values])).groupby(points).mean().to_numpy()
    below, above_ = (np.sum(np.sign(means) == sign, axis=0) for sign in (-1, 1))
    return np.array(
        [binomtest(int(b), int(b + a)).pvalue if b + a else 1.0 for b, a in zip(below, above_, strict=True)]
    )


def _reached(seed: Valued) -> Sample:
    """Of each planted image, whether its patch has one of the lowest cells, and how many clean ones of its stratum do.

    Returns:
        ``planted`` [planted images, 2, ways by pixels].
    """
    planted = seed.table["planted"].to_numpy(dtype=bool)
    parts = []
    for told_apart in LABELLINGS:
        labels, rows = seed.table[STRATA[told_apart]].to_numpy(), []
        every = seed.values[f"pixels/{told_apart}/cells"]
        cells = every.reshape(-1, *every.shape[2:])
        for row in np.flatnonzero(planted):
            patch, like = seed.values["patched"][row][None], np.flatnonzero(~planted & (labels == labels[row]))
            own = [reached(c[row][None], patch, LOWEST)[0] for c in cells]
            # A stratum without clean images tells nothing: its planted one is no better than they.
            clean = [reached(c[like], patch, LOWEST).mean() for c in cells] if len(like) else own
            rows.append([own, clean])
        parts.append(np.array(rows))
    return {"planted": np.concatenate(parts, axis=2)}


def _found(means: Sample) -> NDArray[np.float64]:
    return np.asarray(means["planted"] - 0.5)


def _shown(table: pd.DataFrame, size: int) -> list[tuple[str, int]]:
    """Rows of planted images of each group, the first ones."""
    rows = {group: np.flatnonzero(table["planted"] & (table["group"] == group))[:size] for group in CANDIDATE_AND_NULL}
    return [(f"planted, {group}", int(row)) for group, mine in rows.items() for row in mine]


def draw(table: pd.DataFrame, images: NDArray[np.uint8]) -> Figure:
    """Planted images and maps of their cells above; how every measure tells them, and where they are low, below."""
    encoder = table["encoder"].iloc[0]
    mine = table[table["encoder"] == encoder].set_index("series")
    figure, axes = plotting.panels(rows=1, columns=1, width=11, height=9.6)
    axes[0, 0].remove()
    above_, below = figure.subfigures(2, 1, squeeze=False, height_ratios=[4.2, 5.4]).flat
    axis = above_.subplots()
    draw_cells(axis, mine.loc["cell"], images)
    axis.set_title(f"{encoder}, first seed: images with a swapped patch (outlined), cells of low value", fontsize=10)
    aurocs, differences, cells = below.subplots(1, 3)
    ratios = sorted(mine["ratio"].dropna().unique())
    groups = {group: plotting.COLOURS[group] for group in CANDIDATE_AND_NULL}
    dots(aurocs, _kinds(mine.loc[["auroc"]], "group"), kinds_of(groups, ratios), null=0.5)
    aurocs.axvline(THRESHOLD, color="black", linewidth=0.8, linestyle=":", zorder=1)
    aurocs.set(title="planted images told from clean ones", xlabel="AUROC within classes or clusters")
    gap = {"candidate minus external": "black"}
    rows = mine.loc[["difference"]].assign(group=next(iter(gap)))
    dots(differences, _kinds(rows, "group"), kinds_of(gap, ratios), null=0)
    differences.set(title="candidates minus external images", xlabel="difference of AUROC")
    differences.tick_params(labelleft=False)
    shares = {SERIES[0]: "#00a0d0", SERIES[1]: plotting.COLOURS["external"]}
    rows = mine.loc[list(shares)].reset_index()
    dots(cells, _kinds(rows, "series"), kinds_of(shares, ratios), null=SHARE)
    cells.set(title=f"among an image's {LOWEST} lowest cells", xlabel="share of planted images")
    for axis, place in (
        (aurocs, "outside lower left"),
        (differences, "outside lower center"),
        (cells, "outside lower right"),
    ):
        handles, labels = axis.get_legend_handles_labels()
        below.legend(handles, labels, loc=place, fontsize=7)
    return figure


def _kinds(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """Rows with the kind of their mark: what a column says, and the ratio."""
    return rows.assign(kind=[kind_of(name, ratio) for name, ratio in zip(rows[column], rows["ratio"], strict=True)])
