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
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from memloc.analysis import dots, plotting
from memloc.analysis.claims import Claim, p_of
from memloc.analysis.halves import Memorized, crossing, memorized
from memloc.analysis.inputs import above, images_of_groups, wide
from memloc.analysis.sheet import Sheet
from memloc.data.groups import CANDIDATE_AND_NULL
from memloc.measuring.points import own_layers
from memloc.metrics.overlap import chance, kendall, overlap, top
from memloc.metrics.pairs import agreement_of_layers, agreement_within, crossed_mean, gains, reliability, spearman_brown
from memloc.metrics.stats import LEVEL, Estimate, Sample, rank_correlation

log = logging.getLogger("memloc")

PAPER = "ResNet9, SimCLR, CIFAR10; top 100 of 5,000, on shared draws"
CLAIMS = {
    "falls": Claim(
        "The further apart two layers are, the fewer of their most memorized points they share: minus the rank "
        "correlation of distance and overlap over pairs of layers",
        "Table 3",
        0.822,
        f"{PAPER}; the nine pairs 1-2, 3-4, 4-5, 5-6, 6-7, 7-8, 1-5, 2-8, 1-8",
    ),
    "near": Claim(
        "Adjacent layers share more of their most memorized points than layers at least 5 apart (or, in encoders with "
        "fewer layers, the first and the last): mean overlap, adjacent minus distant",
        "Table 3",
        0.583,
        f"{PAPER}; adjacent but 2-3 against 1-8 and 2-8",
    ),
    "adjacent": Claim(
        "Every two adjacent layers share more of their most memorized points than chance: the weakest overlap minus "
        "chance",
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
        "Adjacent layers order candidates more alike than external images: mean Kendall's tau, candidates minus "
        "external images (written down after the first results)",
    ),
    "excess": Claim(
        "Adjacent layers share more of their most memorized candidates than of external images chosen in the same way: "
        "mean overlap, candidates minus external images"
    ),
    "across": Claim(
        "Every two adjacent layers memorize the same images: rank correlation within classes of what one layer "
        "memorizes of an image, mean over pairs, and the other layer in other pairs; the weakest",
        "Table 3, over pairs on complementary halves",
    ),
    "across-near": Claim(
        "Adjacent layers memorize more of the same images than layers at least 5 apart (or, in encoders with fewer "
        "layers, the first and the last): mean rank correlation across pairs, adjacent minus distant",
        "Table 3, over pairs on complementary halves",
    ),
    "shared-noise": Claim(
        "What two adjacent layers have in common is for the most part the noise of one pair of encoders: mean rank "
        "correlation within classes of what they memorize of an image, within a pair minus across pairs",
        "Table 3, over pairs on complementary halves",
    ),
    "seeds": Claim(
        "Encoders trained on one split share more of their most memorized points than chance in every layer: the "
        "weakest overlap minus chance",
        "Table 28",
        0.67,
        PAPER,
    ),
    "seeds-rises": Claim(
        "Encoders trained on one split share more of their most memorized points in deeper layers: rank correlation of "
        "layer and overlap",
        "Table 28",
        0.81,
        PAPER,
    ),
    "seeds-excess": Claim(
        "Encoders trained on one split share more of their most memorized candidates than of external images chosen in "
        "the same way: mean overlap over layers, candidates minus external images",
    ),
}
SCORES = ("sslmem", "sslmem_choose", "sslmem_score")
FAR = 5
"""Layers this far apart count as distant."""
THUMBNAILS = 8
ACROSS, WITHIN = "across pairs", "within a pair"
RESAMPLES = 2000
"""Every one chooses the most memorized images of each layer anew, which takes long."""
DEALS = 1000
"""Deals of membership behind the p of an agreement across pairs."""
NO_OTHER = "none"
"""The other layer where there is none. A gap among names that are all numbers would be read as numbers from a CSV."""


