"""Tables of the results of passes: units, their highest images, layers, points."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import nn

from memloc.data.groups import UNSHARED
from memloc.metrics import alignment, units
from memloc.metrics.stats import Subsampled, bootstrap, permutation_test
from memloc.metrics.tally import Tally
from memloc.models.architectures import Layer
from memloc.scoring.encoders import OpenEncoder
from memloc.scoring.passes import Pass, Result, Settings
from memloc.scoring.stores import others_median
from memloc.scoring.verdict import EFFECTS, corrected

Floats = NDArray[np.float64]
LAYERMEM_RESAMPLES = LAYERMEM_PERMUTATIONS = 1000
"""Of the images, for LayerMem's intervals and p-values."""
FAINT = 0.1
"""Strength below which a unit is faint."""
TIED = 1e-6
"""Activations that differ by less than this share of the highest are tied with it."""


def unit_table(
    task: Pass,
    settings: Settings,
    result: Result,
    *,
    external: Result | None = None,
    untrained: Result | None = None,
) -> pd.DataFrame:
    """UnitMem of every unit and the images that excite it most; ClassMem and nulls if they were measured.

    A unit's strength is its highest activation over the median of those of its layer, of units neither dead nor signed.
    """
    tally = _tally(result)
    highest, others = _highest(tally, result, settings)
    names = task.images.names
    dead = (highest == 0) & (tally.lowest == 0)
    signed = tally.lowest < 0
    strength = np.full(len(highest), np.nan)
    for span in task.spans().values():
        alive = np.flatnonzero(~(dead | signed)[span]) + span.start
        if len(alive):
            strength[alive] = highest[alive] / np.median(highest[alive])
    owner, runner_up = tally.top_ids[0], tally.top_ids[1]
    table = pd.DataFrame(
        {
            "layer": [name for name, span in task.spans().items() for _ in range(span.stop - span.start)],
            "unit": np.concatenate([np.arange(span.stop - span.start) for span in task.spans().values()]),
            "status": np.select([signed, dead, strength < FAINT], ["signed", "dead", "faint"], "ok"),
            "strength": strength,
            "unitmem": _score(tally, highest, others, settings),
            "highest": highest,
            "others": others,
            "owner": np.where(dead, -1, owner),
            "owner_image": ["" if d else names[o] for o, d in zip(owner, dead, strict=True)],
            "runner_up": tally.top[1],
            "runner_up_image": ["" if d else names[o] for o, d in zip(runner_up, dead, strict=True)],
            "tied": np.where(dead, 0, (tally.top >= highest - TIED * np.abs(highest)).sum(axis=0)),
        }
    )
    if result.classes is not None:
        memory, best, null, p = _classmem(result, settings)
        table["classmem"], table["classmem_shuffled"], table["classmem_p"] = memory, null, p
        table["top_class"] = ["" if d else task.images.classes[int(c)] for c, d in zip(best, dead, strict=True)]
    if external is not None:
        if external.classes is not None:
            table["class_selectivity"] = _classmem(external, settings)[0]
        below = signed.copy()
        nulls = {}
        for name, side in (("unitmem_matched", result), ("unitmem_external", external)):
            matched = _matched(side)
            subset = side.task.matched if side.matched is not None else None
            nulls[name] = _score(matched, *_highest(matched, side, settings, subset), settings)
            below |= matched.lowest < 0
        if untrained is not None:
            fresh = _tally(untrained)
            nulls["unitmem_untrained"] = _score(fresh, *_highest(fresh, untrained, settings), settings)
            below |= fresh.lowest < 0
        # The same units in all columns: a unit may go below 0 on some of these images only.
        for name, values in nulls.items():
            table[name] = np.where(below, np.nan, values)
        table["excess"] = table["unitmem_matched"] - table["unitmem_external"]
    return table


def top_table(task: Pass, result: Result) -> pd.DataFrame:
    """The images that excite each unit most, by rank."""
    tally = _tally(result)
    ranks, count = tally.top.shape
    layers = [name for name, span in task.spans().items() for _ in range(span.stop - span.start)]
    numbers = np.concatenate([np.arange(span.stop - span.start) for span in task.spans().values()])
    ids = tally.top_ids.T.ravel()
    table = pd.DataFrame(
        {
            "layer": np.repeat(layers, ranks),
            "unit": np.repeat(numbers, ranks),
            "rank": np.tile(np.arange(1, ranks + 1), count),
            "image": ids,
            "name": [task.images.names[int(i)] if i >= 0 else "" for i in ids],
            "activation": tally.top.T.ravel(),
        }
    )
    return table[table["image"] >= 0].reset_index(drop=True)


