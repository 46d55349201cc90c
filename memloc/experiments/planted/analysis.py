"""A control: images with another class's patch in them, and which measures of atypicality and memorization react."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc.aliases import Array
from memloc.analysis import plotting
from memloc.analysis.claims import Claim
from memloc.analysis.inputs import above, rows_of
from memloc.analysis.sheet import Sheet
from memloc.analysis.valued_points import (
    LOWEST,
    SCORES,
    STRATA,
    WITNESSES,
    Floats,
    Resampled,
    Valued,
    Way,
    by_group,
    by_ways,
    cell_rows,
    draw_cells,
    find_by_witness,
    joined,
    maps_and_forests,
    resample_counts,
    share_points,
    streams,
    with_ways,
)
from memloc.data.groups import CANDIDATE_AND_NULL
from memloc.errors import InputError
from memloc.metrics.stats import Estimate, Sample, nest, permutation_p
from memloc.metrics.within import reached, within_auroc, within_orders
from memloc.streams import generator

CLAIMS = {
    "sslmem": Claim(
        "Images with a swapped patch are memorized more: AUROC within classes of SSLMem of the output, minus .5, "
        "candidates",
    ),
    "sslmem-excess": Claim(
        "SSLMem tells images with a swapped patch from clean ones better among images trained on: AUROC within "
        "classes, candidates minus external images",
    ),
    "owners": Claim(
        "Images with a swapped patch own more of the last layer's top 10 % of units: AUROC within classes of the "
        "number owned, minus .5, candidates",
    ),
    "owners-excess": Claim(
        "The number of top units owned tells images with a swapped patch from clean ones better among images trained "
        "on: AUROC within classes, candidates minus external images",
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
        "Images with a swapped patch have lower values than clean images of their class or cluster: median of clean "
        "minus median of swapped ones, candidates and external images (p of a sign test)",
    ),
    "cells": Claim(
        "Values of cells are low where a patch was swapped in: share of images with a cell of the patch among their "
        "five lowest, minus .5 (own threshold), candidates and external images",
    ),
    "cells-excess": Claim(
        "Values of cells are lower where a patch was swapped in than in clean images: share of images with a cell of "
        "the patch among their five lowest minus that with the same cells, clean images of the class or cluster",
    ),
}
THRESHOLD, SHARE = 0.65, 0.5
"""What a control must reach: AUROC of values, and share of planted images whose patch is among the lowest cells."""
PERMUTATIONS = 1000
"""Random choices, within strata, of which images are planted, or of which are candidates, behind a p."""
CELL_SERIES = ("patch among the lowest", "same cells in clean images", "patch minus clean")
"""Of low cells by pixels: share of planted images, of clean ones of their stratum, and the difference."""


def analyse(sheet: Sheet) -> None:
    """AUROC of planted images by every score and value, where their low cells are; all scores; planted cells."""
    for encoder in sheet.encoders:
        seeds = joined(sheet, encoder)
        numbers = [seed for owner, seed in sheet.inputs.runs if owner == encoder]
        for number, seed in zip(numbers, seeds, strict=True):
            _check(seed.table, f"{encoder}, seed {number}")
        ways = seeds[0].ways
        aurocs, lower, low_cells = _aurocs(sheet, seeds), _lower(sheet, seeds), _low_cells(sheet, seeds)
        names = [*SCORES.values(), *(way.name for way in ways)]
        tables = [
            *aurocs.rows(names, encoder),
            _owning(seeds).assign(series="planted images that own top units"),
            rows_of(lower, names[len(SCORES) :], series="clean median minus planted"),
            *_cell_shares(low_cells, _by_pixels(ways)),
            *(seed.table.assign(series="point", run=run) for run, seed in enumerate(seeds)),
        ]
        if encoder == sheet.encoders[0]:
            chosen = _first_planted(seeds[0].table, sheet.options["shown"])
            tables.append(cell_rows(seeds[0], chosen, patch=sheet.options["patch"]).assign(series="cell"))
        table = pd.concat([table.assign(encoder=encoder) for table in tables], ignore_index=True)
        sheet.add(with_ways(table.rename(columns={"layer": "name"}), ways))
        _find(sheet, encoder, seeds, aurocs, lower, low_cells)


def _check(table: pd.DataFrame, whose: str) -> None:
    """Raise an InputError where a group has no planted images, or no others."""
    for group, planted in table.groupby("group")["planted"]:
        if planted.all() or not planted.any():
            few = f"{planted.sum()} of {len(planted)} {group} images have a swapped patch, so nothing to compare with"
            raise InputError(f"{whose}: {few}; change datasets.*.swapped.share or datasets.*.split")


def _find(
    sheet: Sheet, encoder: str, seeds: Sequence[Valued], aurocs: _Aurocs, lower: Estimate, low_cells: Estimate
) -> None:
    """Findings on all claims."""
    first, ways = seeds[0], seeds[0].ways
    every, n = int(first.table["planted"].sum()), int((first.table["planted"] & first.candidates()).sum())
    for k, claim in enumerate(("sslmem", "owners")):
        sheet.find(claim, encoder, aurocs.groups[0, k], n, p=float(aurocs.p_of_groups[0, k]))
        sheet.find(f"{claim}-excess", encoder, aurocs.difference[k], n, p=float(aurocs.p_of_difference[k]))
    sheet.find("distance", encoder, aurocs.both[2], every, p=float(aurocs.p_of_both[2]))
    by_value, signs = above(aurocs.both[len(SCORES) :], THRESHOLD - 0.5), _sign_p(seeds)
    patch, clean, pixels = low_cells[0], low_cells[1], _by_pixels(ways)
    for witness in WITNESSES:
        find_by_witness(sheet, "value", encoder, by_value, ways, witness, n=every)
        find_by_witness(sheet, "median", encoder, lower, ways, witness, n=every, p=signs)
        if witness[0] == "pixels":
            find_by_witness(sheet, "cells", encoder, above(patch, SHARE - 0.5), pixels, witness, n=every)
            find_by_witness(sheet, "cells-excess", encoder, patch - clean, pixels, witness, n=every)


def _by_pixels(ways: Sequence[Way]) -> list[Way]:
    """The ways whose cells have a place in the image."""
    return [way for way in ways if way.space == "pixels"]


@dataclass(frozen=True)
class _Aurocs:
    """AUROC minus .5 of planted among clean images, within strata, by each of SCORES and minus each value.

    Attributes:
        groups: of CANDIDATE_AND_NULL, [2, scores].
        difference: candidates minus external images, [scores].
        both: mean of the two, [scores].
        p_of_groups, p_of_difference, p_of_both: of permutations, of the same shapes.
    """

    groups: Estimate
    difference: Estimate
    both: Estimate
    p_of_groups: Floats
    p_of_difference: Floats
    p_of_both: Floats

    def rows(self, names: Sequence[str], encoder: str) -> list[pd.DataFrame]:
        """AUROC of each group and of both, and the difference, by name of the score."""
        sides = [*zip(CANDIDATE_AND_NULL, (self.groups[0], self.groups[1]), self.p_of_groups, strict=True)]
        sides.append(("both", self.both, self.p_of_both))
        tables = [
            rows_of(above(side, -0.5), names, series="auroc", group=name, encoder=encoder).assign(p=p)
            for name, side, p in sides
        ]
        return [*tables, rows_of(self.difference, names, series="difference").assign(p=self.p_of_difference)]


def _aurocs(sheet: Sheet, seeds: Sequence[Valued]) -> _Aurocs:
    value, drawn, null = by_group(seeds, partial(_auroc_of_group, resamples=sheet.options["resamples"]))
    groups = nest(value, drawn, seed=0, limit=0.5, shared=share_points(seeds))
    exchanged = np.mean([_exchanged(*of_seed) for of_seed in zip(seeds, streams(seeds), strict=True)], axis=0)
    difference, both = groups[0] - groups[1], (groups[0] + groups[1]).scaled(0.5)
    return _Aurocs(
        groups=groups,
        difference=difference,
        both=both,
        p_of_groups=permutation_p(groups.value, null),
        p_of_difference=permutation_p(difference.value, exchanged.T),
        p_of_both=permutation_p(both.value, null.mean(axis=0)),
    )


def _strata(seed: Valued) -> Iterator[tuple[NDArray[np.int64], Floats]]:
    """Of every labelling, the points' labels, and scores [k, points] that are compared among points of one label.

    These are SCORES (within classes) and minus the values, in all the order of the table.
    """
    for labelling, column in STRATA.items():
        scores = -seed.table[seed.columns(labelling)].to_numpy(np.float64).T
        if labelling == "classes":
            scores = np.concatenate([seed.table[list(SCORES)].to_numpy(np.float64).T, scores])
        yield seed.table[column].to_numpy(), scores


def _auroc_of_group(seed: Valued, group: str, stream: int, *, resamples: int) -> Resampled:
    """AUROC minus .5 of planted images of a group, by each of SCORES and minus each value.

    Returns:
        [scores], with planted and clean images resampled; the null is that of as many random images of each stratum.
    """
    rows = (seed.table["group"] == group).to_numpy()
    planted = seed.table["planted"].to_numpy(dtype=bool)[rows]
    parts = []
    for labels, scores in _strata(seed):
        auroc = partial(_auroc, labels=labels[rows], scores=scores[:, rows])
        rng = generator("planted", stream, group)
        drawn = [auroc(planted, counts) for counts in resample_counts(planted, resamples, rng, columns=1)]
        null = auroc(planted[within_orders(labels[rows], PERMUTATIONS, rng)], np.ones((1, 1)))
        parts.append(Resampled(auroc(planted, np.ones((1, len(planted))))[0], np.concatenate(drawn), null))
    return Resampled.concatenated(parts, axis=-1)


def _auroc(planted: NDArray[np.bool_], counts: Array, *, labels: NDArray[np.int64], scores: Floats) -> Floats:
    """AUROC minus .5 of planted images, with so many copies of every image: [r, scores] of counts [r, points]."""
    return within_auroc(scores, counts * planted, counts * ~planted, labels) - 0.5


def _exchanged(seed: Valued, stream: int) -> Floats:
    """AUROC of candidates minus that of external images if it is random which points of a stratum are candidates.

    Planted and clean images change places among themselves. f was trained on candidates and not on external images, and
    nothing else tells them apart.

    Returns:
        [PERMUTATIONS, scores].
    """
    planted, candidate = seed.table["planted"].to_numpy(dtype=bool), seed.candidates()
    parts = []
    for labels, scores in _strata(seed):
        member = candidate[within_orders(2 * labels + planted, PERMUTATIONS, generator("exchanged", stream))]
        sides = [within_auroc(scores, inside & planted, inside & ~planted, labels) for inside in (member, ~member)]
        parts.append(sides[0] - sides[1])
    return np.concatenate(parts, axis=1)


def _owning(seeds: Sequence[Valued]) -> pd.DataFrame:
    """How many planted images of each group own a top unit, in all seeds, and how many there are.

    Where none owns one, the AUROC of the number owned says nothing.
    """
    every = pd.concat(seed.table for seed in seeds)
    planted = every[every["planted"].astype(bool)].assign(value=lambda t: (t["owned"] > 0).astype(float))
    return planted.groupby("group")["value"].agg(value="sum", n="size").reset_index()


def _values(seed: Valued) -> Sample:
    """Values of planted and of clean images minus the median of the clean ones of their stratum, [n, ways] each."""
    planted = seed.table["planted"].to_numpy(dtype=bool)
    parts = []
    for labelling, stratum in STRATA.items():
        columns = seed.columns(labelling)
        clean = seed.table[~planted].groupby(stratum)[columns].median()
        # A stratum without clean images is compared with the median of all strata.
        usual = clean.reindex(seed.table[stratum]).fillna(clean.median()).to_numpy()
        parts.append(seed.table[columns].to_numpy(np.float64) - usual)
    values = np.concatenate(parts, axis=1)
    return {"planted": values[planted], "clean": values[~planted]}


def _lower(sheet: Sheet, seeds: Sequence[Valued]) -> Estimate:
    """By how much the median value of planted images is below that of clean ones, [ways]."""
    return sheet.bootstrap([_values(seed) for seed in seeds], _median_below, shared=share_points(seeds))


def _median_below(sample: Sample) -> Floats:
    return np.asarray(np.median(sample["clean"], axis=0) - np.median(sample["planted"], axis=0))


def _sign_p(seeds: Sequence[Valued]) -> Floats:
    """Two-sided p, by way, of a sign test: planted images are above the median of clean ones as often as below.

    An image that several seeds have counts once, with its mean over them; one at the median doesn't count.
    """
    from scipy.stats import binomtest

    points = np.concatenate([seed.table.loc[seed.table["planted"].astype(bool), "point"] for seed in seeds])
    values = np.concatenate([_values(seed)["planted"] for seed in seeds])
    means = pd.DataFrame(values).groupby(points).mean().to_numpy()
    below, over = (np.sum(np.sign(means) == sign, axis=0) for sign in (-1, 1))
    return np.array([binomtest(int(b), int(b + a)).pvalue if b + a else 1.0 for b, a in zip(below, over, strict=True)])


def _low_cells(sheet: Sheet, seeds: Sequence[Valued]) -> Estimate:
    """Share of planted images with a cell of the patch among their lowest, and that of clean ones, minus .5.

    Returns:
        [2, ways by pixels].
    """
    samples = [_reached(seed) for seed in seeds]
    return sheet.means(samples, lambda means: means["planted"] - 0.5, limit=0.5, shared=share_points(seeds))


def _reached(seed: Valued) -> Sample:
    """Of each planted image, whether its patch has one of the lowest cells, and how many clean ones of its stratum do.

    Returns:
        ``planted`` [planted images, 2, ways by pixels].
    """
    planted = seed.table["planted"].to_numpy(dtype=bool)
    parts = []
    for labelling, column in STRATA.items():
        labels, rows = seed.table[column].to_numpy(), []
        every = seed.values[f"pixels/{labelling}/cells"]
        cells = every.reshape(-1, *every.shape[2:])
        for row in np.flatnonzero(planted):
            patch, like = seed.values["patched"][row][None], np.flatnonzero(~planted & (labels == labels[row]))
            patch_share = [reached(c[row][None], patch, LOWEST)[0] for c in cells]
            # A stratum without clean images is counted as no difference.
            clean_share = [reached(c[like], patch, LOWEST).mean() for c in cells] if len(like) else patch_share
            rows.append([patch_share, clean_share])
        parts.append(np.array(rows))
    return {"planted": np.concatenate(parts, axis=2)}


def _cell_shares(low_cells: Estimate, pixels: Sequence[Way]) -> list[pd.DataFrame]:
    """Rows of CELL_SERIES."""
    shares = (above(low_cells[0], -0.5), above(low_cells[1], -0.5), low_cells[0] - low_cells[1])
    names = [way.name for way in pixels]
    return [rows_of(share, names, series=series) for series, share in zip(CELL_SERIES, shares, strict=True)]


def _first_planted(table: pd.DataFrame, size: int) -> list[tuple[str, int]]:
    """Strips and rows of the first planted images of each group."""
    planted = {group: np.flatnonzero(table["planted"] & (table["group"] == group)) for group in CANDIDATE_AND_NULL}
    return [(f"planted, {group}", int(row)) for group, rows in planted.items() for row in rows[:size]]


def draw(table: pd.DataFrame, images: NDArray[np.uint8]) -> Figure:
    """Planted images and maps of their cells above; how every score tells them, and where they are low, below."""
    encoder = table["encoder"].iloc[0]
    by_series = table[table["encoder"] == encoder].set_index("series", drop=False)
    cells = by_series.loc[["cell"]]
    figure, above, below = maps_and_forests(cells, rows=by_series.loc[["difference"], "name"].nunique())
    draw_cells(above.subplots(), cells, images)
    title = f"{plotting.plain(encoder)}, first seed: is a swapped patch (outlined) of low value?"
    above.suptitle(title, x=0.01, ha="left", fontsize=8.5)
    aurocs, differences, shares = below.subplots(1, 3)
    groups = {group: plotting.COLOURS[group] for group in CANDIDATE_AND_NULL}
    rows = by_series.loc[["auroc"]]
    of_groups = {group: rows[rows["group"] == group] for group in groups}
    by_ways(aurocs, of_groups, colours=groups, null=0.5, scores="by score")
    aurocs.axvline(THRESHOLD, color=plotting.INK, linewidth=0.8, linestyle=":", zorder=1)
    aurocs.set(title="Do scores tell planted images?", xlabel="AUROC within classes or clusters")
    difference, ink = {"difference": by_series.loc[["difference"]]}, {"difference": plotting.INK}
    by_ways(differences, difference, colours=ink, null=0, scores="by score")
    differences.tick_params(labelleft=False)
    differences.set(title="More so when trained on?", xlabel="difference of AUROC")
    of_cells = dict(zip(CELL_SERIES, (plotting.COLOURS["in"], plotting.COLOURS["null"]), strict=False))
    by_ways(shares, {name: by_series.loc[[name]] for name in of_cells}, colours=of_cells, null=SHARE)
    shares.set(title=f"Patch among the {LOWEST} lowest?", xlabel="share of images", xlim=(-0.02, 1.02))
    names = {"planted images trained on (left), the patch (right)": "candidate"}
    names |= {"never seen (left), same cells in clean images (right)": "external"}
    plotting.key(figure, {words: plotting.COLOURS[name] for words, name in names.items()} | ink)
    return figure