def analyse(sheet: Sheet) -> None:
    """Overlap and tau of every pair of layers, overlap by distance and between encoders, and the claims' effects.

    Overlap is of points chosen on one half of the augmentation draws in one layer (or encoder) and on the other half in
    the other: on shared draws an image whose views happen to be close is high in both. "Same draws" is on all of them.
    All of it has the noise of the same two encoders in both layers. On complementary halves claims are about layers of
    different pairs, therefore.
    """
    seeds = {encoder: sheet.scores("points", encoder) for encoder in sheet.encoders}
    for encoder, runs in seeds.items():
        _between_layers(sheet, encoder, runs)
        if memorized(sheet, encoder) is not None:
            _across_pairs(sheet, encoder, runs)
    first = next(iter(seeds))
    sheet.add(_images(first, seeds[first][0], memorized(sheet, first), sheet.options["size"]))
    alike = _one_split(seeds)
    if not alike:
        log.info("no two encoders share a split and layers: overlap between seeds is left out")
    for layers, splits in alike.items():
        _between_seeds(sheet, layers, splits)


def _between_layers(sheet: Sheet, encoder: str, runs: Sequence[pd.DataFrame]) -> None:
    layers, size = own_layers(runs[0]), sheet.options["size"]
    first, second = np.triu_indices(len(layers), 1)
    samples = []
    for points in runs:
        scores = {group: _scores(points, group, layers) for group in CANDIDATE_AND_NULL}
        taus = {f"{group}, tau": kendall(values[..., 0])[:, first, second] for group, values in scores.items()}
        samples.append(scores | taus)
    n = len(samples[0]["candidate"])
    images = images_of_groups(runs, CANDIDATE_AND_NULL)
    if images is not None:
        images = [of | {f"{group}, tau": points for group, points in of.items()} for of in images]
    shared = sheet.bootstrap(samples, lambda sample: _overlaps(sample, size), at_most=RESAMPLES, limit=1, images=images)
    tau = sheet.means(
        samples,
        lambda means: np.stack([means[f"{group}, tau"] for group in CANDIDATE_AND_NULL], axis=1),
        limit=1,
        images=images,
    )
    _add_pairs(sheet, encoder, layers, shared, tau)
    sheet.add(_chance(encoder, "layers", n, size))
    if memorized(sheet, encoder) is None:
        _find_pairs(sheet, encoder, layers, shared, tau, n=n)


def _across_pairs(sheet: Sheet, encoder: str, runs: Sequence[pd.DataFrame]) -> None:
    """Agreement of every two layers across pairs and within them, reliability by layer, and what is claimed of it."""
    layers = own_layers(runs[0])
    pool = crossing(runs, layers)
    scores = gains(pool.sslmem, pool.inside, pool.labels)
    products, dealt = agreement_of_layers((pool.sslmem, pool.inside, pool.labels), deals=DEALS, seed=0)
    within, single = agreement_within(scores, pool.labels), reliability(scores, pool.labels)
    together = spearman_brown(np.maximum(single.value, 0), np.array(len(runs)))
    names, (i, j) = np.array(layers), np.triu_indices(len(layers))
    about = {"part": "layers", "other": names[j], "distance": j - i}
    sheet.profile(crossed_mean(products[:, :, i, j]), names[i].tolist(), encoder=encoder, series=ACROSS, **about)
    sheet.profile(crossed_mean(within[:, :, i, j]), names[i].tolist(), encoder=encoder, series=WITHIN, **about)
    of_layers = {"part": "reliability", "other": NO_OTHER}
    sheet.profile(single, layers, encoder=encoder, series="one pair", **of_layers)
    sheet.add(pd.DataFrame({"layer": layers, "value": together}), encoder=encoder, series="all pairs", **of_layers)
    i, j = np.triu_indices(len(layers), 1)
    distance = j - i
    adjacent, far = distance == 1, distance >= min(FAR, len(layers) - 1)
    of_two, null = products[:, :, i, j], dealt[:, i, j]
    distances = range(1, len(layers))
    about = {"part": "distance", "other": NO_OTHER, "distance": distances}
    for series, products_of in ((ACROSS, of_two), (WITHIN, within[:, :, i, j])):
        means = np.stack([products_of[..., distance == d].mean(axis=-1) for d in distances], axis=-1)
        sheet.profile(crossed_mean(means), [str(d) for d in distances], encoder=encoder, series=series, **about)
    told: dict[str, Any] = {"n": len(pool.points), "reliability": float(together.min())}
    places = [f"layers {i} and {j}" for i, j in pairwise(layers)]
    every = crossed_mean(of_two[..., adjacent])
    sheet.find_in_every("across", encoder, every, places, null=null[:, adjacent].T, **told)
    apart = (within[:, :, i, j] - of_two)[..., adjacent].mean(axis=-1)
    sheet.find("shared-noise", encoder, crossed_mean(apart), len(pool.points))
    gap, of_null = (v[..., adjacent].mean(axis=-1) - v[..., far].mean(axis=-1) for v in (of_two, null))
    sheet.find("across-near", encoder, crossed_mean(gap), null=of_null, **told)


