"""Frameworks against one another: LayerMem by layer and UnitMem of the last (paper, Tables 4, 29, 31, Figure 12)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc.analysis import plotting
from memloc.analysis.claims import Claim
from memloc.analysis.inputs import NONE_QUOTED, Profiles, Quotes, above, profile_correlations
from memloc.analysis.sheet import Sheet
from memloc.measuring.units import by_layer
from memloc.metrics.stats import Estimate, Sample, ks_distance, rank_correlation

CORRELATION, SHARE, DISTANCE = 0.9, 1 / 6, 0.2
CLAIMS = {
    "shape": Claim(
        "Frameworks memorize in the same layers: rank correlation of their crossed LayerMem over layers minus .9 (own "
        "threshold)",
        "Tables 4, 29 and 31",
    ),
    "height": Claim(
        "Frameworks memorize equally much in every layer: a sixth of the first framework's crossed LayerMem in the "
        "last layer (own margin, .05 of the paper's; at first .05, more than our effects) minus the largest difference "
        "of crossed LayerMem",
        "Tables 4, 29 and 31",
    ),
    "units": Claim(
        "Units of the last layer memorize alike in all frameworks: .2 (own threshold) minus the Kolmogorov-Smirnov "
        "distance of their UnitMem",
        "Figure 12",
    ),
}
PUBLISHED = {
    frozenset({"simclr", "dino"}): Quotes(
        "ResNet50, ImageNet; published LayerMem; 1 - .9, and a sixth of .304 minus .006",
        {"shape": 0.1, "height": 0.0447},
    ),
    frozenset({"mae", "dino"}): Quotes(
        "ViT-Base, ImageNet; published LayerMem; 1 - .9, and a sixth of .271 minus .004",
        {"shape": 0.1, "height": 0.0412},
    ),
}
"""The paper's effects by pair of frameworks (Table 4)."""
ByEncoder = dict[str, NDArray[np.float64]]
"""UnitMem [units] by encoder."""
PAIRS = ("rank correlation", "largest difference", "distance of UnitMem")


def analyse(sheet: Sheet) -> None:
    """Profiles and units of every framework, and every pair's correlation, differences and distance."""
    profiles = sheet.paired_layermem()
    last, units = last_units(sheet, profiles.layers)
    sheet.add(profiles.rows())
    for run, sample in enumerate(units):
        for encoder, values in sample.items():
            about = {"encoder": encoder, "series": "unit", "layer": last}
            sheet.add(pd.DataFrame({**about, "value": values, "run": run}))
    for i, encoder in enumerate(profiles.encoders):
        _add_between_seeds(sheet, encoder, profiles.seeds[:, i], [sample[encoder] for sample in units], last)
    correlation = profile_correlations(profiles.series["crossed"])
    distances = sheet.bootstrap(units, _distances, limit=1)
    for pair, (i, j) in enumerate(combinations(range(len(profiles.encoders)), 2)):
        near = correlation[i, j], distances[pair]
        _compare(sheet, profiles, (i, j), near, last, units=len(units[0][profiles.encoders[i]]))


def _compare(
    sheet: Sheet, profiles: Profiles, pair: tuple[int, int], near: tuple[Estimate, Estimate], last: str, *, units: int
) -> None:
    """Rows and findings of a pair of frameworks.

    Args:
        near: rank correlation of the profiles, distance of UnitMem.
        last: the last layer that has units.
        units: how many it has.
    """
    (i, j), (correlation, distance) = pair, near
    crossed, layers, n = profiles.series["crossed"], profiles.layers, profiles.points
    a, b = (profiles.encoders[k] for k in pair)
    about, subject = {"encoder": a, "other": b}, f"{a} and {b}"
    difference = crossed[i] - crossed[j]
    sheet.profile(difference, layers, **about, series="difference")
    most = int(np.argmax(np.abs(difference.value)))
    # The largest of several differences is above 0 by noise alone, so it has no interval.
    largest = {"series": PAIRS[1], "layer": layers[most], "value": abs(difference.value[most])}
    sheet.add(pd.DataFrame([{**about, **largest}]))
    sheet.profile(correlation[None], ["all"], **about, series=PAIRS[0])
    sheet.profile(distance[None], [last], **about, series=PAIRS[2])
    names = frozenset(sheet.inputs.about[encoder]["framework"] for encoder in (a, b))
    with sheet.quoting(PUBLISHED.get(names, NONE_QUOTED)):
        sheet.find("shape", subject, above(correlation, CORRELATION), n)
        places, margin = [f"layer {name}" for name in layers], crossed[i, -1].scaled(SHARE)
        sheet.find_equivalent("height", subject, difference, places, margin=margin, n=n)
        sheet.find("units", subject, distance.map(lambda v: DISTANCE - v, limit=1), units)


