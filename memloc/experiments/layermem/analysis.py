"""LayerMem by layer, in three estimators, and of the most and least memorized points (paper, Tables 1 and 18)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc.analysis import dots, plotting
from memloc.analysis.claims import Claim
from memloc.analysis.halves import Memorized, choices, memorized
from memloc.analysis.inputs import (
    PERMUTATIONS,
    Quotes,
    dealt_layermem,
    forms,
    images_of_groups,
    sslmem_of_groups,
    wide,
)
from memloc.analysis.sheet import Sheet
from memloc.data.groups import CANDIDATE_AND_NULL
from memloc.measuring.points import own_layers
from memloc.metrics.alignment import ESTIMATORS, extremes, increments
from memloc.metrics.pairs import dealt_sums
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
        images, every = images_of_groups(seeds), memorized(sheet, encoder)
        chosen = [_extremes(choice, size) for choice in choices(seeds, every)]
        samples = [_sample(*of_seed, by_class=images is not None) for of_seed in zip(seeds, chosen, strict=True)]
        if images is not None:
            images = [of | extremes_of for of, extremes_of in zip(images, chosen, strict=True)]
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
            groups = _Groups(seeds, chosen, own, size, every)
            _find_groups(sheet, encoder, {name: series[name][proper] for name in EXTREMES}, groups)
            n, null = len(samples[0]["candidate"]), dealt_layermem(seeds, own)
            sheet.find_rise("rises", encoder, series["crossed"][proper], n=n, null=null)


def _find(
    sheet: Sheet, encoder: str, own: list[str], series: dict[str, Estimate], rise: Estimate, samples: Sequence[Sample]
) -> None:
    """Effects of the claims, from series and increments over the layers proper."""
    n = len(samples[0]["candidate"])
    crossed, places = series["crossed"], [f"layer {name}" for name in own]
    sheet.find("last", encoder, crossed[-1], n)
    sheet.find("last-over-first", encoder, crossed[-1] - crossed[0], n)
    sheet.find_in_every("every-increment", encoder, rise[1:], places[1:], n=n)
    earlier = rise.map(lambda v: v[..., 1:-1] - v[..., -1:])
    sheet.find_in_any("not-last", encoder, earlier, places[1:-1], n=n)


Extremes = Mapping[str, NDArray[np.int64]]
"""The most and least memorized points of each group, by name in a sample."""


@dataclass(frozen=True)
class _Groups:
    """What claims about the most and least memorized points are made of.

    Attributes:
        seeds: scores of points.
        chosen: of each seed.
        own: names of the layers proper.
        size: of a group of extremes.
        every: by which they were chosen, None where by SSLMem of the same seed.
    """

    seeds: Sequence[pd.DataFrame]
    chosen: Sequence[Extremes]
    own: Sequence[str]
    size: int
    every: Memorized | None

    def dealt(self, group: str) -> NDArray[np.float64]:
        """Most minus least memorized of a group if they are dealt anew within classes, [deals, layers]."""
        scores, weights, labels = [], [], []
        for points, chosen in zip(self.seeds, self.chosen, strict=True):
            table = wide(points, group, "sslmem_score")[list(self.own)]
            most, least = (np.isin(table.index, chosen[f"{kind} {group}"]) for kind in ("most", "least"))
            scores.append(table.to_numpy())
            weights.append((most.astype(np.float64) - least) / self.size)
            labels.append(points.drop_duplicates("point").set_index("point").loc[table.index, "label"].to_numpy())
        return dealt_sums(np.stack(scores), np.stack(weights), np.stack(labels), deals=PERMUTATIONS, seed=0)


def _find_groups(sheet: Sheet, encoder: str, series: Mapping[str, Estimate], groups: _Groups) -> None:
    """Findings on the most and least memorized points.

    Where one seed's own scores choose, most are above least whatever is dealt, so that there is no exact test.

    Args:
        series: EXTREMES over the layers proper.
    """
    gap = series["most memorized"] - series["least memorized"]
    excess = (gap - (series["most, external"] - series["least, external"]))[-1]
    null, of_last, reliability = None, None, np.nan
    if groups.every is not None:
        candidate, external = (groups.dealt(group) for group in CANDIDATE_AND_NULL)
        null, of_last = candidate.T, (candidate - external)[:, -1]
        reliability = groups.every.reliability(len(groups.seeds) - 1)
    sheet.find("groups-excess", encoder, excess, groups.size, null=of_last, reliability=reliability)
    places = [f"layer {name}" for name in groups.own]
    sheet.find_in_every("groups", encoder, gap, places, n=groups.size, null=null, reliability=reliability)


def _sample(points: pd.DataFrame, chosen: Extremes, *, by_class: bool) -> dict[str, NDArray[np.float64]]:
    """SSLMem [points, layers] of each group, and of extremes on the half of the draws that did not choose them."""
    sample = sslmem_of_groups(points, by_class=by_class)
    for name, of in chosen.items():
        sample[name] = wide(points, name.split()[1], "sslmem_score").loc[of].to_numpy()
    return sample


def _extremes(choice: Mapping[str, pd.Series], size: int) -> dict[str, NDArray[np.int64]]:
    """The most and least memorized points of each group."""
    out = {}
    for group, scores in choice.items():
        for kind, rows in zip(("most", "least"), extremes(scores.to_numpy(), size), strict=True):
            out[f"{kind} {group}"] = scores.index.to_numpy()[rows]
    return out


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
        c.set(title="As published: more than\non images never seen?", ylabel="mean SSLMem")
        d.set(title="Do the most memorized\nimages exceed chance?", ylabel="SSLMem, most minus least")
    names = {
        "crossed": "crossed",
        "published": "as published: trained on",
        "external images": "never seen",
        "candidate": "trained on",
    }
    plotting.key(figure, {name: plotting.COLOURS[series] for series, name in names.items()})
    return figure
