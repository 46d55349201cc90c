"""What experiments share that test by another witness than alignment whether f was trained on an image and g wasn't."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc.analysis import dots, plotting
from memloc.analysis.halves import Memorized, memorized, reliability_of_mean
from memloc.analysis.inputs import images_of_groups
from memloc.analysis.sheet import Sheet
from memloc.data.groups import UNSHARED
from memloc.errors import InputError
from memloc.metrics.alignment import ESTIMATORS
from memloc.metrics.pairs import agreement_of_all, gains
from memloc.metrics.stats import Estimate, Images, Sample, rank_correlation

DEALS = 2000
"""Deals of membership behind the p of a correlation over all pairs."""


def witnessed(sheet: Sheet, encoder: str, names: Sequence[str]) -> list[pd.DataFrame]:
    """For each seed, one row a point: its group, SSLMem of the output, each name as measured with f and with g.

    Raises:
        InputError: f and g were measured on different points, or points lack the output.
    """
    tables = []
    seeds = zip(*(sheet.arrays(role, encoder) for role in "fg"), sheet.scores("points", encoder), strict=True)
    for f, g, points in seeds:
        if not np.array_equal(f["points"], g["points"]):
            raise InputError(f"outcomes of {encoder}: f and g differ in points; delete both and run snakemake again")
        columns = {f"{name}_{role}": arrays[name] for name in names for role, arrays in (("f", f), ("g", g))}
        output = points.loc[points["kind"] == "output", ["point", "group", "sslmem"]]
        table = pd.DataFrame({"point": f["points"], **columns}).merge(output, on="point", validate="one_to_one")
        if len(table) < len(f["points"]):
            raise InputError(f"encoders.{encoder}.measure.layers: lack output, whose SSLMem is compared; add it")
        tables.append(table)
    return tables


def samples(tables: Sequence[pd.DataFrame], columns: Sequence[str]) -> list[dict[str, NDArray[np.float64]]]:
    """Columns of each group's points, [n, columns], one sample for each seed."""
    return [
        {group: table.loc[table["group"] == group, list(columns)].to_numpy(dtype=np.float64) for group in UNSHARED}
        for table in tables
    ]


def images(tables: Sequence[pd.DataFrame]) -> Images | None:
    """The images of ``samples``; None where seeds have points of their own."""
    if images_of_groups(tables) is None:
        return None
    return [{g: table.loc[table["group"] == g, "point"].to_numpy() for g in UNSHARED} for table in tables]


def by_group(means: Sample) -> NDArray[np.float64]:
    """Means [k, columns] of each group to [k, UNSHARED, columns]."""
    return np.stack([means[group] for group in UNSHARED], axis=1)


def agreement(sample: Sample) -> NDArray[np.float64]:
    """Rank correlation over points of both columns of each group, [UNSHARED]; on external points it is the null."""
    return np.stack([rank_correlation(sample[group][:, 0], sample[group][:, 1]) for group in UNSHARED])


def report(
    sheet: Sheet,
    encoder: str,
    points: Sequence[pd.DataFrame],
    *,
    groups: Mapping[str, Estimate],
    advantages: Mapping[str, Estimate],
) -> None:
    """Add one encoder's rows, and findings on the claims ``crossed``, ``agrees`` and ``agrees-excess``.

    Args:
        points: a table for each seed, as ``witnessed`` gives it, with f's ``advantage`` on each point.
        groups: by series, means of groups, [UNSHARED].
        advantages: by series, what f has over g, [ESTIMATORS]. The first is the one that the claim is about.
    """
    for series, estimate in groups.items():
        sheet.profile(estimate, UNSHARED, encoder=encoder, series=series)
    for series, estimate in advantages.items():
        sheet.profile(estimate, ESTIMATORS, encoder=encoder, series=series)
    rho = sheet.bootstrap(samples(points, ["advantage", "sslmem"]), agreement, limit=1, images=images(points))
    sheet.profile(rho, UNSHARED, encoder=encoder, series="correlation")
    candidates = [table[table["group"] == "candidate"] for table in points]
    columns = {"advantage": "value", "sslmem": "sslmem", "point": "point"}
    for run, table in enumerate(candidates):
        rows = table[list(columns)].rename(columns=columns)
        sheet.add(rows, run=run, encoder=encoder, series="point", layer="candidate")
    advantage, n = next(iter(advantages.values())), len(candidates[0])
    candidate, external = (rho[UNSHARED.index(group)] for group in ("candidate", "external"))
    sheet.find("crossed", encoder, advantage[ESTIMATORS.index("crossed")], n)
    every = memorized(sheet, encoder)
    if every is None:
        sheet.find("agrees", encoder, candidate, n)
        sheet.find("agrees-excess", encoder, candidate - external, n)
    else:
        _find_over_pairs(sheet, encoder, points, every)