def _add_pairs(sheet: Sheet, encoder: str, layers: Sequence[str], shared: Estimate, tau: Estimate) -> None:
    """Rows of every pair of layers, and of means by distance.

    Args:
        shared: as of ``_overlaps``.
        tau: [groups, pairs] of two layers.
    """
    names = np.array(layers)
    every = np.triu_indices(len(layers))
    first, second = two = np.triu_indices(len(layers), 1)
    distances = range(1, len(layers))
    for g, group in enumerate(CANDIDATE_AND_NULL):
        # On two halves a layer overlaps with itself as far as its scores can be told from noise.
        for series, pairs, (i, j) in (
            (group, shared[g, 0][every], every),
            (f"{group}, same draws", shared[g, 1][two], two),
            (f"{group}, tau", tau[g], two),
        ):
            about = {"part": "layers", "other": names[j], "distance": j - i}
            sheet.profile(pairs, names[i].tolist(), encoder=encoder, series=series, **about)
        means = shared[g, 0][two].map(
            lambda v: np.stack([v[..., second - first == d].mean(axis=-1) for d in distances], axis=-1)
        )
        about = {"part": "distance", "other": NO_OTHER, "distance": distances}
        sheet.profile(means, [str(d) for d in distances], encoder=encoder, series=group, **about)


def _find_pairs(sheet: Sheet, encoder: str, layers: Sequence[str], shared: Estimate, tau: Estimate, *, n: int) -> None:
    """Findings on pairs of layers; arguments as of ``_add_pairs``."""
    first, second = np.triu_indices(len(layers), 1)
    distance = second - first
    candidate, external = (shared[g, 0][first, second] for g in range(len(CANDIDATE_AND_NULL)))
    adjacent, far = distance == 1, distance >= min(FAR, len(layers) - 1)
    near = candidate[adjacent]
    sheet.find("near", encoder, near.map(_mean) - candidate[far].map(_mean), n)
    sheet.find("excess", encoder, (near - external[adjacent]).map(_mean), n)
    sheet.find("tau-excess", encoder, (tau[0][adjacent] - tau[1][adjacent]).map(_mean), n)
    falls = candidate.map(lambda v: -rank_correlation(distance + np.zeros_like(v), v), limit=1)
    # The interval of a rank correlation over few pairs is too narrow: the slope over distance must fall, too.
    centred = distance - distance.mean()
    sheet.find("falls", encoder, falls, n, p=p_of(candidate.map(lambda v: v @ centred)))
    places = [f"layers {i} and {j}" for i, j in pairwise(layers)]
    sheet.find_in_every("adjacent", encoder, above(near, sheet.options["size"] / n), places, n=n)
    sheet.find_in_every("tau", encoder, tau[0][adjacent], places, n=n)


def _between_seeds(sheet: Sheet, layers: Sequence[str], splits: Sequence[Sequence[tuple[str, pd.DataFrame]]]) -> None:
    """Overlap of every pair of encoders of a split, averaged over pairs and splits.

    Encoders are taken as they are: points are resampled, alike in all encoders of a split.
    """
    size = sheet.options["size"]
    samples = [
        {
            group: np.stack([_scores(points, group, layers) for _, points in runs], axis=2)
            for group in CANDIDATE_AND_NULL
        }
        for runs in splits
    ]

    def pairs(sample: Sample) -> NDArray[np.float64]:
        every = _overlaps(sample, size)
        return np.asarray(every[(..., *np.triu_indices(every.shape[-1], 1))].mean(axis=-1))

    shared = sheet.bootstrap(samples, pairs, limit=1)
    names = list(dict.fromkeys(encoder for runs in splits for encoder, _ in runs))
    counts = " + ".join(str(len(runs)) for runs in splits)
    subject = f"{', '.join(names)}: {counts} encoders of {len(splits)} split{'s' * (len(splits) > 1)}"
    for g, group in enumerate(CANDIDATE_AND_NULL):
        for draws, suffix in enumerate(("", ", same draws")):
            about = {"part": "seeds", "other": NO_OTHER}
            sheet.profile(shared[g, draws], layers, encoder=subject, series=group + suffix, **about)
    n = len(samples[0]["candidate"])
    sheet.add(_chance(subject, "seeds", n, size))
    candidate, external = shared[0, 0], shared[1, 0]
    places = [f"layer {name}" for name in layers]
    sheet.find_in_every("seeds", subject, above(candidate, size / n), places, n=n)
    sheet.find_rise("seeds-rises", subject, candidate, n=n)
    sheet.find("seeds-excess", subject, (candidate - external).map(_mean), n)


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
    for group in CANDIDATE_AND_NULL:
        members = top(sample[group], size)
        every, choose, score = (members[..., i] for i in range(len(SCORES)))
        halves = overlap(choose, score, size)
        out.append([(halves + halves.swapaxes(-1, -2)) / 2, overlap(every, every, size)])
    return np.array(out)


