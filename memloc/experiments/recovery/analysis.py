"""Whether units and layers that memories were trained into are named: beyond the paper."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc.analysis import dots, plotting
from memloc.analysis.claims import Claim
from memloc.analysis.inputs import Arrays
from memloc.analysis.sheet import Sheet
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
INTO = {"filters": "some of its filters", "layer": "all of it"}
"""What the figure calls ways."""
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
    """Four forests an encoder: the memories, what names layers, what names filters, what zeroing loses."""
    encoders = plotting.by_encoder(table)
    trained = table.loc[table["series"] == "gain", "layer"].nunique()
    figure, axes = plotting.panels(rows=2 * len(encoders), columns=2, height=0.9 + 0.9 * trained)
    axes[0, 0].get_gridspec().set_height_ratios([1 + 0.5 * trained, 1 + 1.3 * trained] * len(encoders))
    for (encoder, rows), (a, b, c, d) in zip(encoders.items(), axes.reshape(-1, 4), strict=True):
        whole = rows[rows["way"] == "layer"]
        gains = rows.loc[["gain"]].assign(by=lambda gained: gained["way"].map(INTO))
        named = pd.concat([whole.loc[[series]].assign(by=series) for series in BY.values()])
        chance = 1 / whole.loc[["increment"], "layer"].nunique()
        _forest(a, gains, title=f"{plotting.plain(encoder)}\nAre the memories there?", null=0.0)
        _forest(b, named, title="Is the trained layer named?", null=chance)
        _forest(c, rows.loc[[INSIDE]], title="Are the trained filters named?", null=0.5)
        _forest(d, rows.loc[["lost"]], title="Does zeroing them lose the memories?", null=0.0)
        a.set_xlabel("SSLMem at the output, gained")
        b.set(xlabel="share of pairs (line: by chance)", xlim=(-0.03, 1.03))
        c.set(xlabel="AUROC within the layer (line: by chance)", xlim=(-0.03, 1.03))
        d.set_xlabel("gained SSLMem that is lost")
    return figure


def _forest(axis: Axes, rows: pd.DataFrame, *, title: str, null: float) -> None:
    """Rows by the layer that memories were trained into."""
    shown = pd.concat([part for _, part in rows.groupby("layer", sort=False)])
    groups = [f"trained into {dots.place(layer)}" for layer in shown["layer"]]
    colours = [plotting.COLOURS["random"] if by == RANDOM else plotting.INK for by in shown["by"]]
    plotting.forest(axis, shown, list(shown["by"]), groups=groups, colours=colours, null=null)
    axis.set_title(title)
