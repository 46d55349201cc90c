"""LayerMem by layer, in three estimators, and of the most and least memorized points (paper, Tables 1 and 18)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc.analysis import dots, plotting
from memloc.analysis.claims import Claim
from memloc.analysis.inputs import Quotes, dealt_layermem, forms, images_of_groups, sslmem_of_groups, wide
from memloc.analysis.sheet import Sheet
from memloc.data.groups import CANDIDATE_AND_NULL
from memloc.measuring.points import own_layers
from memloc.metrics.alignment import ESTIMATORS, extremes, increments
from memloc.metrics.stats import Estimate, Sample

CLAIMS = {
    "last": Claim("The last layer memorizes: crossed LayerMem of the last layer", "Table 1"),
    "rises": Claim("LayerMem rises with depth: rank correlation of layer and crossed LayerMem", "Table 1"),
    "last-over-first": Claim(
        "The last layer memorizes more than the first: crossed LayerMem of the last minus the first layer", "Table 1"
    ),
    "every-increment": Claim("LayerMem rises in every layer: the weakest increment of crossed LayerMem", "Table 1"),
    "not-last": Claim(
        "The highest increment is not the last layer's: the strongest earlier increment of crossed LayerMem minus the "
        "last",
        "Table 1",
    ),
    "groups": Claim(
        "The most memorized candidates have higher SSLMem than the least memorized in every layer: the weakest "
        "difference of their means",
        "Table 1",
    ),
    "groups-excess": Claim(
        "In the last layer, the most and the least memorized candidates differ more than external images chosen in the "
        "same way: difference of mean SSLMem between most and least, candidates minus external images",
        "Table 1, with a null",
    ),
}
PAPER = "SimCLR, CIFAR10; published estimator"
PUBLISHED = {
    ("simclr", "resnet9"): Quotes(
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
        ("simclr", f"resnet{depth}"): Quotes(f"ResNet{depth}, {PAPER}", {"last": last, "last-over-first": last - first})
        for depth, first, last in ((18, 0.074, 0.295), (34, 0.037, 0.313), (50, 0.046, 0.335))
    },
}
"""The paper's effects: Table 1, and the first and last convolution of Tables 15 to 17."""
EXTREMES = {
    "most memorized": "most candidate",
    "least memorized": "least candidate",
    "most, external": "most external",
    "least, external": "least external",
}
"""Series of the most and least memorized points, and their arrays in a sample."""
SERIES = (*ESTIMATORS, "external images", *EXTREMES)
GAP = "most minus least"
GROUPS = dict(zip(CANDIDATE_AND_NULL, zip(*[iter(EXTREMES)] * 2, strict=True), strict=True))
"""By group, the series of its most and its least memorized points."""


def analyse(sheet: Sheet) -> None:
    """Profiles of every series over layers, increments, and the claims' effects."""
    size = sheet.options["group_size"]
    for encoder in sheet.encoders:
        seeds = sheet.scores("points", encoder)
        layers, own = list(dict.fromkeys(seeds[0]["layer"])), own_layers(seeds[0])
        images = images_of_groups(seeds)
        samples = [_sample(points, size, by_class=images is not None) for points in seeds]
        if images is not None:
            images = [of | _extreme_images(points, size) for of, points in zip(images, seeds, strict=True)]
        profiles = sheet.means(samples, _profiles, limit=sheet.limit, images=images)
        series = {name: profiles[i] for i, name in enumerate(SERIES)}
        for name, estimate in series.items():
            sheet.profile(estimate, layers, encoder=encoder, series=name)
        for group, kinds in GROUPS.items():
            most, least = (series[kind] for kind in kinds)
            sheet.profile(most - least, layers, encoder=encoder, series=f"{GAP}, {group}")
        proper = np.array([layers.index(name) for name in own])
        rise = series["crossed"][proper].map(increments)
        sheet.profile(rise, own, encoder=encoder, series="increment")
        with sheet.quoting(sheet.inputs.quotes(encoder, PUBLISHED)):
            _find(sheet, encoder, own, {name: estimate[proper] for name, estimate in series.items()}, rise, samples)
            n, null = len(samples[0]["candidate"]), dealt_layermem(seeds, own)
            sheet.find_rise("rises", encoder, series["crossed"][proper], n=n, null=null)