def _mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(values.mean(axis=-1))


def _chance(encoder: str, part: str, n: int, size: int) -> pd.DataFrame:
    value, low, high = chance(n, size, level=LEVEL)
    about = {"encoder": encoder, "series": "chance", "part": part, "other": NO_OTHER, "layer": "all"}
    return pd.DataFrame([{**about, "value": value, "low": low, "high": high}])


def _images(encoder: str, points: pd.DataFrame, every: Memorized | None, size: int) -> pd.DataFrame:
    """The most memorized candidates of the first seed in its first, middle and last layer; over all pairs: images.

    The latter by the encoder's output alone: lower layers tell images of one another by noise.
    """
    layers = own_layers(points)
    if every is None:
        scores = {
            layer: wide(points, "candidate", "sslmem")[layer]
            for layer in (layers[0], layers[len(layers) // 2], layers[-1])
        }
    else:
        scores = {"output": pd.Series(every.gains.mean(axis=0), index=every.pool.points)}
    tables = []
    for layer, of_layer in scores.items():
        best = of_layer.sort_values(ascending=False, kind="stable").head(min(size, THUMBNAILS))
        about = {"encoder": encoder, "series": "most memorized", "part": "images", "other": NO_OTHER, "layer": layer}
        tables.append(pd.DataFrame({**about, "place": range(len(best)), "point": best.index, "value": best.to_numpy()}))
    return pd.concat(tables, ignore_index=True)


def draw(table: pd.DataFrame, images: NDArray[np.uint8]) -> Figure:
    """A row an encoder: what layers have in common, twice, and by distance. Below: between seeds, and the images."""
    table = table.assign(layer=table["layer"].astype(str), other=table["other"].astype(str))
    parts = {str(part): plotting.by_encoder(rows) for part, rows in table.groupby("part")}
    encoders, subjects = parts["layers"], parts.get("seeds", {})
    ((encoder, best),) = parts["images"].items()
    below = 2.6 if subjects or best["layer"].nunique() > 1 else 1.5
    figure, axes = plotting.panels(rows=1, columns=1, height=3.0 * len(encoders) + below)
    axes[0, 0].remove()
    upper, lower = figure.subfigures(2, 1, squeeze=False, height_ratios=[3.0 * len(encoders), below]).flat
    rows_of_axes = upper.subplots(len(encoders), 3, squeeze=False)
    figure.draw_without_rendering()  # How wide panels are decides whether they show numbers.
    across = any(ACROSS in pairs.index for pairs in encoders.values())
    for (a, b, c), (name, pairs) in zip(rows_of_axes, encoders.items(), strict=True):
        distance, name = parts["distance"][name], plotting.plain(name)
        if ACROSS in pairs.index:
            _heat(a, pairs.loc[[WITHIN]], signed=True)
            _heat(b, pairs.loc[[ACROSS]], signed=True)
            titles = (f"{name}\nDo layers of one pair agree?", "And of different pairs?")
            for shift, series, colour in ((-0.08, WITHIN, "grey"), (0.08, ACROSS, "black")):
                _apart(c, distance.loc[[series]], shift=shift, label=series, colour=plotting.PALETTE[colour])
            c.set_ylabel("rank correlation")
        else:
            _heat(a, pairs.loc[["candidate"]])
            _heat(b, pairs.loc[["candidate, tau"]], signed=True)
            titles = (f"{name}\nDo layers share top candidates?", "Order all alike (Kendall's tau)?")
            for shift, group in ((-0.08, "candidate"), (0.08, "external")):
                _apart(c, distance.loc[[group]], shift=shift, label=group, colour=plotting.COLOURS[group])
            _chance_line(c, pairs.loc[["chance"]])
            c.set_ylabel("overlap")
        for axis, title in zip((a, b), titles, strict=True):
            axis.set_title(title)
        plotting.zero(c)
        c.set(title="Do near layers more?", xlabel="layers apart")
    strips = lower.subfigures(1, len(subjects) + 1, squeeze=False, width_ratios=[1] * len(subjects) + [1.6]).flat
    for strip, (subject, rows) in zip(strips, subjects.items(), strict=False):
        axis = strip.subplots()
        dots.over_layers(axis, {group: rows.loc[[group]] for group in CANDIDATE_AND_NULL}, joined=False)
        _chance_line(axis, rows.loc[["chance"]])
        axis.set(title=f"{fill(subject, 44)}\nDo they memorize the same images?", ylabel="overlap between encoders")
    whose = "of all pairs" if set(best["layer"]) == {"output"} else "of the first seed, by layer"
    strips[-1].suptitle(f"{plotting.plain(encoder)}: the most memorized images {whose}", fontsize=8.5)
    _thumbnails(strips[-1], best, images)
    key = {WITHIN: plotting.PALETTE["grey"], ACROSS: plotting.INK} if across else {}
    if not across or subjects:
        key |= {name: plotting.COLOURS[name] for name in (*CANDIDATE_AND_NULL, "chance")}
    plotting.key(figure, key, dashed=["chance"])
    return figure


def _heat(axis: Axes, pairs: pd.DataFrame, *, signed: bool = False) -> None:
    """A symmetric matrix from its upper half; with a sign, that of a layer with itself is left out."""
    names = list(dict.fromkeys([*pairs["layer"], *pairs["other"]]))
    if signed:
        pairs = pairs[pairs["layer"] != pairs["other"]]
    half = pairs.pivot(index="layer", columns="other", values="value").reindex(index=names, columns=names)
    scale: dict[str, Any] = {"low": -1, "colours": plotting.SIGNED} if signed else {"low": 0}
    plotting.matrix(axis, half.fillna(half.T), high=1, digits=1, **scale)
    plotting.layers(axis, names, at=np.arange(len(names)) + 0.5)
    runs = plotting.blocks(names) if len(names) > MOST_ROWS else [(name, i, i) for i, name in enumerate(names)]
    shown = runs[:: -(-len(runs) // MOST_ROWS)]
    labels = [plotting.plain(name, most=12) for name, _, _ in shown]
    axis.set_yticks([(first + last + 1) / 2 for _, first, last in shown], labels, rotation=0)
    axis.grid(visible=False)
    axis.set(xlabel="layer", ylabel="layer")


MOST_ROWS = 14
"""Names that stand below each other."""


def _apart(axis: Axes, rows: pd.DataFrame, *, shift: float, label: str, colour: str) -> None:
    """Means by the number of layers between two."""
    plotting.points(
        axis,
        rows["distance"].to_numpy(dtype=float) + shift,
        rows,
        colour=colour,
        label=label,
        size=4 if len(rows) <= dots.MANY else 2.6,
    )
    axis.xaxis.set_major_locator(MaxNLocator(8, integer=True))


def _chance_line(axis: Axes, level: pd.DataFrame) -> None:
    axis.axhline(level["value"].iloc[0], color=plotting.COLOURS["chance"], linewidth=1, linestyle="--")


def _thumbnails(strip: SubFigure, chosen: pd.DataFrame, images: NDArray[np.uint8]) -> None:
    layers = list(dict.fromkeys(chosen["layer"]))
    for row, layer in zip(strip.subplots(len(layers), THUMBNAILS, squeeze=False), layers, strict=True):
        named = layer if layer == "output" else f"layer {layer}"
        points = chosen.loc[chosen["layer"] == layer, "point"].astype(int).tolist()
        for axis, point in zip(row, points, strict=False):
            plotting.thumbnail(axis, images[point], named if axis is row[0] else "")
        for axis in row[len(points) :]:
            axis.axis("off")
