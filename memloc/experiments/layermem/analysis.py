"""LayerMem by layer, in three estimators, and of the most and least memorized points (paper, Tables 1 and 18)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc.analysis import plotting
from memloc.analysis.claims import Claim, Finding
from memloc.analysis.inputs import forms, quoted, rises, rows_of, wide
from memloc.analysis.sheet import Sheet
from memloc.measuring.points import own_layers
from memloc.metrics.alignment import ESTIMATORS, extremes, increments
from memloc.metrics.stats import Sample, bootstrap_means

CLAIMS = {
    "last": Claim("The last layer memorizes: its crossed LayerMem is above 0", "Table 1"),
    "rises": Claim("LayerMem rises with depth: rank correlation of layer and crossed LayerMem", "Table 1"),
    "last-over-first": Claim("The last layer memorizes more than the first (crossed)", "Table 1"),
    "every-increment": Claim("LayerMem rises in every layer: the weakest crossed increment", "Table 1"),
    "not-last": Claim(
        "The highest increment is not the last layer's: the strongest earlier crossed increment minus the last",
        "Table 1",
    ),
    "groups": Claim(
        "The most memorized points have higher LayerMem than the least in every layer: the weakest difference",
        "Table 1",
    ),
    "groups-excess": Claim(
        "Last layer: most and least memorized points differ more than the same choice among external images",
        "Table 1, with a null",
    ),
}
PAPER = "SimCLR, CIFAR10; published estimator"
PUBLISHED = {
    ("simclr", "resnet9"): (
        f"ResNet9, {PAPER}",
        {
            "last": 0.308,
            "rises": 1.0,
            "last-over-first": 0.217,
            "every-increment": 0.029,
            "not-last": 0.002,
            "groups": 0.141,
        },
    ),
    **{
        ("simclr", f"resnet{depth}"): (
            f"ResNet{depth}, {PAPER}",
            {"last": last, "last-over-first": last - first},
        )
        for depth, first, last in ((18, 0.074, 0.295), (34, 0.037, 0.313), (50, 0.046, 0.335))
    },
}
"""The paper's effects: Table 1, and the first and last convolution of Tables 15 to 17."""
SERIES = [*ESTIMATORS, "external images", "most memorized", "least memorized", "most, external", "least, external"]

PANELS = (("published", "external images"), ("external-corrected", "crossed"), tuple(SERIES[4:]))


def analyse(sheet: Sheet) -> None:
    """Profiles of every series over layers, increments, and the claims' effects."""
    inputs, options = sheet.inputs, sheet.options
    tables, findings = [], []
    for encoder in inputs.encoders():
        seeds = inputs.tables("points", encoder)
        layers = list(dict.fromkeys(seeds[0]["layer"]))
        samples = [_sample(points, options["group_size"]) for points in seeds]
        # A ratio of distances is at most 1, a distance between unit vectors at most 2.
        limit = {"ratio": 1.0, "none": 2.0, "range": np.inf}[options["normalisation"]]
        profiles = bootstrap_means(samples, _profiles, replicates=options["replicates"], seed=0, limit=limit)
        series = dict(zip(SERIES, (profiles[i] for i in range(len(SERIES))), strict=True))
        own = own_layers(seeds[0])
        main = np.array([layers.index(name) for name in own])
        crossed = series["crossed"][main]
        rising = crossed.map(increments)
        tables += [rows_of(series[name], layers, encoder=encoder, series=name) for name in SERIES]
        tables.append(rows_of(rising, own, encoder=encoder, series="increment"))
        gap = series["most memorized"] - series["least memorized"]
        null = series["most, external"] - series["least, external"]
        n = len(samples[0]["candidate"])
        effects = {
            "last": (crossed[-1], n),
            "last-over-first": (crossed[-1] - crossed[0], n),
            "groups-excess": ((gap - null)[main[-1]], options["group_size"]),
        }
        places = [f"layer {name}" for name in own]
        steps = places[1:]
        earlier = rising.map(lambda v: v[..., 1:-1] - v[..., -1:])
        found = [
            *(Finding(claim, encoder, effect, k) for claim, (effect, k) in effects.items()),
            rises("rises", encoder, crossed, n=n),
            Finding.of_every("every-increment", encoder, rising[1:], steps, n=n),
            Finding.of_any("not-last", encoder, earlier, steps[:-1], n=n),
            Finding.of_every("groups", encoder, gap[main], places, n=options["group_size"]),
        ]
        findings += quoted(inputs, encoder, found, PUBLISHED)
    sheet.add(pd.concat(tables, ignore_index=True))
    sheet.findings += findings


def _sample(points: pd.DataFrame, size: int) -> dict[str, NDArray[np.float64]]:
    """SSLMem [points, layers] of each group; extremes chosen on one half of the draws, scored on the other.

    They are chosen by SSLMem of the encoder's output, as in the paper: the last place measured, after its last sum.
    """
    sample = {group: wide(points, group, "sslmem").to_numpy() for group in ("candidate", "independent", "external")}
    for group in ("candidate", "external"):
        score = wide(points, group, "sslmem_score").to_numpy()
        most, least = extremes(wide(points, group, "sslmem_choose").to_numpy()[:, -1], size)
        sample |= {f"most {group}": score[most], f"least {group}": score[least]}
    return sample


def _profiles(means: Sample) -> NDArray[np.float64]:
    alone = ("external", "most candidate", "least candidate", "most external", "least external")
    return np.concatenate([forms(means), np.stack([means[name] for name in alone], axis=1)], axis=1)


def draw(table: pd.DataFrame, images: NDArray[np.uint8]) -> Figure:
    """Four panels an encoder: as published, corrected, increments, groups; one row each where there are several."""
    encoders = list(dict.fromkeys(table["encoder"]))
    columns = 2 if len(encoders) == 1 else 4
    figure, axes = plotting.panels(rows=4 * len(encoders) // columns, columns=columns, width=4.5 * columns)
    for encoder, panels in zip(encoders, axes.reshape(-1, 4), strict=True):
        mine = table[table["encoder"] == encoder].set_index("series")
        rise = mine.loc["increment"].dropna(subset=["value"])
        a, b, c, d = panels
        for axis, names in zip((a, b, d), PANELS, strict=True):
            for name in names:
                plotting.profile(axis, mine.loc[name], label=name, dashed="external" in name and name not in ESTIMATORS)
            plotting.legend(axis, room=0.3 if axis is d else 0.0)
        plotting.bars(c, rise, colours=[plotting.COLOURS["crossed"]] * len(rise))
        a.set(title=f"a  {encoder}: as published", ylabel="LayerMem")
        b.set(title=f"b  {encoder}: without the offset", ylabel="LayerMem")
        c.set(title=f"c  {encoder}: increment of crossed LayerMem", ylabel="increment")
        d.set(title=f"d  {encoder}: most and least memorized", ylabel="mean SSLMem")
        for axis in (a, b, c, d):
            axis.set_xlabel("layer")
            plotting.zero(axis)
    return figure
