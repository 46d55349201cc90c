"""The most memorizing units of each layer and the images that own them; how few images those are (paper, Table 12)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc.analysis import plotting
from memloc.analysis.claims import Claim
from memloc.analysis.inputs import unit_activations
from memloc.analysis.sheet import Sheet
from memloc.data.groups import CANDIDATE_AND_NULL
from memloc.measuring.units import TOP
from memloc.metrics.stats import Sample
from memloc.metrics.units import owners, unitmem
from memloc.streams import generator

CLAIMS = {
    "few-owners": Claim(
        "A few images own the most memorizing units: distinct owners of the last layer's top 10 % of units, as a share "
        "of these units, that independent choices among all images would give, minus the observed share",
        "Table 12",
        # 10, 2, 1, 1 and 1 points own 1, 2, 3, 4 and 5: 15 owners of 26; among 5,000 points chance makes 25.9.
        0.42,
        "ResNet9, SimCLR, CIFAR10; 15 owners of 26 units, 5,000 candidates",
    ),
    "few-owners-excess": Claim(
        "Fewer images own the most memorizing units among images trained on than among images never seen: distinct "
        "owners by chance minus observed, as a share of the last layer's top 10 % of units, candidates minus external "
        "images",
    ),
}
PLACES = 3
"""Images shown of each unit: the owner and the runners-up."""
RESAMPLES = 500
"""At most: each finds the owners of all units, and the intervals are of shares, which more resamples change little."""


def analyse(sheet: Sheet) -> None:
    """The top units of the first seed with their images, and how few owners the top units of all seeds have."""
    (encoder,) = sheet.encoders
    measures = sheet.arrays("measures", encoder, same=("layers",))
    layers, _, begins = unit_activations(measures[0], np.arange(1))
    seeds = [_groups(arrays, seed) for seed, arrays in enumerate(measures)]
    fewer = sheet.bootstrap(
        [{name: group.activations for name, group in groups.items()} for groups in seeds],
        lambda sample: np.stack([too_few_owners(sample[group], begins) for group in CANDIDATE_AND_NULL]),
        at_most=RESAMPLES,
        limit=1,
    )
    excess = fewer[0] - fewer[1]
    sheet.add(_top_units(seeds[0], layers, begins, sheet.options["units"]))
    for g, group in enumerate(CANDIDATE_AND_NULL):
        sheet.profile(fewer[g], layers, series=f"too few owners, {group}")
    sheet.profile(excess, layers, series="excess")
    sheet.add_column("encoder", encoder)
    n = len(seeds[0]["candidate"].points)
    sheet.find("few-owners", encoder, fewer[0, -1], n)
    sheet.find("few-owners-excess", encoder, excess[-1], n)


@dataclass(frozen=True)
class _Group:
    """Images of a group.

    Attributes:
        activations: [images, units of all layers].
        points: [images].
    """

    activations: NDArray[np.float64]
    points: NDArray[np.int64]


def _groups(measures: Sample, seed: int) -> dict[str, _Group]:
    """Images of each group, subsets of equal size."""
    rows = {group: np.flatnonzero(measures["groups"] == group) for group in CANDIDATE_AND_NULL}
    size = min(map(len, rows.values()))
    groups = {}
    for group, of_group in rows.items():
        drawn = np.sort(generator("gallery", seed, group).choice(of_group, size, replace=False))
        groups[group] = _Group(unit_activations(measures, drawn)[1], measures["points"][drawn])
    return groups


def too_few_owners(mu: NDArray[np.float64], begins: NDArray[np.int64]) -> NDArray[np.float64]:
    """By how much fewer images own a layer's top units than if every unit had an owner drawn from all of them.

    Of k units and n images, independent draws give n (1 - (1 - 1 / n)^k) distinct owners on average, so

        (1 - (1 - 1 / n)^k) n / k - distinct / k

    Args:
        mu: [n, units of all layers] mean activations; rows that are equal (a resample's) count as one image.
        begins: [layers] first column of each layer.

    Returns:
        [layers]; 0 in a layer that nothing excites.
    """
    n, score, owner = len(mu), unitmem(mu), owners(mu)
    out = []
    for columns in np.split(np.arange(mu.shape[1]), begins[1:]):
        alive = columns[owner[columns] >= 0]
        top = alive[np.argsort(-score[alive], kind="stable")][: max(1, round(TOP * len(alive)))]
        k = max(1, len(top))
        chance = n * (1 - (1 - 1 / n) ** len(top))
        # The first of equal rows is the owner of every unit that any of them owns.
        out.append((chance - len(np.unique(owner[top]))) / k)
    return np.array(out)


def _top_units(
    groups: Mapping[str, _Group], layers: Sequence[str], begins: NDArray[np.int64], count: int
) -> pd.DataFrame:
    """A row for each top unit on candidates, group and image: the owner is at place 0."""
    score = {name: unitmem(group.activations) for name, group in groups.items()}
    columns = np.split(np.arange(len(score["candidate"])), begins[1:])
    rows = []
    for layer, of_layer in zip(layers, columns, strict=True):
        best = of_layer[np.argsort(-score["candidate"][of_layer], kind="stable")][:count]
        for rank, unit in enumerate(best):
            for name, places in (("candidate", PLACES), ("external", 1)):
                activation, points = groups[name].activations[:, unit], groups[name].points
                for place, row in enumerate(np.argsort(-activation, kind="stable")[:places]):
                    about = {"series": "unit", "layer": layer, "unit": unit - of_layer[0], "rank": rank, "group": name}
                    what = {"place": place, "point": points[row], "activation": activation[row]}
                    rows.append({**about, **what, "value": score[name][unit]})
    return pd.DataFrame(rows)


SHOWN_UNITS, SHOWN_LAYERS = 3, 8
"""Most units of a layer, and most layers, whose images the figure has room for."""


def draw(table: pd.DataFrame, images: NDArray[np.uint8]) -> Figure:
    """The units' images, a row a layer; below, how few owners the top units have."""
    shown = table[table["series"] == "unit"].astype(
        {"layer": str, "point": int, "unit": int, "rank": int, "place": int}
    )
    layers = list(dict.fromkeys(shown["layer"]))
    layers = [layers[i] for i in np.unique(np.linspace(0, len(layers) - 1, SHOWN_LAYERS).round().astype(int))]
    shown = shown[shown["layer"].isin(layers) & (shown["rank"] < SHOWN_UNITS)]
    top = 0.5 + 0.72 * len(layers)
    figure, ((axis,),) = plotting.panels(rows=1, columns=1, height=top + 2.2)
    axis.remove()
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=[top, 2.2]).flat
    _mosaic(above.subplots(), shown, layers, images)
    axis = below.subplots()
    for shift, group in zip((-0.08, 0.08), CANDIDATE_AND_NULL, strict=True):
        rows = table[table["series"] == f"too few owners, {group}"]
        plotting.profile(axis, rows, label=group, dashed=group == "external", shift=shift)
    plotting.zero(axis)
    axis.set(title="Do fewer images own the tenth of units of highest UnitMem than by chance?", xlabel="layer")
    axis.set_ylabel("owners missing, of units")
    said = {"candidate": "images trained on", "external": "images never seen"}
    plotting.key(
        figure, {words: plotting.COLOURS[group] for group, words in said.items()}, dashed=["images never seen"]
    )
    return figure


