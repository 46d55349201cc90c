"""Score tables of single points and units, made from what ``memloc.measuring.one_pass`` measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memloc.errors import InputError
from memloc.metrics import alignment, atypicality, units
from memloc.metrics.resampled import classmem_of_counts, unitmem_of_counts
from memloc.metrics.stats import resample
from memloc.streams import generator

Arrays = Mapping[str, NDArray[Any]]
UNIT_GROUPS = ("candidate", "independent", "external")
TOP = 0.1
"""Share of a layer's units that counts as its most memorizing."""
THRESHOLDS = (0.3, 0.5, 0.7)
"""UnitMem above which shares of a layer's units are counted."""
SHARES = tuple(f"unitmem_above_{threshold}" for threshold in THRESHOLDS)
UNIT_METRICS = ("unitmem", "unitmem_top", "unitmem_max", *SHARES)
CLASS_METRICS = ("classmem", "classmem_shuffled", "over_classmem")
METRICS = (*UNIT_METRICS, *CLASS_METRICS)
"""What is told of a layer: mean, 90th percentile, maximum and shares of its units' UnitMem; their mean ClassMem, with
shuffled labels, too, and the share of units with UnitMem above ClassMem."""


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


def unit_scores(measures: Arrays, *, shuffles: int, seed: int, others: str = "mean") -> pd.DataFrame:
    """UnitMem and ClassMem of every unit, in each group of images of equal size: one row for each.

    ``classmem_shuffled`` is ClassMem after the labels are permuted, averaged over ``shuffles`` permutations: what
    the metric shows where there is nothing to show. ``owner`` is the point that excites the unit most.

    Args:
        others: what ``unitmem`` compares the highest activation with, the others' mean or median.
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
                        "unitmem": units.unitmem(views, others=others),
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


PERMUTATIONS = 1000
"""Deals of the groups behind a p of excess UnitMem."""


def unit_replicates(
    measures: Arrays, *, replicates: int, seed: int, permutations: int = PERMUTATIONS, others: str = "mean"
) -> dict[str, NDArray[Any]]:
    """METRICS of each layer with points resampled, and what chance makes of the excess UnitMem of candidates.

    f was trained on candidates alone, so where units memorize nothing candidates, independent and external images are
    exchangeable: their groups are dealt anew, at random, and the excess is taken once more.

    Returns:
        ``layers`` [layers], ``groups`` [groups], ``size`` of each group, ``means``
        [replicates, layers, groups, METRICS]; ``dealt`` [permutations, layers] mean UnitMem of the first group minus
        the mean of the others', groups dealt at random.
    """
    rng = np.random.default_rng(seed)
    layers, groups = _unit_layers(measures), _groups(measures, seed)
    means = np.empty((replicates, len(layers), len(groups), len(METRICS)))
    for g, rows in enumerate(groups.values()):
        labels = measures["labels"][rows]
        present, inverse = np.unique(labels, return_inverse=True)
        step = max(1, min(replicates, CHUNK // (len(rows) * len(present))))
        for start in range(0, replicates, step):
            many = min(step, replicates - start)
            drawn, shuffled = (np.empty((many, len(rows)), dtype=np.int64) for _ in range(2))
            for i in range(many):
                drawn[i] = resample({"row": np.arange(len(rows))}, rng)["row"]
                shuffled[i] = rng.permutation(inverse[drawn[i]])
            counts = _counts(drawn, np.zeros_like(drawn), 1, len(rows))[:, 0]
            by_class = _counts(drawn, inverse[drawn], len(present), len(rows))
            by_chance = _counts(drawn, shuffled, len(present), len(rows))
            for k, name in enumerate(layers):
                views = measures[f"views/{name}"][rows].mean(axis=1, dtype=np.float64)
                plain = measures[f"plain/{name}"][rows].astype(np.float64)
                single = unitmem_of_counts(views, counts, others=others)
                classes, chance = (classmem_of_counts(plain, of) for of in (by_class, by_chance))
                labelled = np.stack([classes, chance, single > classes]).mean(axis=-1)
                if (labels < 0).any():
                    labelled = np.full_like(labelled, np.nan)
                means[start : start + many, k, g] = np.stack([*_of_units(single), *labelled], axis=-1)
    size = np.array(len(next(iter(groups.values()))))
    rows = np.concatenate([*groups.values()])
    dealt = _dealt_excess(measures, rows, permutations=permutations, rng=rng, others=others)
    return {"layers": np.array(layers), "groups": np.array(list(groups)), "size": size, "means": means, "dealt": dealt}


CHUNK = 1 << 22
"""Counts in memory at once: of resamples, classes and points."""
DEALS = 1 << 25
"""The same of deals and points."""


def _counts(drawn: NDArray[np.int64], label: NDArray[np.int64], labels: int, points: int) -> NDArray[np.float64]:
    """How often each row of [resamples, draws] has each point with each label: [resamples, labels, points]."""
    cells = labels * points
    flat = (np.arange(len(drawn))[:, None] * cells + label * points + drawn).ravel()
    return np.bincount(flat, minlength=len(drawn) * cells).reshape(-1, labels, points).astype(np.float64)


def _of_units(unitmem: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """What METRICS tell of a layer's UnitMem [..., units]: mean, 90th percentile, maximum and shares."""
    shares = [(unitmem > threshold).mean(axis=-1) for threshold in THRESHOLDS]
    return [unitmem.mean(axis=-1), np.quantile(unitmem, 1 - TOP, axis=-1), unitmem.max(axis=-1), *shares]


