"""Frameworks against one another: LayerMem by layer and UnitMem of the last (paper, Tables 4, 29, 31, Figure 12)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc.analysis import plotting
from memloc.analysis.claims import Claim, Finding
from memloc.analysis.inputs import (
    EXTERNAL,
    Inputs,
    Profiles,
    above,
    equivalent,
    paired_profiles,
    profile_correlations,
    rows_of,
)
from memloc.analysis.sheet import Sheet
from memloc.measuring.units import by_layer
from memloc.metrics.stats import Sample, bootstrap, ks_distance, rank_correlation

CORRELATION, SHARE, DISTANCE = 0.9, 1 / 6, 0.2
CLAIMS = {
    "shape": Claim(
        "Frameworks memorize in the same layers: rank correlation of their crossed profiles minus .9 (own threshold)",
        "Tables 4, 29 and 31",
    ),
    "height": Claim(
        "Frameworks memorize as much: a sixth of the first one's crossed LayerMem in the last layer (own margin, "
        ".05 of the paper's; at first .05, more than our effects) minus the profiles' difference, in every layer",
        "Tables 4, 29 and 31",
    ),
    "units": Claim(
        "Frameworks' units memorize alike: .2 (own threshold) minus the Kolmogorov-Smirnov distance of UnitMem in the "
        "last layer",
        "Figure 12",
    ),
}
PUBLISHED = {
    frozenset({"simclr", "dino"}): (
        "ResNet50, ImageNet; published LayerMem; 1 - .9, and a sixth of .304 minus .006",
        {"shape": 0.1, "height": 0.0447},
    ),
    frozenset({"mae", "dino"}): (
        "ViT-Base, ImageNet; published LayerMem; 1 - .9, and a sixth of .271 minus .004",
        {"shape": 0.1, "height": 0.0412},
    ),
}
"""The paper's effects by pair of frameworks (Table 4)."""
PAIRS = ("rank correlation", "largest difference", "distance of UnitMem")


def analyse(sheet: Sheet) -> None:
    """Profiles and units of every framework, and every pair's correlation, differences and distance."""
    inputs, options = sheet.inputs, sheet.options
    found = paired_profiles(inputs, replicates=options["replicates"], normalisation=options["normalisation"])
    crossed, places = found.series["crossed"], [f"layer {name}" for name in found.layers]
    correlation = profile_correlations(crossed)
    last, units = last_units(inputs, found.layers)
    distances = bootstrap(units, _distances, replicates=options["replicates"], seed=0, limit=1)
    tables, findings = [found.rows(), *_every_unit(units, last), *_between_seeds(found, units, last)], []
    for pair, (i, j) in enumerate(combinations(range(len(found.encoders)), 2)):
        a, b = found.encoders[i], found.encoders[j]
        about, subject = {"encoder": a, "other": b}, f"{a} and {b}"
        difference, margin = crossed[i] - crossed[j], crossed[i, -1].scaled(SHARE)
        apart = rows_of(difference, found.layers, **about, series="difference")
        most = int(np.argmax(np.abs(difference.value)))
        # The largest of several differences is above 0 by noise alone: no interval of its own.
        largest = {**about, "series": PAIRS[1], "layer": found.layers[most], "value": abs(difference.value[most])}
        tables += [
            apart,
            pd.DataFrame([largest]),
            rows_of(correlation[i, [j]], ["all"], **about, series=PAIRS[0]),
            rows_of(distances[[pair]], [last], **about, series=PAIRS[2]),
        ]
        near = distances[pair].map(lambda v: DISTANCE - v, limit=1)
        names = frozenset(inputs.about[encoder]["framework"] for encoder in (a, b))
        scale, effects = PUBLISHED.get(names, ("", {}))
        several = [
            Finding("shape", subject, above(correlation[i, j], CORRELATION), found.points),
            equivalent("height", subject, difference, places, margin=margin, n=found.points),
            Finding("units", subject, near, len(units[0][a])),
        ]
        findings += [replace(found_, value=effects.get(found_.claim, np.nan), scale=scale) for found_ in several]
    sheet.add(pd.concat(tables, ignore_index=True))
    sheet.findings += findings


