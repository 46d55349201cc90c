"""What experiments share that test by another witness than alignment whether f was trained on an image and g wasn't."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc.analysis import plotting
from memloc.analysis.halves import Memorized, memorized, reliability_of_mean
from memloc.analysis.inputs import images_of_groups
from memloc.analysis.sheet import Sheet
from memloc.data.groups import UNSHARED
from memloc.errors import InputError
from memloc.metrics.alignment import ESTIMATORS
from memloc.metrics.pairs import agreement_of_all, gains
from memloc.metrics.stats import Estimate, Images, Sample, rank_correlation, ranks

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


def draw(table: pd.DataFrame, *, seen: str, scale: str, advantage: tuple[str, str], short: str) -> Figure:
    """One row an encoder: means of f and g by group, the advantage of f, candidates' ranks, correlations.

    Args:
        seen, scale: what f and g were tested on, and the scale of their means.
        advantage: what the advantage of f is, and its scale.
        short: the advantage of f on an axis.
    """
    encoders = plotting.by_encoder(table)
    figure, axes = plotting.panels(rows=len(encoders), columns=4, width=15)
    for (means, forms, scatter, correlation), (encoder, rows) in zip(axes, encoders.items(), strict=True):
        _draw_roles(means, rows)
        means.set(title=f"{encoder}: {seen}", ylabel=scale)
        estimators = rows.loc[["advantage"]]
        plotting.bars(forms, estimators, colours=[plotting.COLOURS[name] for name in estimators["layer"]])
        plotting.zero(forms)
        forms.set(title=advantage[0], ylabel=advantage[1])
        _draw_agreement(scatter, correlation, rows, advantage=short)
    return figure


def _draw_roles(axis: Axes, encoder: pd.DataFrame) -> None:
    """Means of f and g on each group, side by side, and what chance gives where that is known."""
    for shift, role in ((-0.12, "f"), (0.12, "g")):
        rows = encoder.loc[[role]]
        plotting.shapes(axis, np.arange(len(rows)) + shift, rows, label=role)
    plotting.layers(axis, list(UNSHARED))
    by_chance = "chance" in encoder.index
    if by_chance:
        at = np.arange(len(UNSHARED))
        axis.hlines(encoder.loc[["chance"], "value"], at - 0.25, at + 0.25, color="black", label="chance")
    plotting.legend(axis, room=0.25 if by_chance else 0)


def _draw_agreement(scatter: Axes, correlation: Axes, encoder: pd.DataFrame, *, advantage: str) -> None:
    """Candidates' ranks, and rank correlations beside their null."""
    for _, run in encoder.loc[["point"]].groupby("run"):
        x, y = (ranks(run[name].to_numpy(dtype=np.float64)) / len(run) for name in ("sslmem", "value"))
        scatter.scatter(x, y, s=6, alpha=0.4, color=plotting.COLOURS["candidate"], linewidths=0)
    scatter.set(xlabel="SSLMem of the output (rank)", ylabel=f"{advantage} (rank)", title="candidates of all seeds")
    rho = encoder.loc[["correlation"]]
    plotting.bars(correlation, rho, colours=[plotting.COLOURS[name] for name in rho["layer"]])
    plotting.zero(correlation)
    correlation.set(title=f"SSLMem against {advantage}", ylabel="rank correlation")