def point_table(task: Pass, settings: Settings, f: Mapping[str, Result], g: Mapping[str, Result]) -> pd.DataFrame:
    """SSLMem of every point of every group at every layer (paper, Eqs. 1 and 2)."""
    layers = [layer.name for layer in task.layers]
    rows, groups, pairs = [], [], []
    for group in (group for group in f if group in g):  # External images beside the split are f's alone.
        rows_f, a_f = f[group].aligned()
        rows_g, a_g = g[group].aligned()
        rows.append(np.intersect1d(rows_f, rows_g))
        groups.append(np.full(len(rows[-1]), group, dtype=object))
        pairs.append(np.stack([a_f[np.isin(rows_f, rows_g)], a_g[np.isin(rows_g, rows_f)]]).astype(np.float64))
    # All groups together: with a range for each group, differences between groups would mean nothing.
    a_f, a_g = np.concatenate(pairs, axis=1)
    point, group_of = np.concatenate(rows), np.concatenate(groups)
    halves = alignment.sslmem(a_f, a_g, normalisation=settings.normalisation)
    whole = alignment.sslmem(a_f.mean(axis=2), a_g.mean(axis=2), normalisation=settings.normalisation)
    names = np.array(f["candidate"].task.images.names, dtype=object)[point]
    return pd.DataFrame(
        {
            "image": np.repeat(point, len(layers)),
            "name": np.repeat(names, len(layers)),
            "group": np.repeat(group_of, len(layers)),
            "layer": np.tile(layers, len(point)),
            "alignment_f": a_f.mean(axis=2).ravel(),
            "alignment_g": a_g.mean(axis=2).ravel(),
            "sslmem": whole.ravel(),
            "sslmem_choose": halves[..., 0].ravel(),
            "sslmem_score": halves[..., 1].ravel(),
        }
    )


def layer_table(
    task: Pass,
    settings: Settings,
    units_table: pd.DataFrame,
    result: Result,
    *,
    external: Result | None = None,
    untrained: Result | None = None,
    points: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """One row a layer: means over units with intervals over images, and LayerMem by estimator."""
    table = about_layers(task)
    spans = task.spans()
    by_layer = units_table.groupby("layer", sort=False)
    for column, value in (
        ("units", by_layer.size()),
        ("unitmem_p90", by_layer["unitmem"].quantile(0.9)),
    ):
        table[column] = table["layer"].map(value)
    for status in ("dead", "faint", "signed"):
        table[status] = table["layer"].map((units_table["status"] == status).groupby(units_table["layer"]).sum())
    counts = ["units", "dead", "faint", "signed"]
    table[counts] = table[counts].fillna(0).astype(int)
    tallies = {"unitmem": _tally(result)}
    if external is not None:
        tallies |= {"unitmem_matched": _matched(result), "unitmem_external": _matched(external)}
    if untrained is not None:
        tallies["unitmem_untrained"] = _tally(untrained)
    columns = {name: _estimates(tally, units_table[name], spans, settings) for name, tally in tallies.items()}
    inside = columns["unitmem_matched"] if external is not None else {}
    if "unitmem_external" in columns:
        null = columns["unitmem_external"]
        columns["excess"] = {layer: inside[layer].unpaired(null[layer]) for layer in inside.keys() & null.keys()}
    if "unitmem_untrained" in columns:
        null = columns["unitmem_untrained"]
        columns["gain"] = {layer: inside[layer].paired(null[layer]) for layer in inside.keys() & null.keys()}
    for name, estimates in columns.items():
        # Subsets hold the sums that a mean needs; a median has no interval here.
        ends = {
            layer: (np.nan, np.nan) if settings.others == "median" else e.interval() for layer, e in estimates.items()
        }
        table[name] = [float(estimates[x].value) if x in estimates else np.nan for x in table["layer"]]
        table[f"{name}_low"] = [float(ends[x][0]) if x in ends else np.nan for x in table["layer"]]
        table[f"{name}_high"] = [float(ends[x][1]) if x in ends else np.nan for x in table["layer"]]
    for name in ("classmem", "classmem_shuffled", "class_selectivity"):
        if name in units_table:
            table[name] = table["layer"].map(by_layer[name].mean())
            table[f"{name}_low"] = table[f"{name}_high"] = np.nan
    table = table if points is None else _with_layermem(table, settings, points)
    for name in (name for name in EFFECTS if name in table):
        table[f"{name}_holm"] = corrected(table, name)
    return table


def about_layers(task: Pass) -> pd.DataFrame:
    """Name, depth, block and kind of every layer."""
    return pd.DataFrame(
        {
            "layer": [layer.name for layer in task.layers],
            "depth": np.arange(1, len(task.layers) + 1),
            "block": [_block(layer.name) for layer in task.layers],
            "kind": [_kind(layer, task.encoder) for layer in task.layers],
        }
    )


def _block(name: str) -> str:
    """The block that a layer is in, by its name up to the first number: layer1.0 of layer1.0.conv2; else its parent."""
    parts = name.split(".")
    numbered = next((i for i, part in enumerate(parts) if part.isdecimal()), None)
    return ".".join(parts[:-1] if numbered is None else parts[: numbered + 1])


def _kind(layer: Layer, encoder: OpenEncoder) -> str:
    """What a layer does: as memloc's own encoders say, or by the type of its module."""
    if layer.kind == "output" or layer in (encoder.layers or ()):
        return layer.kind
    module = encoder.module.get_submodule(layer.name.partition("#")[0])
    if isinstance(module, nn.Linear):
        return "fully-connected"
    if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d)):
        return "depthwise convolution" if module.groups == module.in_channels > 1 else "convolution"
    name = type(module).__name__
    return "attention" if "attention" in name.lower() else name


