"""LayerMem and single images from pairs on complementary halves: beyond the paper's Table 1."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc.analysis import dots, plotting
from memloc.analysis.claims import Claim
from memloc.analysis.halves import add_null, add_plain, crossing, reliability_of_mean
from memloc.analysis.sheet import Sheet
from memloc.data.groups import HALVES
from memloc.measuring.points import own_layers
from memloc.metrics.pairs import (
    agreement,
    crossed_mean,
    deal,
    dealt_means,
    gains,
    reliability,
    shuffled,
    spearman_brown,
)

CLAIMS = {
    "last": Claim(
        "The last layer memorizes: crossed LayerMem of the last layer, over pairs on complementary halves", "Table 1"
    ),
    "output": Claim(
        "The encoder's output memorizes: crossed LayerMem of its last place, over pairs on complementary halves"
    ),
    "slope": Claim(
        "LayerMem rises with depth: slope of crossed LayerMem over the layers, over pairs on complementary halves",
        "Table 1",
    ),
    "atypical": Claim(
        "Atypical images are memorized more: rank correlation within classes of what the encoder's output memorizes of "
        "an image, in one pair, and how far the image lies from its neighbours for encoders of the other pairs that "
        "have not seen it, over pairs on complementary halves",
        "Section 4.1, with a null",
    ),
    "single": Claim(
        "One pair tells something about single images: reliability of one pair's SSLMem of an image at the encoder's "
        "output, within classes"
    ),
}
CROSSED, DEALT, EFFECT = "crossed", "membership dealt anew", "effect of an image"
SINGLE, SHUFFLED, MEAN = "one pair", "images dealt anew", "mean of pairs"
PAIR = "pair"
ATYPICAL = "memorization and atypicality"
MEMBERSHIPS = 2000
"""Deals of membership behind the p of a correlation."""
SHUFFLES = 200
"""Deals of images behind the null of reliability."""


def analyse(sheet: Sheet) -> None:
    """Crossed LayerMem by place, its null, and how far pairs agree on single images."""
    for encoder in sheet.encoders:
        tables, traits = sheet.scores("points", encoder), sheet.scores("atypicality", encoder)
        places, own = list(dict.fromkeys(tables[0]["layer"])), own_layers(tables[0])
        pool = crossing(tables, places)
        sslmem, inside, labels = pool.sslmem, pool.inside, pool.labels
        scores = gains(sslmem, inside, labels)
        crossed = crossed_mean(scores)
        sheet.profile(crossed, places, encoder=encoder, series=CROSSED)
        for pair, values in enumerate(scores.mean(axis=1)):
            add_plain(sheet, values, places, encoder=encoder, series=f"{PAIR} {pair}")
        deals = dealt_means(sslmem, inside, labels, deals=int(sheet.options["deals"]), seed=0)
        add_null(sheet, deals, places, encoder=encoder, series=DEALT)
        deviation = scores.std(axis=(0, 1), ddof=1)
        add_plain(sheet, _over(crossed.value, deviation), places, encoder=encoder, series=EFFECT)
        proper = np.array([places.index(name) for name in own])
        n = len(labels)
        for claim, place in (("last", proper[-1]), ("output", len(places) - 1)):
            sheet.find(claim, encoder, crossed[place], n, null=deals[:, place])
        depth = np.arange(len(proper)) - (len(proper) - 1) / 2
        slope, dealt = (values[..., proper] @ depth / (depth @ depth) for values in (scores, deals))
        sheet.find("slope", encoder, crossed_mean(slope), n, null=dealt)
        if len(tables) > 1:
            _find_reliability(sheet, encoder, scores, labels, places)
            halves = (table[table["group"].isin(HALVES)].set_index("point")["atypicality"] for table in traits)
            of_pool = np.stack([half.loc[pool.points.tolist()] for half in halves])
            _find_atypical(sheet, encoder, (sslmem[..., -1], inside, labels), of_pool)


def _find_reliability(
    sheet: Sheet, encoder: str, scores: NDArray[np.float64], labels: NDArray[np.int64], places: Sequence[str]
) -> None:
    """How far pairs agree on single images, beside images dealt anew."""
    single = reliability(scores, labels)
    sheet.profile(single, places, encoder=encoder, series=SINGLE)
    null = np.stack([reliability(dealt, labels).value for dealt in shuffled(scores, labels, deals=SHUFFLES, seed=0)])
    add_null(sheet, null, places, encoder=encoder, series=SHUFFLED)
    sheet.find("single", encoder, single[-1], len(labels), null=null[:, -1])
    counts = np.array(sheet.options["pairs"], dtype=np.float64)
    low, high = single[-1].interval()
    # A reliability below 0 says that pairs agree no better than chance, however many.
    value, low, high = (spearman_brown(np.maximum(r, 0), counts) for r in (single.value[-1], low, high))
    sheet.add(
        pd.DataFrame({"layer": places[-1], "value": value, "low": low, "high": high, "pairs": counts}),
        encoder=encoder,
        series=MEAN,
    )


def _find_atypical(
    sheet: Sheet,
    encoder: str,
    scores: tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64]],
    atypicality: NDArray[np.float64],
) -> None:
    """Whether atypical images are memorized more, with membership dealt anew as the null.

    Args:
        scores: SSLMem of the output [pairs, images], whether f has the image, and classes.
        atypicality: [pairs, images].
    """
    sslmem, inside, labels = scores

    def products(members: NDArray[np.bool_]) -> NDArray[np.float64]:
        return agreement(gains(sslmem, members, labels), atypicality, labels)

    estimate = crossed_mean(products(inside))
    rng = np.random.default_rng(0)
    null = np.array([products(deal(inside, labels, rng)).mean() for _ in range(MEMBERSHIPS)])
    one, others = gains(sslmem, inside, labels), len(atypicality) - 1
    weakest = min(reliability_of_mean(one, labels, 1), reliability_of_mean(atypicality, labels, others))
    sheet.find("atypical", encoder, estimate, len(labels), null=null, reliability=weakest)
    low, high = (float(bound) for bound in estimate.interval())
    row = {"value": float(estimate.value), "low": low, "high": high}
    sheet.add(pd.DataFrame([row]), encoder=encoder, series=ATYPICAL)


def _over(values: NDArray[np.float64], scale: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(values, scale, out=np.zeros_like(values), where=scale > 0)


def draw(table: pd.DataFrame, images: NDArray[np.uint8]) -> Figure:
    """Four panels an encoder: LayerMem; reliability of one pair, and of several; what is known of single images."""
    encoders = plotting.by_encoder(table)
    figure, axes = plotting.panels(rows=2 * len(encoders), columns=2)
    colour, grey = plotting.COLOURS["crossed"], plotting.COLOURS["chance"]
    for (encoder, rows), (a, b, c, d) in zip(encoders.items(), axes.reshape(-1, 4), strict=True):
        at = np.arange(len(rows.loc[[CROSSED]]))
        plotting.band(a, at, rows.loc[[DEALT]], colour=grey, alpha=0.45)
        for series in [name for name in rows.index.unique() if name.startswith(f"{PAIR} ")]:
            each = rows.loc[[series], "value"]
            a.plot(at - 0.2, each, "o", color=colour, markersize=2.5, alpha=0.35, markeredgewidth=0)
        dots.over_layers(a, {CROSSED: rows.loc[[CROSSED]]}, joined=False)
        a.set(title=f"{plotting.plain(encoder)}\nWhich layers memorize?", ylabel="crossed LayerMem")
        if SINGLE not in rows.index:
            for axis in (b, c, d):
                axis.remove()
            continue
        plotting.band(b, at, rows.loc[[SHUFFLED]], colour=grey, alpha=0.45)
        dots.over_layers(b, {CROSSED: rows.loc[[SINGLE]]}, joined=False)
        b.set(title="Where does one pair tell about single images?", ylabel="reliability of one pair")
        mean = rows.loc[[MEAN]].sort_values("pairs")
        dots.side_by_side(c, {CROSSED: mean}, joined=False)
        dots.named(c, [f"{pairs:.0f}" for pairs in mean["pairs"]])
        c.set(title="How many pairs does a single image take?", xlabel="pairs", ylim=(-0.03, 1.03))
        c.set_ylabel("reliability of their mean")
        single = pd.concat([rows.loc[[SINGLE]].tail(1), rows.loc[[ATYPICAL]]])
        plotting.forest(d, single, ["one pair with another", "with atypicality"])
        d.set(title="Is it the same images? Are they atypical?", xlabel="reliability and rank correlation, output")
    key = {"mean of pairs, 95 % interval (faint: each pair)": colour, "95 % of what chance makes": grey}
    plotting.key(figure, key, bands=["95 % of what chance makes"])
    return figure