def _mosaic(axis: Axes, shown: pd.DataFrame, layers: list[str], images: NDArray[np.uint8]) -> None:
    """All thumbnails in one picture: hundreds of axes would take a minute to lay out."""
    side = images.shape[-1]
    step, gap, band = side + side // 16 + 1, side // 4, int(0.36 * side)
    width, height = (PLACES + 1) * step + 2 * gap, side + band
    canvas = np.full((height * len(layers), width * (1 + shown["rank"].max()), 3), 255, dtype=np.uint8)
    row: Any
    for row in shown.itertuples():
        y = height * layers.index(row.layer) + band
        x = width * row.rank + (row.place * step if row.group == "candidate" else PLACES * step + gap)
        # Grey images have one channel for all three.
        canvas[y : y + side, x : x + side] = images[row.point].transpose(1, 2, 0)
        if row.place == 0:
            label = f"unit {row.unit}: {row.value:.2f}" if row.group == "candidate" else f"{row.value:.2f}"
            axis.text(
                x,
                y - band / 8,
                label,
                fontsize=plotting.SMALLEST,
                va="bottom",
                color=plotting.COLOURS[row.group],
            )
    axis.imshow(canvas, interpolation="nearest", aspect="equal")
    axis.set_yticks(
        [height * i + band + side / 2 for i in range(len(layers))], [plotting.plain(n, most=12) for n in layers]
    )
    axis.set_xticks([])
    axis.grid(visible=False)
    for spine in axis.spines.values():
        spine.set_visible(False)
    axis.set(title="units of highest UnitMem: the three images trained on that excite each most, and one never seen")
    axis.set_ylabel("layer")