def _find(
    sheet: Sheet, encoder: str, own: list[str], series: dict[str, Estimate], rise: Estimate, samples: Sequence[Sample]
) -> None:
    """Effects of the claims, from series and increments over the layers proper."""
    size, n = sheet.options["group_size"], len(samples[0]["candidate"])
    crossed, places = series["crossed"], [f"layer {name}" for name in own]
    gap = series["most memorized"] - series["least memorized"]
    null = series["most, external"] - series["least, external"]
    sheet.find("last", encoder, crossed[-1], n)
    sheet.find("last-over-first", encoder, crossed[-1] - crossed[0], n)
    sheet.find("groups-excess", encoder, (gap - null)[-1], size)
    sheet.find_in_every("every-increment", encoder, rise[1:], places[1:], n=n)
    earlier = rise.map(lambda v: v[..., 1:-1] - v[..., -1:])
    sheet.find_in_any("not-last", encoder, earlier, places[1:-1], n=n)
    sheet.find_in_every("groups", encoder, gap, places, n=size)


def _sample(points: pd.DataFrame, size: int, *, by_class: bool) -> dict[str, NDArray[np.float64]]:
    """SSLMem [points, layers] of each group; extremes chosen on one half of the draws, scored on the other.

    They are chosen by SSLMem of the encoder's output, as in the paper: the last place measured, after its last sum.
    """
    sample = sslmem_of_groups(points, by_class=by_class)
    for name, (group, rows) in _extremes(points, size).items():
        sample[name] = wide(points, group, "sslmem_score").to_numpy()[rows]
    return sample


def _extremes(points: pd.DataFrame, size: int) -> dict[str, tuple[str, NDArray[np.int64]]]:
    """Group and rows of the most and least memorized points."""
    out: dict[str, tuple[str, NDArray[np.int64]]] = {}
    for group in CANDIDATE_AND_NULL:
        most, least = extremes(wide(points, group, "sslmem_choose").to_numpy()[:, -1], size)
        out |= {f"most {group}": (group, most), f"least {group}": (group, least)}
    return out


def _extreme_images(points: pd.DataFrame, size: int) -> dict[str, NDArray[np.int64]]:
    """Which images the most and least memorized points are."""
    chosen = _extremes(points, size).items()
    return {name: wide(points, group, "sslmem_choose").index.to_numpy()[rows] for name, (group, rows) in chosen}


def _profiles(means: Sample) -> NDArray[np.float64]:
    """SERIES of the means of each group."""
    alone = np.stack([means[name] for name in ("external", *EXTREMES.values())], axis=1)
    return np.concatenate([forms(means), alone], axis=1)


def draw(table: pd.DataFrame, images: NDArray[np.uint8]) -> Figure:
    """Four panels an encoder: crossed LayerMem, its increments, as published, most and least memorized images."""
    encoders = plotting.by_encoder(table)
    columns = 2 if len(encoders) == 1 else 4
    figure, axes = plotting.panels(rows=4 * len(encoders) // columns, columns=columns, height=2.5)
    for (encoder, rows), (a, b, c, d) in zip(encoders.items(), axes.reshape(-1, 4), strict=True):
        rise = rows.loc[["increment"]].dropna(subset=["value"])
        dots.over_layers(a, {"crossed": rows.loc[["crossed"]]})
        dots.over_layers(b, {"crossed": rise}, joined=False)
        dots.over_layers(c, {name: rows.loc[[name]] for name in ("published", "external images")}, joined=False)
        dots.over_layers(d, {group: rows.loc[[f"{GAP}, {group}"]] for group in CANDIDATE_AND_NULL}, joined=False)
        a.set(title=f"{plotting.plain(encoder)}\nWhich layers memorize?", ylabel="crossed LayerMem")
        b.set(title="What does each layer add?", ylabel="increment")
        c.set(title="As published", ylabel="mean SSLMem")
        d.set(title="Extremes beyond chance?", ylabel="SSLMem, most minus least")
    names = {
        "crossed": "crossed",
        "published": "as published: trained on",
        "external images": "never seen",
        "candidate": "trained on",
    }
    plotting.key(figure, {name: plotting.COLOURS[series] for series, name in names.items()})
    return figure
