"""Whether layers, and encoders trained again, memorize the same points (paper, Tables 3 and 28, Figure 13)."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from numpy.typing import NDArray

from memloc.analysis import plotting
from memloc.analysis.claims import Claim, Finding
from memloc.analysis.inputs import PERMUTATIONS, above, random_orders, rises, rows_of, wide
from memloc.analysis.sheet import Sheet
from memloc.measuring.points import own_layers
from memloc.metrics.overlap import chance, kendall, overlap, top
from memloc.metrics.stats import LEVEL, Sample, bootstrap, bootstrap_means, permutation_p, rank_correlation

log = logging.getLogger("memloc")

PAPER = "ResNet9, SimCLR, CIFAR10; top 100 of 5,000, on shared draws"
CLAIMS = {
    "falls": Claim(
        "The further apart two layers, the fewer of their most memorized points are the same: "
        "minus the rank correlation of distance and overlap over pairs of layers",
        "Table 3",
        0.822,
        f"{PAPER}; the nine pairs 1-2, 3-4, 4-5, 5-6, 6-7, 7-8, 1-5, 2-8, 1-8",
    ),
    "near": Claim(
        "Adjacent layers share more of their most memorized points than layers at least 5 apart (or, where there are "
        "fewer, the first and the last): mean overlap, adjacent minus distant",
        "Table 3",
        0.583,
        f"{PAPER}; adjacent but 2-3 against 1-8 and 2-8",
    ),
    "adjacent": Claim(
        "Every two adjacent layers share more of their most memorized points than chance: the weakest excess",
        "Table 3",
        0.66,
        f"{PAPER}; adjacent but 2-3",
    ),
    "tau": Claim(
        "Every two adjacent layers order the candidates alike: the weakest Kendall's tau of their SSLMem, on all draws "
        "(written down after the first results)",
        "Table 3",
    ),
    "tau-excess": Claim(
        "Adjacent layers order candidates more alike than external images: mean of Kendall's tau "
        "(written down after the first results)",
    ),
    "excess": Claim("Adjacent layers share more of their top candidates than of their top external images: mean"),
    "seeds": Claim(
        "Encoders trained on one split memorize the same points more than chance in every layer: the weakest excess",
        "Table 28",
        0.67,
        PAPER,
    ),
    "seeds-rises": Claim(
        "That overlap between encoders rises with depth: rank correlation of layer and overlap",
        "Table 28",
        0.81,
        PAPER,
    ),
    "seeds-excess": Claim(
        "Encoders trained on one split share more of their top candidates than of their top external images: "
        "mean over layers",
    ),
}
GROUPS = ("candidate", "external")
SCORES = ("sslmem", "sslmem_choose", "sslmem_score")
FAR = 5
"""Layers this far apart count as distant."""
THUMBNAILS = 8


def analyse(sheet: Sheet) -> None:
    """Overlap and tau of every pair of layers, overlap by distance and between encoders, and the claims' effects.

    Overlap is of points chosen on one half of the augmentation draws in one layer (or encoder) and on the other half in
    the other: on shared draws an image whose views happen to lie close is high in both. "Same draws" is on all of them.
    """
    inputs, options = sheet.inputs, sheet.options
    size, replicates = options["size"], options["replicates"]
    seeds = {encoder: inputs.tables("points", encoder) for encoder in inputs.encoders()}
    tables, findings = [], []
    for encoder, runs in seeds.items():
        table, found = _between_layers(encoder, runs, size, replicates)
        tables.append(table)
        findings += found
    tables.append(_images(*next(iter(seeds.items())), size))
    alike = _one_split(seeds)
    if not alike:
        log.info("no two encoders share a split and layers: nothing said about overlap between seeds")
    for layers, splits in alike.items():
        table, found = _between_seeds(layers, splits, size, replicates)
        tables.append(table)
        findings += found
    # A gap among names that are all numbers would make numbers of them when the table is read again.
    sheet.add(pd.concat(tables, ignore_index=True).fillna({"other": "none"}))
    sheet.findings += findings


def _between_layers(
    encoder: str, runs: Sequence[pd.DataFrame], size: int, replicates: int
) -> tuple[pd.DataFrame, list[Finding]]:
    layers = own_layers(runs[0])
    first, second = np.triu_indices(len(layers), 1)
    distance = second - first
    samples = []
    for points in runs:
        scores = {group: _scores(points, group, layers) for group in GROUPS}
        taus = {f"{group}, tau": kendall(values[..., 0])[:, first, second] for group, values in scores.items()}
        samples.append(scores | taus)
    n = len(samples[0]["candidate"])
    shared = bootstrap(samples, lambda s: _overlaps(s, size), replicates=replicates, seed=0, limit=1)
    tau = bootstrap_means(
        samples,
        lambda means: np.stack([means[f"{group}, tau"] for group in GROUPS], axis=1),
        replicates=replicates,
        seed=0,
        limit=1,
    )
    names = np.array(layers)
    tables = []
    for g, group in enumerate(GROUPS):
        halves, same = shared[g, 0], shared[g, 1]
        # On two halves a layer overlaps with itself as far as its scores can be told from noise.
        for series, pairs, i, j in (
            (group, halves[np.triu_indices(len(layers))], *np.triu_indices(len(layers))),
            (f"{group}, same draws", same[first, second], first, second),
            (f"{group}, tau", tau[g], first, second),
        ):
            about = {"part": "layers", "other": names[j], "distance": j - i}
            tables.append(rows_of(pairs, names[i].tolist(), encoder=encoder, series=series, **about))
        tables.append(
            rows_of(
                halves[first, second].map(lambda v: _by_distance(v, distance)),
                [str(d) for d in range(1, len(layers))],
                encoder=encoder,
                series=group,
                part="distance",
                distance=range(1, len(layers)),
            )
        )
    tables.append(_chance(encoder, "layers", n, size))
    pairs = shared[:, 0][:, first, second]
    adjacent, far = distance == 1, distance >= min(FAR, len(layers) - 1)
    near, excess = pairs[0][adjacent], pairs[0][adjacent] - pairs[1][adjacent]
    effects = {
        "near": near.map(_mean) - pairs[0][far].map(_mean),
        "excess": excess.map(_mean),
        "tau-excess": (tau[0][adjacent] - tau[1][adjacent]).map(_mean),
    }
    findings = [Finding(claim, encoder, effect, n) for claim, effect in effects.items()]
    falls = pairs[0].map(lambda v: -rank_correlation(distance + np.zeros_like(v), v), limit=1)
    # Pairs share layers, so it is layers that are put into random orders, not pairs.
    orders = random_orders(len(layers), permutations=PERMUTATIONS)
    dealt = shared.value[0, 0][orders[:, first], orders[:, second]]
    null = -rank_correlation(distance + np.zeros_like(dealt), dealt)
    findings.append(Finding("falls", encoder, falls, n, p=float(permutation_p(falls.value, null))))
    places = [f"layers {i} and {j}" for i, j in pairwise(layers)]
    findings.append(Finding.of_every("adjacent", encoder, above(near, size / n), places, n=n))
    findings.append(Finding.of_every("tau", encoder, tau[0][adjacent], places, n=n))
    return pd.concat(tables, ignore_index=True), findings


def _between_seeds(
    layers: Sequence[str], splits: Sequence[Sequence[tuple[str, pd.DataFrame]]], size: int, replicates: int
) -> tuple[pd.DataFrame, list[Finding]]:
    """Overlap of every pair of encoders of a split, averaged over pairs and splits.

    Encoders are taken as they are: points are resampled, alike in all encoders of a split.
    """
    samples = [
        {group: np.stack([_scores(points, group, layers) for _, points in runs], axis=2) for group in GROUPS}
        for runs in splits
    ]

    def pairs(sample: Sample) -> NDArray[np.float64]:
        every = _overlaps(sample, size)
        return np.asarray(every[(..., *np.triu_indices(every.shape[-1], 1))].mean(axis=-1))

    shared = bootstrap(samples, pairs, replicates=replicates, seed=0, limit=1)
    names = list(dict.fromkeys(encoder for runs in splits for encoder, _ in runs))
    counts = " + ".join(str(len(runs)) for runs in splits)
    subject = f"{', '.join(names)}: {counts} encoders of {len(splits)} split{'s' * (len(splits) > 1)}"
    tables = [
        rows_of(shared[g, draws], layers, encoder=subject, series=group + suffix, part="seeds")
        for g, group in enumerate(GROUPS)
        for draws, suffix in enumerate(("", ", same draws"))
    ]
    n = len(samples[0]["candidate"])
    tables.append(_chance(subject, "seeds", n, size))
    candidate, external = shared[0, 0], shared[1, 0]
    places = [f"layer {name}" for name in layers]
    findings = [
        Finding.of_every("seeds", subject, above(candidate, size / n), places, n=n),
        rises("seeds-rises", subject, candidate, n=n),
        Finding("seeds-excess", subject, (candidate - external).map(_mean), n),
    ]
    return pd.concat(tables, ignore_index=True), findings


def _one_split(
    seeds: Mapping[str, Sequence[pd.DataFrame]],
) -> dict[tuple[str, ...], list[list[tuple[str, pd.DataFrame]]]]:
    """By layers, the splits on which several encoders with these layers were trained, and those encoders.

    Encoders were trained on one split if their candidates are the same.
    """
    runs = defaultdict(list)
    for encoder, tables in seeds.items():
        for points in tables:
            candidates = frozenset(points.loc[points["group"] == "candidate", "point"])
            runs[tuple(own_layers(points)), candidates].append((encoder, points))
    alike = defaultdict(list)
    for (layers, _), several in runs.items():
        if len(several) > 1:
            alike[layers].append(several)
    return dict(alike)


def _scores(points: pd.DataFrame, group: str, layers: Sequence[str]) -> NDArray[np.float64]:
    """SSLMem on all draws and on each half, [n, layers, 3]."""
    return np.stack([wide(points, group, score)[list(layers)].to_numpy() for score in SCORES], axis=-1)


def _overlaps(sample: Sample, size: int) -> NDArray[np.float64]:
    """Of each group, overlap on two halves of the draws and on the same draws: [groups, 2, ..., k, k]."""
    out = []
    for group in GROUPS:
        members = top(sample[group], size)
        every, choose, score = (members[..., i] for i in range(len(SCORES)))
        halves = overlap(choose, score, size)
        out.append([(halves + halves.swapaxes(-1, -2)) / 2, overlap(every, every, size)])
    return np.array(out)


def _by_distance(values: NDArray[np.float64], distance: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.stack([values[..., distance == d].mean(axis=-1) for d in range(1, distance.max() + 1)], axis=-1)


def _mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(values.mean(axis=-1))


def _chance(encoder: str, part: str, n: int, size: int) -> pd.DataFrame:
    value, low, high = chance(n, size, level=LEVEL)
    about = {"encoder": encoder, "series": "chance", "part": part, "layer": "all"}
    return pd.DataFrame([{**about, "value": value, "low": low, "high": high}])


def _images(encoder: str, runs: Sequence[pd.DataFrame], size: int) -> pd.DataFrame:
    """The most memorized candidates of the first seed in its first, middle and last layer."""
    layers = own_layers(runs[0])
    scores = wide(runs[0], "candidate", "sslmem")
    tables = []
    for layer in dict.fromkeys((layers[0], layers[len(layers) // 2], layers[-1])):
        best = scores[layer].sort_values(ascending=False, kind="stable").head(min(size, THUMBNAILS))
        about = {"encoder": encoder, "series": "most memorized", "part": "images", "layer": layer}
        tables.append(pd.DataFrame({**about, "place": range(len(best)), "point": best.index, "value": best.to_numpy()}))
    return pd.concat(tables, ignore_index=True)


def draw(table: pd.DataFrame, images: NDArray[np.uint8]) -> Figure:
    """A row an encoder: overlap of layers, its null, overlap by distance. Below: between seeds, and the images."""
    table = table.assign(layer=table["layer"].astype(str), other=table["other"].astype(str))
    parts = {str(part): rows for part, rows in table.groupby("part")}
    encoders = list(dict.fromkeys(parts["layers"]["encoder"]))
    subjects = list(dict.fromkeys(parts["seeds"]["encoder"])) if "seeds" in parts else []
    figure, axes = plotting.panels(rows=1, columns=1, width=16, height=3.6 * len(encoders) + 2.8)
    axes[0, 0].remove()
    upper, lower = figure.subfigures(2, 1, squeeze=False, height_ratios=[3.6 * len(encoders), 2.8]).flat
    for row, encoder in zip(upper.subplots(len(encoders), 4, squeeze=False), encoders, strict=True):
        mine = parts["layers"][parts["layers"]["encoder"] == encoder].set_index("series")
        for axis, group in zip(row, GROUPS, strict=False):
            _heat(axis, mine.loc[group])
        row[0].set_title(f"{encoder}: overlap of top candidates")
        row[1].set_title(f"{encoder}: of top external images")
        curves = parts["distance"][parts["distance"]["encoder"] == encoder].set_index("series")
        _heat(row[2], mine.loc["candidate, tau"], low=-1)
        row[2].set_title(f"{encoder}: Kendall's tau of candidates")
        _curves(row[3], curves, mine.loc["chance"])
        row[3].set(title=f"{encoder}: overlap by distance", xlabel="layers apart", ylabel="overlap")
    strips = lower.subfigures(1, len(subjects) + 1, squeeze=False, width_ratios=[1] * len(subjects) + [1.6]).flat
    for strip, subject in zip(strips, subjects, strict=False):
        axis = strip.subplots()
        mine = parts["seeds"][parts["seeds"]["encoder"] == subject].set_index("series")
        _curves(axis, mine, mine.loc["chance"])
        axis.set(xlabel="layer", ylabel="overlap between seeds")
        axis.set_title(fill(subject, 60), fontsize=8)
    _thumbnails(strips[-1], parts["images"], images)
    return figure


def _heat(axis: Axes, pairs: pd.DataFrame, *, low: float = 0) -> None:
    """A symmetric matrix from its upper half; a layer's tau with itself is left out."""
    layers = list(dict.fromkeys([*pairs["layer"], *pairs["other"]]))
    half = pairs.pivot(index="layer", columns="other", values="value").reindex(index=layers, columns=layers)
    plotting.matrix(axis, half.fillna(half.T), low=low, high=1)
    axis.set(xlabel="layer", ylabel="layer")


def _curves(axis: Axes, curves: pd.DataFrame, level: pd.Series[Any]) -> None:
    """Candidates and the null of external images along an axis, and chance."""
    for group in GROUPS:
        plotting.profile(axis, curves.loc[[group]], label=group, dashed=group == "external")
    axis.axhline(level["value"], color="black", linewidth=0.8, linestyle=":", label="chance")
    axis.axhspan(level["low"], level["high"], color="black", alpha=0.06, linewidth=0)
    axis.set_ylim(0, 1)
    plotting.legend(axis)


def _thumbnails(strip: SubFigure, chosen: pd.DataFrame, images: NDArray[np.uint8]) -> None:
    layers = list(dict.fromkeys(chosen["layer"]))
    strip.suptitle(f"{chosen['encoder'].iloc[0]}: most memorized candidates of a layer, first seed", fontsize=9)
    for row, layer in zip(strip.subplots(len(layers), THUMBNAILS, squeeze=False), layers, strict=True):
        points = chosen.loc[chosen["layer"] == layer, "point"].astype(int).tolist()
        for axis, point in zip(row, points, strict=False):
            plotting.thumbnail(axis, images[point], f"layer {layer}" if axis is row[0] else "")
        for axis in row[len(points) :]:
            axis.axis("off")