def layer_metrics(units_table: pd.DataFrame, metric: str) -> pd.Series:
    """One of METRICS of every layer, from a table of units of one group."""
    by_layer = units_table.groupby("layer", sort=False)
    if metric == "over_classmem":
        above = (units_table["unitmem"] > units_table["classmem"]).where(units_table["classmem"].notna())
        return above.groupby(units_table["layer"], sort=False).mean()
    if metric not in UNIT_METRICS:
        return by_layer[metric].mean()
    place = UNIT_METRICS.index(metric)
    return by_layer["unitmem"].agg(lambda values: float(_of_units(values.to_numpy())[place]))


def _dealt_excess(
    measures: Arrays, rows: NDArray[np.int64], *, permutations: int, rng: np.random.Generator, others: str
) -> NDArray[np.float64]:
    """Excess UnitMem of the first of as many groups as UNIT_GROUPS, all dealt at random: [permutations, layers]."""
    parts = len(UNIT_GROUPS)
    group = np.repeat(np.arange(parts), len(rows) // parts)
    dealt = np.stack([rng.permutation(group).astype(np.int8) for _ in range(permutations)])
    step = max(1, DEALS // len(rows))
    out = np.empty((permutations, len(_unit_layers(measures))))
    for k, name in enumerate(_unit_layers(measures)):
        views = measures[f"views/{name}"][rows].mean(axis=1, dtype=np.float64)
        for some in (slice(start, start + step) for start in range(0, permutations, step)):
            counts = ((dealt[some] == part).astype(np.float64) for part in range(parts))
            first, *rest = (unitmem_of_counts(views, c, others=others).mean(axis=1) for c in counts)
            out[some, k] = first - np.mean(rest, axis=0)
    return out


def resampled_units(
    measures: Arrays, *, replicates: int, seed: int, others: str
) -> Iterator[tuple[str, str, NDArray[np.float64]]]:
    """UnitMem of every unit and of the same over resampled points, layer by layer in each group of equal size.

    Points are drawn alike in every call with groups of the same sizes and the same ``seed``, so that what several
    measures of one split say is paired.

    Yields:
        Group, layer, and [1 + replicates, units]: UnitMem on the points themselves, then on resamples of them.
    """
    for group, rows in _groups(measures, seed).items():
        n, rng = len(rows), generator("resampled_units", seed, group)
        counts = np.ones((1 + replicates, n))
        counts[1:] = rng.multinomial(n, np.full(n, 1 / n), size=replicates)
        for layer in _unit_layers(measures):
            views = measures[f"views/{layer}"][rows].mean(axis=1, dtype=np.float64)
            # Some hundreds at a time: what happens to them on the way stays in the cache.
            parts = np.array_split(counts, 1 + replicates // 500)
            yield group, layer, np.concatenate([unitmem_of_counts(views, part, others=others) for part in parts])


def unit_means(measures: Arrays, *, replicates: int, seed: int, others: str) -> dict[str, NDArray[Any]]:
    """Mean UnitMem of every layer and group.

    Returns:
        ``layers`` [layers], ``groups`` [groups], ``size`` of each group, ``values`` [layers, groups] and, with points
        resampled, ``means`` [replicates, layers, groups]; ``dealt`` as of ``unit_replicates``, the same deals in every
        call with groups of the same sizes and the same ``seed``.
    """
    layers, rows = _unit_layers(measures), np.concatenate([*_groups(measures, seed).values()])
    rng = generator("dealt", seed)
    dealt = _dealt_excess(measures, rows, permutations=PERMUTATIONS, rng=rng, others=others)
    means = np.empty((1 + replicates, len(layers), len(UNIT_GROUPS)))
    for group, layer, values in resampled_units(measures, replicates=replicates, seed=seed, others=others):
        means[:, layers.index(layer), UNIT_GROUPS.index(group)] = values.mean(axis=1)
    about = {"layers": np.array(layers), "groups": np.array(UNIT_GROUPS), "size": np.array(group_size(measures))}
    return {**about, "values": means[0], "means": means[1:], "dealt": dealt}


def group_size(measures: Arrays) -> int:
    """How many images of each group UnitMem is taken on: as many as the smallest group has."""
    return min(int((measures["groups"] == group).sum()) for group in UNIT_GROUPS)


def _groups(measures: Arrays, seed: int) -> dict[str, NDArray[np.int64]]:
    """Rows of each group, drawn down to the smallest one's size: a maximum over more points is larger by itself."""
    rng = np.random.default_rng(seed)
    rows = {group: np.flatnonzero(measures["groups"] == group) for group in UNIT_GROUPS}
    size = group_size(measures)
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

    ``unitmem-unseen`` and ``excess-unseen`` are the same with candidates and external images in each other's place:
    what such choices do without any memorization.
    """
    unitmem = {group: _column(units_table, group, "unitmem") for group in UNIT_GROUPS}

    def excess(of: str, other: str) -> dict[str, NDArray[np.float64]]:
        pairs = {name: (unitmem["independent"][name] + unitmem[other][name]) / 2 for name in unitmem[of]}
        return {name: values - pairs[name] for name, values in unitmem[of].items()}

    return {
        "unitmem": unitmem["candidate"],
        "unitmem-unseen": unitmem["external"],
        "excess": excess("candidate", "external"),
        "excess-unseen": excess("external", "candidate"),
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
