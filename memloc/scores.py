"""Score tables of single points and units, made from what ``memloc.measure`` measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memloc.errors import InputError
from memloc.metrics import alignment, atypicality, units
from memloc.metrics.stats import resample

Arrays = Mapping[str, NDArray[Any]]
UNIT_GROUPS = ("candidate", "independent", "external")
METRICS = ("unitmem", "unitmem_top", "classmem", "classmem_shuffled")
TOP = 0.1
"""Share of a layer's units that counts as its most memorizing."""


def point_scores(f: Arrays, g: Arrays, *, normalisation: str) -> pd.DataFrame:
    """SSLMem of every measured point at every layer: one row for each.

    ``sslmem`` uses all draws; ``sslmem_choose`` and ``sslmem_score`` use one half each, so that groups can be chosen
    on draws on which they aren't scored.

    Args:
        f, g: measures of the two encoders on the same points.
    """
    for name in ("points", "groups", "layers"):
        if not np.array_equal(f[name], g[name]):
            raise InputError(f"measures of f and g differ in their {name}; delete both and run snakemake again")
    a_f, a_g = f["alignment"].astype(np.float64), g["alignment"].astype(np.float64)
    n, layers = a_f.shape[:2]
    halves = alignment.sslmem(a_f, a_g, normalisation=normalisation)
    return pd.DataFrame(
        {
            "point": np.repeat(f["points"], layers),
            "group": np.repeat(f["groups"], layers),
            "label": np.repeat(f["labels"], layers),
            "layer": np.tile(f["layers"], n),
            "own": np.tile(f["own"], n),
            "kind": np.tile(f["kinds"], n),
            "parameters": np.tile(f["parameters"], n),
            "alignment_f": a_f.mean(axis=2).ravel(),
            "alignment_g": a_g.mean(axis=2).ravel(),
            "sslmem": alignment.sslmem(a_f.mean(axis=2), a_g.mean(axis=2), normalisation=normalisation).ravel(),
            "sslmem_choose": halves[..., 0].ravel(),
            "sslmem_score": halves[..., 1].ravel(),
        }
    )


def atypicality_scores(g: Arrays, *, neighbours: int) -> pd.DataFrame:
    """Atypicality of the points g has never seen (candidate, external): distance to their nearest shared points."""
    groups, features = g["groups"], g["features"]
    judged = np.isin(groups, ["candidate", "external"])
    reference = features[groups == "shared"]
    return pd.DataFrame(
        {
            "point": g["points"][judged],
            "group": groups[judged],
            "label": g["labels"][judged],
            "atypicality": atypicality.neighbour_distance(features[judged], reference, neighbours=neighbours),
        }
    )


def unit_scores(measures: Arrays, *, shuffles: int, seed: int) -> pd.DataFrame:
    """UnitMem and ClassMem of every unit, in each group of images of equal size: one row for each.

    ``classmem_shuffled`` is ClassMem after the labels are permuted, averaged over ``shuffles`` permutations: what
    the metric shows where there is nothing to show. ``owner`` is the point that excites the unit most.
    """
    rng = np.random.default_rng(seed)
    tables = []
    for group, rows in _groups(measures, seed).items():
        points, labels = measures["points"][rows], measures["labels"][rows]
        permuted = [rng.permutation(labels) for _ in range(shuffles)]
        labelled = bool((labels >= 0).all())
        for layer in _unit_layers(measures):
            views, plain = measures[f"views/{layer}"][rows].mean(axis=1), measures[f"plain/{layer}"][rows]
            owner = units.owners(views)
            tables.append(
                pd.DataFrame(
                    {
                        "layer": layer,
                        "unit": np.arange(views.shape[1]),
                        "group": group,
                        "unitmem": units.unitmem(views),
                        "unitmem_median": units.unitmem(views, others="median"),
                        "classmem": units.classmem(plain, labels) if labelled else np.nan,
                        "classmem_shuffled": np.mean([units.classmem(plain, p) for p in permuted], axis=0)
                        if labelled
                        else np.nan,
                        "owner": np.where(owner >= 0, points[owner], -1),
                        "activation": views.mean(axis=0, dtype=np.float64),
                    }
                )
            )
    return pd.concat(tables, ignore_index=True)


