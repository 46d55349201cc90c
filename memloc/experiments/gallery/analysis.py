"""The most memorizing units of each layer and the images that own them; how few images those are (paper, Table 12)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc.analysis import plotting
from memloc.analysis.claims import Claim, Finding
from memloc.analysis.inputs import rows_of, unit_activations
from memloc.analysis.sheet import Sheet
from memloc.measuring.units import TOP
from memloc.metrics.stats import Sample, bootstrap
from memloc.metrics.units import owners, unitmem
from memloc.streams import generator

CLAIMS = {
    "few-owners": Claim(
        "A few images own the most memorizing units: distinct owners of the last layer's top 10 % of units, as a share "
        "of these, that independent choices among all images would give, minus the share found",
        "Table 12",
        # 10, 2, 1, 1 and 1 points own 1, 2, 3, 4 and 5: 15 owners of 26; among 5,000 points chance makes 25.9.
        0.42,
        "ResNet9, SimCLR, CIFAR10; 15 owners of 26 units, 5,000 candidates",
    ),
    "few-owners-excess": Claim(
        "Images trained on own more units each than images never seen: that difference, candidates minus external "
        "images",
    ),
}
GROUPS = ("candidate", "external")
PLACES = 3
"""Images shown of each unit: the owner and the runners-up."""
RESAMPLES = 500
"""Each finds the owners of all units anew; the intervals are of shares, which more resamples change little."""
SETTINGS = ("layers",)
"""Arrays that are the same in all seeds."""


def analyse(sheet: Sheet) -> None:
    """The top units of the first seed with their images, and how few owners the top units of all seeds have."""
    inputs, options = sheet.inputs, sheet.options
    (encoder,) = inputs.encoders()
    seeds = [_groups(measures, seed) for seed, measures in enumerate(inputs.arrays("measures", encoder, same=SETTINGS))]
    layers, begins = seeds[0][1], seeds[0][2]
    samples = [sample for sample, *_ in seeds]
    fewer = bootstrap(
        [{group: sample[group][0] for group in GROUPS} for sample in samples],
        lambda s: np.stack([too_few_owners(s[group], begins) for group in GROUPS]),
        replicates=min(RESAMPLES, options["replicates"]),
        seed=0,
        limit=1,
    )
    excess = fewer[0] - fewer[1]
    tables = [_top_units(samples[0], layers, begins, options["units"])]
    tables += [rows_of(fewer[g], layers, series=f"too few owners, {group}") for g, group in enumerate(GROUPS)]
    tables.append(rows_of(excess, layers, series="excess"))
    n = len(samples[0]["candidate"][0])
    findings = [
        Finding("few-owners", encoder, fewer[0, -1], n),
        Finding("few-owners-excess", encoder, excess[-1], n),
    ]
    sheet.add(pd.concat(tables, ignore_index=True).assign(encoder=encoder))
    sheet.findings += findings


def _groups(
    measures: Sample, seed: int
) -> tuple[dict[str, tuple[NDArray[np.float64], NDArray[np.int64]]], list[str], NDArray[np.int64]]:
    """Activations and points of each group, drawn down to equal sizes; layers and the column each begins at."""
    rows = {group: np.flatnonzero(measures["groups"] == group) for group in GROUPS}
    size = min(map(len, rows.values()))
    out = {}
    for group, mine in rows.items():
        drawn = np.sort(generator("gallery", seed, group).choice(mine, size, replace=False))
        layers, mu, begins = unit_activations(measures, drawn)
        out[group] = (mu, measures["points"][drawn])
    return out, layers, begins


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
    sample: dict[str, tuple[NDArray[np.float64], NDArray[np.int64]]],
    layers: list[str],
    begins: NDArray[np.int64],
    count: int,
) -> pd.DataFrame:
    """A row for each top unit on candidates, group and image: the owner is at place 0."""
    score = {group: unitmem(mu) for group, (mu, _) in sample.items()}
    columns = np.split(np.arange(len(score["candidate"])), begins[1:])
    rows = []
    for layer, mine in zip(layers, columns, strict=True):
        best = mine[np.argsort(-score["candidate"][mine], kind="stable")][:count]
        for rank, unit in enumerate(best):
            for group, places in (("candidate", PLACES), ("external", 1)):
                mu, points = sample[group]
                for place, row in enumerate(np.argsort(-mu[:, unit], kind="stable")[:places]):
                    about = {"series": "unit", "layer": layer, "unit": unit - mine[0], "rank": rank, "group": group}
                    what = {"place": place, "point": points[row], "activation": mu[row, unit]}
                    rows.append({**about, **what, "value": score[group][unit]})
    return pd.DataFrame(rows)


def draw(table: pd.DataFrame, images: NDArray[np.uint8]) -> Figure:
    """The units' images, a row a layer; below, how few owners the top units have."""
    shown = table[table["series"] == "unit"].astype(
        {"layer": str, "point": int, "unit": int, "rank": int, "place": int}
    )
    layers = list(dict.fromkeys(shown["layer"]))
    top = 0.5 + 0.56 * len(layers)
    figure, axes = plotting.panels(rows=1, columns=1, width=11, height=top + 2.4)
    axes[0, 0].remove()
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=[top, 2.4]).flat
    _mosaic(above.subplots(), shown, layers, images)
    axis = below.subplots()
    for group in GROUPS:
        mine = table[table["series"] == f"too few owners, {group}"]
        plotting.profile(axis, mine, label=group, dashed=group == "external")
    plotting.zero(axis)
    axis.set(title="owners of the top 10 % of units: chance minus found", xlabel="layer", ylabel="share of units")
    plotting.legend(axis)
    return figure


def _mosaic(axis: Axes, shown: pd.DataFrame, layers: list[str], images: NDArray[np.uint8]) -> None:
    """All thumbnails in one picture: hundreds of axes would take a minute to lay out."""
    side = images.shape[-1]
    step, gap, band = side + side // 16 + 1, side // 4, int(0.45 * side)
    width, height = (PLACES + 1) * step + 2 * gap, side + band
    canvas = np.full((height * len(layers), width * (1 + shown["rank"].max()), 3), 255, dtype=np.uint8)
    row: Any
    for row in shown.itertuples():
        y = height * layers.index(row.layer) + band
        x = width * row.rank + (row.place * step if row.group == "candidate" else PLACES * step + gap)
        # Grey images have one channel for all three.
        canvas[y : y + side, x : x + side] = images[row.point].transpose(1, 2, 0)
        if row.place == 0:
            said = f"unit {row.unit}: {row.value:.2f}" if row.group == "candidate" else f"{row.value:.2f}"
            axis.text(x, y - band / 8, said, fontsize=6, va="bottom")
    axis.imshow(canvas, interpolation="nearest", aspect="equal")
    axis.set_yticks([height * i + band + side / 2 for i in range(len(layers))], layers, fontsize=8)
    axis.set_xticks([])
    axis.grid(visible=False)
    axis.tick_params(length=0)
    for spine in axis.spines.values():
        spine.set_visible(False)
    axis.set_ylabel("layer")
    axis.set_title("most memorizing units: three candidates each | external image", fontsize=9)
