"""Whether units and layers that memories were trained into are named: beyond the paper."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc.analysis import plotting
from memloc.analysis.claims import Claim
from memloc.analysis.inputs import Arrays
from memloc.analysis.sheet import Sheet
from memloc.experiments.recovery.entry import ENTRY
from memloc.metrics.detection import auroc
from memloc.metrics.seeds import SeedMean

CLAIMS = {
    "gain": Claim(
        "Training puts memories of images into a known place: SSLMem at the encoder's output, after against before, "
        "targets minus controls, mean over trained layers"
    ),
    "units": Claim(
        "Crossed excess UnitMem names the filters that memories were trained into: AUROC within the layer minus .5, "
        "mean over trained layers"
    ),
    "units-over-unitmem": Claim(
        "Crossed excess UnitMem names filters with memories better than UnitMem does: difference in AUROC within the "
        "layer, mean over trained layers"
    ),
    "units-anywhere": Claim(
        "Crossed excess UnitMem tells filters with memories from the units of all layers: AUROC minus .5, mean over "
        "trained layers"
    ),
    "layer": Claim(
        "The highest increment of LayerMem names the layer that memories were trained into: share of the trained "
        "layers it names minus chance"
    ),
    "layer-over-value": Claim(
        "The highest increment names the layer with memories more often than the highest LayerMem does: difference "
        "in the share of the trained layers"
    ),
    "deleted": Claim(
        "Zeroing the filters of highest crossed excess UnitMem loses more of a memory than zeroing random ones: "
        "difference in the targets' lost gain at the encoder's output, mean over trained layers"
    ),
}
CROSSED, UNITMEM, RANDOM = "crossed excess", "UnitMem", "random"
FILTERS, LAYER = 0, 1
"""Which way of training memories in, first axis of ``gap``."""
WAYS = ("filters", "layer")
INSIDE, ANYWHERE = "AUROC in the layer", "AUROC in all layers"
BY = {"increment": "named by increment", "layermem": "named by LayerMem"}
SETTINGS = ("places", "own", "layers", "metrics", "arms", "targets", "unit_layers")
"""Arrays that are the same in all seeds."""


def analyse(sheet: Sheet) -> None:
    """What names filters and layers, by layer that memories were trained into, and what zeroing loses."""
    for encoder in sheet.encoders:
        outcomes = sheet.arrays("outcomes", encoder, same=SETTINGS)
        first = outcomes[0]
        gaps = np.stack([_over_controls(o, o["gap"], axis=2) for o in outcomes])
        _units(sheet, encoder, outcomes)
        _layers(sheet, encoder, first, gaps)
        _deleted(sheet, encoder, outcomes, gaps[:, FILTERS, :, -1])


def _over_controls(outcome: Arrays, values: NDArray[np.floating], *, axis: int) -> NDArray[np.float64]:
    """The mean of targets minus that of controls along an axis of points."""
    points = np.moveaxis(values.astype(np.float64), axis, 0)
    targets = outcome["targets"]
    return np.asarray(points[targets].mean(axis=0) - points[~targets].mean(axis=0))


def _units(sheet: Sheet, encoder: str, outcomes: Sequence[Arrays]) -> None:
    """How well every metric ranks the trained filters: within their layer, and among the units of all layers."""
    layers, metrics = outcomes[0]["layers"].tolist(), outcomes[0]["metrics"].tolist()
    inside, anywhere = (SeedMean(np.stack([_aurocs(o, s) for o in outcomes]), 0, 1) for s in (True, False))
    for series, areas in ((INSIDE, inside), (ANYWHERE, anywhere)):
        for column, metric in enumerate(metrics):
            sheet.profile(areas[:, column], layers, encoder=encoder, series=series, by=metric)
    crossed, plain = metrics.index(CROSSED), metrics.index(UNITMEM)
    units = int(np.isin(outcomes[0]["unit_layers"], layers).sum())
    mean, everywhere = (areas.values.mean(axis=1) for areas in (inside, anywhere))
    sheet.find("units", encoder, SeedMean(mean[:, crossed] - 0.5, -0.5, 0.5), units)
    sheet.find("units-over-unitmem", encoder, SeedMean(mean[:, crossed] - mean[:, plain], -1, 1), units)
    every = len(outcomes[0]["unit_layers"])
    sheet.find("units-anywhere", encoder, SeedMean(everywhere[:, crossed] - 0.5, -0.5, 0.5), every)


def _aurocs(outcome: Arrays, inside: bool) -> NDArray[np.float64]:
    """AUROC of every metric for the filters trained in each layer, [layers, metrics]."""
    return np.array(
        [
            [auroc(values[among], trained[among]) for values in scores]
            for layer, trained, scores in zip(outcome["layers"], outcome["trained"], outcome["scores"], strict=True)
            for among in [(outcome["unit_layers"] == layer) if inside else np.ones(len(trained), dtype=bool)]
        ]
    )


def _layers(sheet: Sheet, encoder: str, first: Arrays, gaps: NDArray[np.float64]) -> None:
    """LayerMem by trained layer and place, and how often its highest increment and value name the trained layer.

    Args:
        gaps: [seeds, WAYS, layers, places].
    """
    layers, places, n = first["layers"].tolist(), first["places"].tolist(), int(first["targets"].sum())
    proper = np.flatnonzero(first["own"])
    names = [places[place] for place in proper]
    values = gaps[..., proper]
    # The views before the first layer are the same for both encoders: their gap is 0.
    steps = np.diff(values, axis=-1, prepend=0)
    at = np.array([names.index(layer) for layer in layers])
    named = {"increment": steps.argmax(axis=-1) == at, "layermem": values.argmax(axis=-1) == at}
    for way, what in enumerate(WAYS):
        about = {"encoder": encoder, "way": what}
        sheet.profile(SeedMean(gaps[:, way, :, -1], -2, 2), layers, **about, series="gain")
        for row, layer in enumerate(layers):
            sheet.profile(SeedMean(gaps[:, way, row], -2, 2), places, **about, series="LayerMem", trained=f"in {layer}")
            increments = SeedMean(steps[:, way, row], -4, 4)
            sheet.profile(increments, names, **about, series="increment", trained=f"in {layer}")
        for key, series in BY.items():
            sheet.profile(SeedMean(named[key][:, way].astype(np.float64), 0, 1), layers, **about, series=series)
        sheet.find("gain", f"{encoder}, {what}", SeedMean(gaps[:, way, :, -1].mean(axis=1), -2, 2), n)
    shares = {key: hits[:, LAYER].mean(axis=1) for key, hits in named.items()}
    chance = 1 / len(proper)
    sheet.find("layer", encoder, SeedMean(shares["increment"] - chance, -chance, 1 - chance), n)
    sheet.find("layer-over-value", encoder, SeedMean(shares["increment"] - shares["layermem"], -1, 1), n)


def _deleted(sheet: Sheet, encoder: str, outcomes: Sequence[Arrays], gains: NDArray[np.float64]) -> None:
    """What of the targets' gain is lost when filters are zeroed, in SSLMem.

    Args:
        gains: with all filters, [seeds, layers].
    """
    layers, arms = outcomes[0]["layers"].tolist(), outcomes[0]["arms"].tolist()
    left = np.stack([_over_controls(o, o["without"], axis=2) for o in outcomes])
    lost = gains[..., None] - left
    drawn = [arm.startswith(RANDOM) for arm in arms]
    by = {arm: lost[..., i] for i, arm in enumerate(arms) if not drawn[i]} | {RANDOM: lost[..., drawn].mean(axis=-1)}
    for arm, values in by.items():
        sheet.profile(SeedMean(values, -4, 4), layers, encoder=encoder, series="lost", by=arm)
    n = int(outcomes[0]["targets"].sum())
    sheet.find("deleted", encoder, SeedMean((by[CROSSED] - by[RANDOM]).mean(axis=1), -4, 4), n)


def draw(table: pd.DataFrame, images: NDArray[np.uint8]) -> Figure:
    """Four panels an encoder: what names filters, LayerMem by trained layer, what names layers, what zeroing loses."""
    encoders = plotting.by_encoder(table)
    figure, axes = plotting.panels(rows=2 * len(encoders), columns=2, width=10)
    palette = plotting.palette(ENTRY.colours)
    for (encoder, rows), (a, b, c, d) in zip(encoders.items(), axes.reshape(-1, 4), strict=True):
        for by, mine in rows.loc[[INSIDE]].groupby("by", sort=False):
            plotting.profile(a, mine, label=str(by), colour=palette[str(by)])
        a.axhline(0.5, color="black", linewidth=0.8)
        a.set(title=f"a  {encoder}: naming filters", ylabel="AUROC within the layer", xlabel="trained layer")
        whole = rows[rows["way"] == "layer"]
        profiles = whole.loc[["LayerMem"]]
        for (trained, mine), colour in zip(
            profiles.groupby("trained", sort=False),
            plotting.colours(list(profiles["trained"].unique())).values(),
            strict=True,
        ):
            plotting.profile(b, mine, label=str(trained), colour=colour)
            place = [f"in {layer}" for layer in mine["layer"]].index(str(trained))
            b.plot(place, mine["value"].iloc[place], marker="*", markersize=12, color=colour)
        plotting.zero(b)
        b.set(title=f"b  {encoder}: whole layers trained (stars)", ylabel="LayerMem", xlabel="layer")
        for series, colour in zip(BY.values(), ("blue", "grey"), strict=True):
            mine = whole.loc[[series]]
            plotting.profile(c, mine, label=series, colour=plotting.PALETTE[colour])
        c.set(title=f"c  {encoder}: naming layers", ylabel="share of pairs", xlabel="trained layer", ylim=(-0.05, 1.05))
        for by, mine in rows.loc[["lost"]].groupby("by", sort=False):
            plotting.profile(d, mine, label=str(by), colour=palette[str(by)])
        plotting.zero(d)
        d.set(title=f"d  {encoder}: gain lost by zeroing filters", ylabel="SSLMem", xlabel="trained layer")
        for axis in (a, b, c, d):
            plotting.legend(axis)
    return figure