def unit_replicates(measures: Arrays, *, replicates: int, seed: int) -> dict[str, NDArray[Any]]:
    """Of each layer mean and 90th percentile of UnitMem, mean ClassMem, shuffled or not, with points resampled.

    Returns:
        ``layers`` [layers], ``groups`` [groups], ``size`` of each group, ``means``
        [replicates, layers, groups, METRICS].
    """
    rng = np.random.default_rng(seed)
    layers, groups = _unit_layers(measures), _groups(measures, seed)
    means = np.empty((replicates, len(layers), len(groups), len(METRICS)))
    for g, rows in enumerate(groups.values()):
        labels = measures["labels"][rows]
        nothing = 0.0 if (labels >= 0).all() else np.nan
        activations = {
            name: (
                measures[f"views/{name}"][rows].mean(axis=1, dtype=np.float64),
                measures[f"plain/{name}"][rows].astype(np.float64),
            )
            for name in layers
        }
        for i in range(replicates):
            drawn = resample({"row": np.arange(len(rows))}, rng)["row"]
            shuffled = rng.permutation(labels[drawn])
            classes = len(np.unique(shuffled)) > 1
            for k, name in enumerate(layers):
                views, plain = activations[name][0][drawn], activations[name][1][drawn]
                values = units.unitmem(views)
                means[i, k, g] = (
                    values.mean(),
                    np.quantile(values, 1 - TOP),
                    # A resample may hold a single class, which excites no unit more than another does.
                    units.classmem(plain, labels[drawn]).mean() if classes else nothing,
                    units.classmem(plain, shuffled).mean() if classes else nothing,
                )
    size = np.array(len(next(iter(groups.values()))))
    return {"layers": np.array(layers), "groups": np.array(list(groups)), "size": size, "means": means}


def _groups(measures: Arrays, seed: int) -> dict[str, NDArray[np.int64]]:
    """Rows of each group, drawn down to the smallest one's size: a maximum over more points is larger by itself."""
    rng = np.random.default_rng(seed)
    rows = {group: np.flatnonzero(measures["groups"] == group) for group in UNIT_GROUPS}
    size = min(len(r) for r in rows.values())
    drawn = {group: np.sort(rng.choice(r, size, replace=False)) for group, r in rows.items()}
    for group, chosen in drawn.items():
        labels = measures["labels"][chosen]
        if len(np.unique(labels)) < 2 and (labels >= 0).all():
            raise InputError(f"{group} points are of one class: ClassMem compares classes; enlarge datasets.*.split")
    return drawn


def _unit_layers(measures: Arrays) -> list[str]:
    return [str(name) for name in measures["layers"] if f"views/{name}" in measures]


def by_layer(units_table: pd.DataFrame) -> dict[str, NDArray[np.float64]]:
    """UnitMem on candidates by layer, [units]."""
    return _column(units_table, "candidate", "unitmem")


def unit_traits(units_table: pd.DataFrame) -> dict[str, dict[str, NDArray[np.float64]]]:
    """What units can be pruned by, each by layer, [units]: unitmem and activation on candidates, and excess.

    excess(u) = UnitMem on candidates - 1/2 (UnitMem on independent + UnitMem on external images)
    """
    unitmem = {group: _column(units_table, group, "unitmem") for group in UNIT_GROUPS}
    unseen = {name: (unitmem["independent"][name] + unitmem["external"][name]) / 2 for name in unitmem["candidate"]}
    return {
        "unitmem": unitmem["candidate"],
        "excess": {name: values - unseen[name] for name, values in unitmem["candidate"].items()},
        "activation": _column(units_table, "candidate", "activation"),
    }


def _column(units_table: pd.DataFrame, group: str, column: str) -> dict[str, NDArray[np.float64]]:
    """One column of a group by layer, [units]."""
    mine = units_table[units_table["group"] == group]
    return {str(layer): rows[column].to_numpy() for layer, rows in mine.groupby("layer", sort=False)}


def own_layers(points: pd.DataFrame) -> list[str]:
    """Names of the layers proper, in order of depth: those with parameters, no sums or pools."""
    return list(dict.fromkeys(points.loc[points["own"], "layer"]))


def crossed_profile(points: pd.DataFrame) -> tuple[list[str], NDArray[np.float64]]:
    """Layers with parameters of their own and their crossed LayerMem."""
    layers = own_layers(points)
    means = points.groupby(["group", "layer"])["sslmem"].mean()
    crossed = (means["candidate"][layers] - means["independent"][layers]) / 2
    return layers, crossed.to_numpy(dtype=np.float64)