def last_units(inputs: Inputs, layers: Sequence[str]) -> tuple[str, list[dict[str, NDArray[np.float64]]]]:
    """The last of the layers that has units and, for each seed, UnitMem [units] there on candidates, by encoder."""
    encoders = inputs.encoders()
    seeds = list(zip(*([by_layer(t) for t in inputs.tables("units", e)] for e in encoders), strict=True))
    last = [name for name in layers if name in seeds[0][0]][-1]
    return last, [{e: held[last] for e, held in zip(encoders, seed, strict=True)} for seed in seeds]


def _distances(sample: Sample) -> NDArray[np.float64]:
    return np.array([ks_distance(a, b) for a, b in combinations(sample.values(), 2)])


def _every_unit(seeds: list[dict[str, NDArray[np.float64]]], layer: str) -> list[pd.DataFrame]:
    return [
        pd.DataFrame({"encoder": encoder, "series": "unit", "layer": layer, "value": values, "run": run})
        for run, sample in enumerate(seeds)
        for encoder, values in sample.items()
    ]


def _between_seeds(found: Profiles, units: list[dict[str, NDArray[np.float64]]], last: str) -> list[pd.DataFrame]:
    """The same of an encoder's single seeds, mean over pairs of them: what other images and initial weights do."""
    tables = []
    for i, encoder in enumerate(found.encoders):
        pairs = list(combinations(range(len(units)), 2))
        single = found.seeds[:, i]
        means = {
            (PAIRS[0], "all"): [float(rank_correlation(single[s], single[t])) for s, t in pairs],
            (PAIRS[1], "all"): [float(np.abs(single[s] - single[t]).max()) for s, t in pairs],
            (PAIRS[2], last): [ks_distance(units[s][encoder], units[t][encoder]) for s, t in pairs],
        }
        tables += [
            pd.DataFrame(
                [{"encoder": encoder, "other": encoder, "series": name, "layer": layer, "value": np.mean(values)}]
            )
            for (name, layer), values in means.items()
            if values
        ]
    return tables


def draw(table: pd.DataFrame, images: NDArray[np.uint8]) -> Figure:
    """Profiles and units above, a matrix of pairs for each comparison below."""
    encoders = list(dict.fromkeys(table["encoder"]))
    room = 0.15 * max(0, len(encoders) - 6)
    figure, axes = plotting.panels(rows=2, columns=3, width=12 + 3 * room, height=3.2 + room)
    (a, b, c), below = axes
    plotting.encoder_profiles(a, table, "crossed")
    plotting.encoder_profiles(b, table, "published")
    plotting.encoder_profiles(b, table, EXTERNAL, dashed=True)
    units = table[table["series"] == "unit"]
    for encoder, colour in plotting.colours(encoders).items():
        values = np.sort(units.loc[units["encoder"] == encoder, "value"].to_numpy())
        c.step(values, np.arange(1, len(values) + 1) / len(values), where="post", color=colour)
    a.set(title="a  crossed", xlabel="layer", ylabel="LayerMem")
    b.set(title=f"b  as published; dashed: {EXTERNAL}", xlabel="layer", ylabel="LayerMem")
    c.set(
        title=f"c  UnitMem of layer {units['layer'].iloc[0]}, all seeds",
        xlabel="UnitMem",
        ylabel="share of units below",
    )
    for axis in (a, b):
        plotting.zero(axis)
    titles = ("d  rank correlation, crossed", "e  largest difference, crossed", "f  distance of UnitMem")
    for axis, name, title in zip(below, PAIRS, titles, strict=True):
        _pairs(axis, table[table["series"] == name], encoders)
        axis.set_title(title)
    plotting.shared_legend(figure, a)
    return figure


def _pairs(axis: Axes, rows: pd.DataFrame, encoders: list[str]) -> None:
    values = pd.DataFrame(np.nan, index=encoders, columns=encoders)
    for a, b, value in zip(rows["encoder"], rows["other"], rows["value"], strict=True):
        values.loc[a, b] = values.loc[b, a] = value
    name = rows["series"].iloc[0]
    top = max(0.01, float(np.nanmax(values))) if name == PAIRS[1] else 1.0
    plotting.matrix(axis, values, low=-1.0 if name == PAIRS[0] else 0.0, high=top, digits=3 if name == PAIRS[1] else 2)