def _find_over_pairs(sheet: Sheet, encoder: str, points: Sequence[pd.DataFrame], every: Memorized) -> None:
    """Whether images that all pairs memorize are those on which the other pairs' encoders have an advantage.

    In and out are crossed over already, so there is no excess to ask for.
    """
    pool, pairs = every.pool, len(points)
    of_f = [table.set_index("point")["advantage"].loc[pool.points.tolist()].to_numpy(np.float64) for table in points]
    advantage = gains(np.stack(of_f), pool.inside, pool.labels)
    estimate, null = agreement_of_all(every.scores, [advantage], in_minus_out=[True], deals=DEALS, seed=0)
    sheet.profile(estimate, ["all pairs"], encoder=encoder, series="over all pairs")
    together = every.reliability(pairs)
    rows = {
        "SSLMem, one pair": every.reliability(1),
        "SSLMem, all pairs": together,
        "advantage, all pairs but one": reliability_of_mean(advantage, pool.labels, pairs - 1),
    }
    table = pd.DataFrame({"layer": [*rows], "value": [*rows.values()]})
    sheet.add(table, encoder=encoder, series="reliability")
    weakest = min(together, rows["advantage, all pairs but one"])
    sheet.find("agrees", encoder, estimate[0], len(pool.points), null=null[:, 0], reliability=weakest)


GROUPS = {"candidate": "images of f", "independent": "images of g", "external": "of neither"}
"""UNSHARED in the figure's words."""


def draw(table: pd.DataFrame, *, seen: str, scale: str, advantage: str, unit: str) -> Figure:
    """A row an encoder: means of f and g by group, what the encoder of an image has over the other, agreement.

    Args:
        seen, scale: the question that means of f and g answer, and their scale.
        advantage, unit: what the encoder that was trained on an image has over the other, and its unit.
    """
    encoders = plotting.by_encoder(table)
    figure, axes = plotting.panels(rows=len(encoders), columns=3, height=2.0, sharex="col", sharey="col")
    for (means, gap, agree), (encoder, rows) in zip(axes, encoders.items(), strict=True):
        _draw_means(means, rows)
        means.set(title=f"{plotting.plain(encoder)}\n{seen}", ylabel=scale)
        of = rows.loc[["advantage"]]
        plotting.forest(gap, of, ESTIMATOR_NAMES, colours=[plotting.COLOURS[name] for name in of["layer"]])
        gap.set_title("Is its own encoder ahead?")
        correlations = rows.loc[["correlation", *{"over all pairs"} & set(rows.index)]]
        colours = [plotting.COLOURS.get(name, plotting.INK) for name in correlations["layer"]]
        plotting.forest(agree, correlations, [GROUPS.get(n, n) for n in correlations["layer"]], colours=colours)
        agree.set_title("Most where memorized most?")
    gap.set_xlabel(f"{advantage}\n({unit})")
    agree.set_xlabel(f"rank correlation of SSLMem\nand {advantage}")
    chance = "chance" in set(table["series"])
    said = {"f": "f", "g": "g", "never seen" + ", or chance" * chance: "external", "as published": "published"}
    said |= {"corrected by never seen ones": "external-corrected", "crossed, or over all pairs": "crossed"}
    plotting.key(figure, {words: plotting.COLOURS[meaning] for words, meaning in said.items()})
    return figure


ESTIMATOR_NAMES = ["as published", "corrected", "crossed"]
"""ESTIMATORS in the figure's words."""


def _draw_means(axis: Axes, encoder: pd.DataFrame) -> None:
    """Means of f and g on each group, side by side, and what chance gives where that is known."""
    dots.side_by_side(axis, {role: encoder.loc[[role]] for role in "fg"}, joined=False, width=0.24)
    dots.named(axis, list(GROUPS.values()))
    if "chance" in encoder.index:
        at = np.arange(len(UNSHARED))
        axis.hlines(encoder.loc[["chance"], "value"], at - 0.3, at + 0.3, color=plotting.COLOURS["chance"])
