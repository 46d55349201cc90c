"""Score tables of single units, from the measures of one encoder, and what they say of whole layers."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memloc.data.groups import UNSHARED
from memloc.errors import InputError
from memloc.measuring.files import NamedArrays
from memloc.metrics.units import classmem, owners, unitmem

TOP = 0.1
"""Share of a layer's units that counts as its most memorizing."""
THRESHOLDS = (0.3, 0.5, 0.7)
"""UnitMem above which shares of a layer's units are counted."""
SHARES = tuple(f"unitmem_above_{threshold}" for threshold in THRESHOLDS)
UNIT_METRICS = ("unitmem", "unitmem_top", "unitmem_max", *SHARES)
CLASS_METRICS = ("classmem", "classmem_shuffled", "over_classmem")
METRICS = (*UNIT_METRICS, *CLASS_METRICS)
"""Metrics of a layer: mean, 90th percentile, maximum and shares of its units' UnitMem; their mean ClassMem, with the
labels and with shuffled labels; and the share of units with UnitMem above ClassMem."""


def unit_scores(measures: NamedArrays, *, shuffles: int, seed: int, others: str = "mean") -> pd.DataFrame:
    """UnitMem (paper, Eqs. 5 to 8) and ClassMem (Eqs. 13 to 16) of every unit in each group of UNSHARED: one row each.

    ``classmem_shuffled`` is the mean ClassMem over ``shuffles`` permutations of the labels: its value where there is
    nothing to find. ``owner`` is the point that excites the unit most.

    Args:
        others: whether ``unitmem`` compares the highest activation with the mean or the median of the others.

    Raises:
        InputError: all points of a group have the same label.
    """
    rng = np.random.default_rng(seed)
    tables = []
    for group, rows in rows_by_group(measures, seed).items():
        points, labels = measures["points"][rows], measures["labels"][rows]
        permuted = [rng.permutation(labels) for _ in range(shuffles)]
        labelled = bool((labels >= 0).all())
        for layer in unit_layers(measures):
            views, plain = measures[f"views/{layer}"][rows].mean(axis=1), measures[f"plain/{layer}"][rows]
            owner = owners(views)
            shuffled = np.mean([classmem(plain, p) for p in permuted], axis=0) if labelled else np.nan
            tables.append(
                pd.DataFrame(
                    {
                        "layer": layer,
                        "unit": np.arange(views.shape[1]),
                        "group": group,
                        "unitmem": unitmem(views, others=others),
                        "unitmem_median": unitmem(views, others="median"),
                        "classmem": classmem(plain, labels) if labelled else np.nan,
                        "classmem_shuffled": shuffled,
                        "owner": np.where(owner >= 0, points[owner], -1),
                        "activation": views.mean(axis=0, dtype=np.float64),
                    }
                )
            )
    return pd.concat(tables, ignore_index=True)


def group_size(measures: NamedArrays) -> int:
    """How many points of each group UnitMem is taken on: as many as the smallest group has."""
    return min(int((measures["groups"] == group).sum()) for group in UNSHARED)


def rows_by_group(measures: NamedArrays, seed: int) -> dict[str, NDArray[np.int64]]:
    """Rows of each group of UNSHARED, as many of each: a maximum over more points is larger for that reason alone.

    Raises:
        InputError: all points of a group have the same label.
    """
    rng = np.random.default_rng(seed)
    size = group_size(measures)
    drawn = {}
    for group in UNSHARED:
        rows = np.flatnonzero(measures["groups"] == group)
        drawn[group] = np.sort(rng.choice(rows, size, replace=False))
        labels = measures["labels"][drawn[group]]
        if len(np.unique(labels)) < 2 and (labels >= 0).all():
            raise InputError(
                f"all {group} points belong to one class, and ClassMem compares classes; enlarge datasets.*.split"
            )
    return drawn


def unit_layers(measures: NamedArrays) -> list[str]:
    """Names of the layers that have units, in order of depth."""
    return [str(name) for name in measures["layers"] if f"views/{name}" in measures]


def unitmem_metrics(values: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """UNIT_METRICS of a layer, from the UnitMem of its units in the last dimension."""
    shares = [(values > threshold).mean(axis=-1) for threshold in THRESHOLDS]
    return [values.mean(axis=-1), np.quantile(values, 1 - TOP, axis=-1), values.max(axis=-1), *shares]


def layer_metrics(table: pd.DataFrame, metric: str) -> pd.Series:
    """One of METRICS of every layer, from the units of one group."""
    layers = table.groupby("layer", sort=False)
    if metric == "over_classmem":
        above = (table["unitmem"] > table["classmem"]).where(table["classmem"].notna())
        return above.groupby(table["layer"], sort=False).mean()
    if metric not in UNIT_METRICS:
        return layers[metric].mean()
    place = UNIT_METRICS.index(metric)
    return layers["unitmem"].agg(lambda values: float(unitmem_metrics(values.to_numpy())[place]))


def by_layer(
    table: pd.DataFrame, *, group: str = "candidate", column: str = "unitmem"
) -> dict[str, NDArray[np.float64]]:
    """One column of the units of one group by layer, each [units]."""
    rows = table[table["group"] == group]
    return {str(layer): units[column].to_numpy() for layer, units in rows.groupby("layer", sort=False)}


def unit_traits(table: pd.DataFrame) -> dict[str, dict[str, NDArray[np.float64]]]:
    """What units can be pruned by, each by layer, [units]: UnitMem and activation on candidates, and excess UnitMem.

    excess(u) = UnitMem on candidates - 1/2 (UnitMem on independent + UnitMem on external points)

    ``unitmem-unseen`` and ``excess-unseen`` are the same with candidate and external points in each other's place:
    what such choices do without any memorization.
    """
    unitmem_of = {group: by_layer(table, group=group) for group in UNSHARED}

    def excess(group: str, other: str) -> dict[str, NDArray[np.float64]]:
        nulls = {
            layer: (unitmem_of["independent"][layer] + unitmem_of[other][layer]) / 2 for layer in unitmem_of[group]
        }
        return {layer: values - nulls[layer] for layer, values in unitmem_of[group].items()}

    return {
        "unitmem": unitmem_of["candidate"],
        "unitmem-unseen": unitmem_of["external"],
        "excess": excess("candidate", "external"),
        "excess-unseen": excess("external", "candidate"),
        "activation": by_layer(table, column="activation"),
    }