def _with_layermem(table: pd.DataFrame, settings: Settings, points: pd.DataFrame) -> pd.DataFrame:
    samples = {}
    for group, rows in points.groupby("group", sort=False):
        wide = rows.pivot(index="image", columns="layer", values="sslmem")[table["layer"].tolist()]
        samples[str(group)] = wide.to_numpy(dtype=np.float64)
    empty = np.zeros((0, len(table)))
    # Increments are between layers on the main path through the encoder: sums and side branches have none.
    side = table["layer"].str.contains("downsample|shortcut", regex=True)
    main = np.flatnonzero((table["units"] > 0) & ~side)

    def steps(profile: Floats) -> Floats:
        out = np.full_like(profile, np.nan)
        out[..., main] = alignment.increments(profile[..., main])
        return out

    needs = {"published": (), "external-corrected": ("external",), "crossed": ("independent",)}
    for estimator, groups in needs.items():
        if "candidate" not in samples or not {*groups} <= {*samples}:
            continue
        sample = {group: samples[group] for group in ("candidate", *groups)}

        def profile(resample: Mapping[str, NDArray[np.float64]], estimator: str = estimator) -> Floats:
            return alignment.layermem(*(resample.get(group, empty) for group in UNSHARED), estimator=estimator)

        layermem = bootstrap([sample], profile, resamples=LAYERMEM_RESAMPLES, seed=settings.seed)
        for name, estimate in (
            (f"layermem_{estimator}", layermem),
            (f"increment_{estimator}", layermem.map(steps)),
        ):
            low, high = estimate.interval()
            table[name], table[f"{name}_low"], table[f"{name}_high"] = estimate.value, low, high
        for group in groups:
            table[f"layermem_{estimator}_p"] = permutation_test(
                samples["candidate"], samples[group], permutations=LAYERMEM_PERMUTATIONS, seed=settings.seed
            )[0]
    return table


def _tally(result: Result) -> Tally:
    if result.tally is None:
        raise ValueError(f"{result.task.name} tallied no units")
    return result.tally


def _matched(result: Result) -> Tally:
    return _tally(result) if result.matched is None else result.matched


def _highest(
    tally: Tally, result: Result, settings: Settings, subset: NDArray[np.int64] | None = None
) -> tuple[Floats, Floats]:
    highest, others = tally.highest()
    return (highest, others_median(result.stores, subset)) if settings.others == "median" else (highest, others)


def _score(tally: Tally, highest: Floats, others: Floats, settings: Settings) -> Floats:
    """UnitMem; nan where activations are negative, for which the ratio has no meaning."""
    return np.where(tally.lowest < 0, np.nan, units.contrast(highest, others, dead=settings.dead))


def _classmem(result: Result, settings: Settings) -> tuple[Floats, NDArray[np.int64], Floats, Floats]:
    """ClassMem, the class that excites each unit most, the mean of ClassMem under shuffled labels, and p by them."""
    assert result.classes is not None
    scores, best = [], np.zeros(0, dtype=np.int64)
    for number, (present, means) in enumerate(result.classes.means()):
        if len(present) < 2:  # No image of the other classes could be read.
            value = np.full(means.shape[1], np.nan)
        else:
            value = units.unitmem(np.clip(means, 0, None), others=settings.others, dead=settings.dead)
        scores.append(np.where((means < 0).any(axis=0), np.nan, value))
        if number == 0:
            best = present[means.argmax(axis=0)]
    if len(scores) == 1:
        return scores[0], best, np.full_like(scores[0], np.nan), np.full_like(scores[0], np.nan)
    reached = (1 + (np.stack(scores[1:]) >= scores[0]).sum(axis=0)) / len(scores)
    return scores[0], best, np.mean(scores[1:], axis=0), np.where(np.isnan(scores[0]), np.nan, reached)


def _estimates(
    tally: Tally, values: pd.Series[float], spans: Mapping[str, slice], settings: Settings
) -> dict[str, Subsampled]:
    """By layer, mean UnitMem of its units, over all points and over subsets; nothing if no unit has a value."""
    halves = units.contrast(*tally.halves(), dead=settings.dead)
    out = {}
    for layer, span in spans.items():
        unitmem = values.to_numpy(dtype=np.float64)[span]
        scored = ~np.isnan(unitmem)
        if scored.any():
            # A subset without any of the images kept for a unit has no value of it.
            subsets = np.where(np.isnan(halves[..., span]), unitmem, halves[..., span])[..., scored]
            out[layer] = Subsampled(float(unitmem[scored].mean()), subsets.mean(axis=-1))
    return out
