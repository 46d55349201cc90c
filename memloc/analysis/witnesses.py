"""What experiments share that ask another witness than alignment whether f was trained on an image and g was not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from memloc.analysis import plotting
from memloc.analysis.inputs import GROUPS, Inputs
from memloc.errors import InputError
from memloc.metrics.stats import Sample, rank_correlation, ranks


def witnessed(inputs: Inputs, encoder: str, names: Sequence[str]) -> list[pd.DataFrame]:
    """For each seed, one row a point: its group, SSLMem of the output, each name as measured with f and with g.

    Raises:
        InputError: f and g were asked about different points, or points lack the output.
    """
    tables = []
    seeds = zip(*(inputs.arrays(role, encoder) for role in "fg"), inputs.tables("points", encoder), strict=True)
    for f, g, points in seeds:
        if not np.array_equal(f["points"], g["points"]):
            raise InputError(f"witnesses of {encoder}: f and g differ in points; delete both and run snakemake again")
        said = pd.DataFrame({"point": f["points"]})
        for name in names:
            said[f"{name}_f"], said[f"{name}_g"] = f[name], g[name]
        output = points.loc[points["kind"] == "output", ["point", "group", "sslmem"]]
        table = said.merge(output, on="point", validate="one_to_one")
        if len(table) < len(said):
            raise InputError(f"encoders.{encoder}.measure.layers: lack output, whose SSLMem is compared; add it")
        tables.append(table)
    return tables


def samples(tables: Sequence[pd.DataFrame], columns: Sequence[str]) -> list[dict[str, NDArray[np.float64]]]:
    """Columns of each group's points, [n, columns], one sample for each seed."""
    return [
        {group: table.loc[table["group"] == group, list(columns)].to_numpy(dtype=np.float64) for group in GROUPS}
        for table in tables
    ]


def by_group(means: Sample) -> NDArray[np.float64]:
    """Means [k, columns] of each group to [k, GROUPS, columns]."""
    return np.stack([means[group] for group in GROUPS], axis=1)


def agreement(sample: Sample) -> NDArray[np.float64]:
    """Rank correlation over points of both columns of each group, [GROUPS]; on external points it is the null."""
    return np.stack([rank_correlation(sample[group][:, 0], sample[group][:, 1]) for group in GROUPS])


def candidates(tables: Sequence[pd.DataFrame], **about: Any) -> pd.DataFrame:
    """Rows of a figure's table: advantage (as value) and SSLMem of every candidate."""
    seeds = [
        pd.DataFrame({"value": mine["advantage"], "sslmem": mine["sslmem"], "point": mine["point"], "run": run})
        for run, mine in enumerate(table[table["group"] == "candidate"] for table in tables)
    ]
    return pd.concat(seeds).assign(**about, series="point", layer="candidate")


def draw_agreement(scatter: Axes, correlation: Axes, mine: pd.DataFrame, *, advantage: str) -> None:
    """Candidates' ranks, and rank correlations beside their null, from one encoder's rows by series."""
    for _, run in mine.loc[["point"]].groupby("run"):
        x, y = (ranks(run[name].to_numpy(dtype=np.float64)) / len(run) for name in ("sslmem", "value"))
        scatter.scatter(x, y, s=6, alpha=0.4, color=plotting.COLOURS["candidate"], linewidths=0)
    scatter.set(xlabel="SSLMem of the output (rank)", ylabel=f"{advantage} (rank)", title="candidates of all seeds")
    rho = mine.loc[["correlation"]]
    plotting.bars(correlation, rho, colours=[plotting.COLOURS[name] for name in rho["layer"]])
    plotting.zero(correlation)
    correlation.set(title=f"SSLMem against {advantage}", ylabel="rank correlation")


def draw_roles(axis: Axes, mine: pd.DataFrame) -> None:
    """What f and g say of each group, side by side, from one encoder's rows by series."""
    for shift, role in ((-0.12, "f"), (0.12, "g")):
        rows = mine.loc[[role]]
        plotting.shapes(axis, np.arange(len(rows)) + shift, rows, label=role)
    plotting.layers(axis, list(GROUPS))


def draw_forms(axis: Axes, mine: pd.DataFrame) -> None:
    """The advantage of f in every estimator, from one encoder's rows by series."""
    rows = mine.loc[["advantage"]]
    plotting.bars(axis, rows, colours=[plotting.COLOURS[name] for name in rows["layer"]])
    plotting.zero(axis)
