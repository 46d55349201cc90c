"""From what the passes found to tables: units, their highest images, layers, points."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memloc.metrics import alignment, units
from memloc.metrics.stats import Subsampled, bootstrap, permutation_test
from memloc.metrics.tally import Tally
from memloc.scoring.run import Pass, Result, Settings, others_median

Floats = NDArray[np.float64]
PERMUTATIONS = BOOTSTRAP = 1000


def unit_table(
    task: Pass,
    settings: Settings,
    result: Result,
    *,
    external: Result | None = None,
    untrained: Result | None = None,
) -> pd.DataFrame:
    """UnitMem of every unit and the images that excite it most; ClassMem and nulls where they were measured."""
    tally = _tally(result)
    highest, others = _highest(tally, result, settings)
    names = task.images.names
    dead = (highest == 0) & (tally.lowest == 0)
    signed = tally.lowest < 0
    owner, runner_up = tally.top_ids[0], tally.top_ids[1]
    table = pd.DataFrame(
        {
            "layer": [name for name, span in task.spans().items() for _ in range(span.stop - span.start)],
            "unit": np.concatenate([np.arange(span.stop - span.start) for span in task.spans().values()]),
            "status": np.select([signed, dead], ["signed", "dead"], "ok"),
            "unitmem": _score(tally, highest, others, settings),
            "highest": highest,
            "others": others,
            "owner": np.where(dead, -1, owner),
            "owner_image": ["" if d else names[o] for o, d in zip(owner, dead, strict=True)],
            "runner_up": tally.top[1],
            "runner_up_image": ["" if d else names[o] for o, d in zip(runner_up, dead, strict=True)],
        }
    )
    if result.classes is not None:
        memory, best, null = _classmem(result, settings)
        table["classmem"], table["classmem_shuffled"] = memory, null
        table["top_class"] = ["" if d else task.images.classes[int(c)] for c, d in zip(best, dead, strict=True)]
    if external is not None:
        if external.classes is not None:
            table["class_selectivity"] = _classmem(external, settings)[0]
        matched, outside = _matched(result), _matched(external)
        chosen = result.task.matched if result.matched is not None else None
        inside = _score(matched, *_highest(matched, result, settings, chosen), settings)
        chosen = external.task.matched if external.matched is not None else None
        beyond = _score(outside, *_highest(outside, external, settings, chosen), settings)
        nulls = {"unitmem_matched": inside, "unitmem_external": beyond}
        below = signed | (matched.lowest < 0) | (outside.lowest < 0)
        if untrained is not None:
            fresh = _tally(untrained)
            nulls["unitmem_untrained"] = _score(fresh, *_highest(fresh, untrained, settings), settings)
            below |= fresh.lowest < 0
        # The same units on all sides: one may go below 0 on some of these images only.
        for name, values in nulls.items():
            table[name] = np.where(below, np.nan, values)
    return table


def top_table(task: Pass, result: Result) -> pd.DataFrame:
    """The images that excite each unit most, from the first rank on."""
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
    for group in f:
        mine, a_f = f[group].aligned()
        others, a_g = g[group].aligned()
        rows.append(np.intersect1d(mine, others))
        groups.append(np.full(len(rows[-1]), group, dtype=object))
        pairs.append(np.stack([a_f[np.isin(mine, others)], a_g[np.isin(others, mine)]]).astype(np.float64))
    # All groups at once: a range must be one for all, or differences between groups would say nothing.
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
    table = pd.DataFrame({"layer": [x.name for x in task.layers], "depth": np.arange(1, len(task.layers) + 1)})
    spans = task.spans()
    by_layer = units_table.groupby("layer", sort=False)
    for column, value in (
        ("units", by_layer.size()),
        ("dead", (units_table["status"] == "dead").groupby(units_table["layer"]).sum()),
        ("signed", (units_table["status"] == "signed").groupby(units_table["layer"]).sum()),
        ("unitmem_p90", by_layer["unitmem"].quantile(0.9)),
    ):
        table[column] = table["layer"].map(value)
    table[["units", "dead", "signed"]] = table[["units", "dead", "signed"]].fillna(0).astype(int)
    tallies = {"unitmem": _tally(result)}
    if external is not None:
        tallies |= {"unitmem_matched": _matched(result), "unitmem_external": _matched(external)}
    if untrained is not None:
        tallies["unitmem_untrained"] = _tally(untrained)
    made = {name: _estimates(tally, units_table[name], spans, settings) for name, tally in tallies.items()}
    both = made["unitmem_matched"] if external is not None else {}
    if "unitmem_external" in made:
        others = made["unitmem_external"]
        made["excess"] = {layer: both[layer].unpaired(others[layer]) for layer in both.keys() & others.keys()}
    if "unitmem_untrained" in made:
        others = made["unitmem_untrained"]
        made["gain"] = {layer: both[layer].paired(others[layer]) for layer in both.keys() & others.keys()}
    for name, estimates in made.items():
        # Parts hold the sums that a mean needs; a median has no interval here.
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
    return table if points is None else _with_layermem(table, settings, points)


def _with_layermem(table: pd.DataFrame, settings: Settings, points: pd.DataFrame) -> pd.DataFrame:
    samples = {}
    for group, mine in points.groupby("group", sort=False):
        wide = mine.pivot(index="image", columns="layer", values="sslmem")[table["layer"].tolist()]
        samples[str(group)] = wide.to_numpy(dtype=np.float64)
    empty = np.zeros((0, len(table)))
    # A layer's predecessor is the one before it on the way through the encoder: sums and side branches have none.
    side = table["layer"].str.contains("downsample|shortcut", regex=True)
    way = np.flatnonzero((table["units"] > 0) & ~side)

    def steps(profile: Floats) -> Floats:
        out = np.full_like(profile, np.nan)
        out[..., way] = alignment.increments(profile[..., way])
        return out

    needs = {"published": (), "external-corrected": ("external",), "crossed": ("independent",)}
    for estimator, groups in needs.items():
        if "candidate" not in samples or not {*groups} <= {*samples}:
            continue
        sample = {group: samples[group] for group in ("candidate", *groups)}

        def profile(drawn: Mapping[str, NDArray[np.float64]], estimator: str = estimator) -> Floats:
            parts = [drawn.get(group, empty) for group in ("candidate", "independent", "external")]
            return alignment.layermem(*parts, estimator=estimator)

        made = bootstrap([sample], profile, replicates=BOOTSTRAP, seed=settings.seed)
        for name, estimate in (
            (f"layermem_{estimator}", made),
            (f"increment_{estimator}", made.map(steps)),
        ):
            low, high = estimate.interval()
            table[name], table[f"{name}_low"], table[f"{name}_high"] = estimate.value, low, high
        for group in groups:
            table[f"layermem_{estimator}_p"] = permutation_test(
                samples["candidate"], samples[group], permutations=PERMUTATIONS, seed=settings.seed
            )[0]
    return table


def _tally(result: Result) -> Tally:
    if result.tally is None:
        raise ValueError(f"{result.task.name} tallied no units")
    return result.tally


def _matched(result: Result) -> Tally:
    return _tally(result) if result.matched is None else result.matched


def _highest(
    tally: Tally, result: Result, settings: Settings, chosen: NDArray[np.int64] | None = None
) -> tuple[Floats, Floats]:
    highest, others = tally.highest()
    return (highest, others_median(result.stores, chosen)) if settings.others == "median" else (highest, others)


def _score(tally: Tally, highest: Floats, others: Floats, settings: Settings) -> Floats:
    """UnitMem; nan where activations are negative, for which the ratio has no meaning."""
    return np.where(tally.lowest < 0, np.nan, units.contrast(highest, others, dead=settings.dead))


def _classmem(result: Result, settings: Settings) -> tuple[Floats, NDArray[np.int64], Floats]:
    """ClassMem, the class that excites each unit most, and ClassMem under shuffled labels."""
    assert result.classes is not None
    scores, best = [], np.zeros(0, dtype=np.int64)
    for number, (present, means) in enumerate(result.classes.means()):
        if len(present) < 2:  # No image of the others could be read.
            value = np.full(means.shape[1], np.nan)
        else:
            value = units.unitmem(np.clip(means, 0, None), others=settings.others, dead=settings.dead)
        scores.append(np.where((means < 0).any(axis=0), np.nan, value))
        if number == 0:
            best = present[means.argmax(axis=0)]
    null = np.mean(scores[1:], axis=0) if len(scores) > 1 else np.full_like(scores[0], np.nan)
    return scores[0], best, null


def _estimates(
    tally: Tally, values: pd.Series[float], spans: Mapping[str, slice], settings: Settings
) -> dict[str, Subsampled]:
    """By layer, mean UnitMem of its units, of all points and of parts of them; none where no unit has a value."""
    halves = units.contrast(*tally.halves(), dead=settings.dead)
    out = {}
    for layer, span in spans.items():
        mine = values.to_numpy(dtype=np.float64)[span]
        known = ~np.isnan(mine)
        if known.any():
            # A part that has none of the kept images of a unit says nothing of it.
            parts = np.where(np.isnan(halves[..., span]), mine, halves[..., span])[..., known]
            out[layer] = Subsampled(float(mine[known].mean()), parts.mean(axis=-1))
    return out