def _together(encoders: Sequence[Mapping[str, NDArray[np.float64]]]) -> dict[str, NDArray[np.float64]]:
    return {layer: np.concatenate([units[layer] for units in encoders]) for layer in encoders[0]}


def last_units(sheet: Sheet, layers: Sequence[str]) -> tuple[str, list[ByEncoder]]:
    """The last of the layers that has units and, for each seed, UnitMem of its units on candidates."""
    encoders = sheet.encoders
    pairs = (sheet.inputs.by_seed(e, [by_layer(t) for t in sheet.scores("units", e)]) for e in encoders)
    # Units of both encoders of a pair, where both count.
    seeds = list(zip(*([_together(pair) for pair in of_encoder] for of_encoder in pairs), strict=True))
    last = [name for name in layers if name in seeds[0][0]][-1]
    return last, [{e: units[last] for e, units in zip(encoders, seed, strict=True)} for seed in seeds]


def _distances(sample: Sample) -> NDArray[np.float64]:
    return np.array([ks_distance(a, b) for a, b in combinations(sample.values(), 2)])


def _add_between_seeds(
    sheet: Sheet, encoder: str, profiles: NDArray[np.float64], units: Sequence[NDArray[np.float64]], last: str
) -> None:
    """The comparisons of PAIRS between single seeds of one encoder, mean over pairs: what noise and other images do.

    Args:
        profiles: [seeds, layers] crossed LayerMem.
        units: UnitMem of each seed in the last layer that has units.
    """
    pairs = list(combinations(range(len(units)), 2))
    means = {
        (PAIRS[0], "all"): [float(rank_correlation(profiles[s], profiles[t])) for s, t in pairs],
        (PAIRS[1], "all"): [float(np.abs(profiles[s] - profiles[t]).max()) for s, t in pairs],
        (PAIRS[2], last): [ks_distance(units[s], units[t]) for s, t in pairs],
    }
    for (name, layer), values in means.items():
        if values:
            about = {"encoder": encoder, "other": encoder, "series": name, "layer": layer}
            sheet.add(pd.DataFrame([{**about, "value": np.mean(values)}]))


def draw(table: pd.DataFrame, images: NDArray[np.uint8]) -> Figure:
    """A panel a framework with the first's profile dotted; below, every pair, and seeds of one framework (hollow)."""
    alone, pairs = table[table["other"].isna()], table[table["other"].notna()]
    keys = list(dict.fromkeys(zip(pairs["encoder"], pairs["other"], strict=True)))
    keys.sort(key=lambda pair: pair[0] == pair[1])
    names = [plotting.plain(f"{a}, {b}" if a != b else f"{a}, its seeds", most=30) for a, b in keys]
    figure, below = plotting.side_by_side(
        plotting.by_encoder(alone),
        {"crossed": "crossed"},
        asks="Do frameworks memorize in the same layers? (dotted: the first framework)",
        label="crossed LayerMem",
        reference=True,
        room=0.19 * len(keys) + 0.8,
    )
    seeds = [a == b for a, b in keys]
    panels = zip(below.subplots(1, len(PAIRS), sharey=True), PAIRS, _PANELS, strict=True)
    for axis, name, (title, least) in panels:
        rows = pairs[pairs["series"] == name].set_index(["encoder", "other"]).reindex(keys)
        colours = [plotting.COLOURS["null" if empty else "effect"] for empty in seeds]
        plotting.forest(axis, rows, names, colours=colours, hollow=seeds, null=None)
        if least is not None:
            axis.axvline(least, color=plotting.INK, linewidth=0.8, linestyle=":", zorder=1)
        axis.set_title(title)
    return figure


_PANELS = (
    ("Same profile? Rank correlation", CORRELATION),
    ("Same LayerMem? Largest difference", None),
    ("Same UnitMem? Distance, last layer", DISTANCE),
)
"""Titles of the panels of PAIRS, and the thresholds of the claims, at which there are dotted lines."""
