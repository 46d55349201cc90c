"""Where a mark is, read from every layer of towers."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc.analysis import plotting
from memloc.analysis.charted import OWN, by_place, counted, effect, equal, groups, size
from memloc.analysis.claims import Claim
from memloc.analysis.inputs import dealt_layermem, images_of_groups, sslmem_of_groups
from memloc.analysis.sheet import Sheet
from memloc.data.groups import UNSHARED
from memloc.measuring.points import own_layers
from memloc.metrics.alignment import control
from memloc.metrics.stats import Estimate, Sample, permutation_p, rank_correlation

CLAIMS = {
    "held-out": Claim(
        "A layer of the tower that learned charts without labels holds places where no training chart has a mark: "
        "accuracy of a probe of all states minus .8, in the surest layer",
        OWN,
    ),
    "pooled": Claim(
        "Places are lost where a layer's states are averaged: accuracy of the probe of all states minus that of their "
        "mean, minus .2, in the last layer with parameters of the tower that learned charts without labels, at "
        "held-out places",
        OWN,
    ),
    "control": Claim("A probe of shuffled labels tells no place in any tower: .05 minus its accuracy", OWN),
    "over-untrained": Claim(
        "A tower that learned charts holds places better than an untrained one: difference of accuracy in the "
        "output, a mean over places, at held-out places"
    ),
    "over-foreign": Claim(
        "A tower that learned charts holds places better than one that learned clothes: difference of accuracy in the "
        "output, a mean over places, at held-out places"
    ),
    "supervised": Claim(
        "A tower that learned what lies in every patch holds places: accuracy of a probe of all states of its last "
        "layer minus .8, at held-out places",
        OWN,
    ),
    "memorizes": Claim("A tower memorizes the images that it learned: crossed LayerMem of its last layer"),
    "together": Claim(
        "Layers that memorize more of what a tower learned hold places better where no training chart has a mark: rank "
        "correlation over layers of crossed LayerMem and the accuracy of a probe there"
    ),
}
FLATTENED, POOLED = "flattened", "pooled"

POINTS = "points/"
"""What columns on memorized points begin with, beside those on probes."""


def analyse(sheet: Sheet) -> None:
    """Accuracy of probes by tower, layer and representation, at places seen in training and at others."""
    options = sheet.options
    arrays = {tower: sheet.arrays("probed", tower) for tower in sheet.encoders}
    known = {
        tower: [pd.DataFrame({key: of[key] for key in of if not key.startswith(POINTS)}) for of in seeds]
        for tower, seeds in arrays.items()
    }
    points = {
        tower: [
            pd.DataFrame({key.removeprefix(POINTS): of[key] for key in of if key.startswith(POINTS)}) for of in seeds
        ]
        for tower, seeds in arrays.items()
    }
    for tower, seeds in known.items():
        for column, series in (("right", "accuracy"), ("control", "shuffled labels")):
            sheet.add(counted(seeds, ["representation", "stage"], column=column), tower=tower, series=series)
        held = [table[table["held_out"] == 1] for table in seeds]
        if all(len(table) for table in held):
            sheet.add(counted(held, ["representation", "stage"]), tower=tower, series="held-out places")
        chance = groups(seeds, {"all": equal(representation=FLATTENED)}, column="control")
        if chance:
            room = effect(sheet, chance, lambda m: -np.asarray(m["all"]), minus=-0.05)
            sheet.find("control", tower, room, size(chance))
        if all(len(table) for table in (*points[tower], *held)):
            _join(sheet, tower, held, [table.astype({"own": bool}) for table in points[tower]])
    own, last = known[options["own"]], {tower: list(seeds[0]["stage"])[-1] for tower, seeds in known.items()}
    layers = list(dict.fromkeys(own[0]["stage"]))
    every = {layer: equal(stage=layer, representation=FLATTENED, held_out=1) for layer in layers}
    rows = groups(own, every)
    if rows:
        best = effect(
            sheet,
            rows,
            lambda m: np.stack([np.asarray(m[layer]) for layer in layers], axis=-1),
            minus=0.8,
            together=by_place(own, every),
        )
        sheet.find_in_any("held-out", options["own"], best, layers, n=size(rows))
    # At other places, a chart of one mark is one of training again.
    ends = {
        tower: [table[table["stage"].eq(last[tower]) & table["held_out"].eq(1)] for table in seeds]
        for tower, seeds in known.items()
    }
    if not all(len(table) for seeds in ends.values() for table in seeds):
        return
    # The output behind it is a mean already.
    deep = own_layers(points[options["own"]][0].astype({"own": bool}))[-1]
    kinds = {kind: equal(representation=kind, stage=deep, held_out=1) for kind in (FLATTENED, POOLED)}
    both = groups(own, kinds)
    if both:
        lost = effect(sheet, both, lambda m: m[FLATTENED] - m[POOLED], minus=0.2, together=by_place(own, kinds))
        sheet.find("pooled", options["own"], lost, size(both))
    flat = {tower: [table[table["representation"] == FLATTENED] for table in seeds] for tower, seeds in ends.items()}
    for claim in ("untrained", "foreign"):
        estimate, n = _difference(sheet, flat[options["own"]], flat[options[claim]])
        sheet.find(f"over-{claim}", f"{options['own']} over {options[claim]}", estimate, n)
    # Towers that learned without labels have a partner.
    for tower in (name for name in known if name != options["untrained"] and not len(points[name][0])):
        samples = [{"it": table["right"].to_numpy(dtype=np.float64)} for table in flat[tower]]
        told = effect(
            sheet, samples, lambda m: m["it"], minus=0.8, together=by_place(flat[tower], {"it": equal(held_out=1)})
        )
        sheet.find("supervised", tower, told, size(samples))


def _difference(sheet: Sheet, one: list[pd.DataFrame], other: list[pd.DataFrame]) -> tuple[Estimate, int]:
    """Difference of accuracy on the same charts."""
    rows = [
        {"gain": a["right"].to_numpy(dtype=np.float64) - b["right"].to_numpy()} for a, b in zip(one, other, strict=True)
    ]
    return effect(sheet, rows, lambda m: m["gain"], together=by_place(one, {"gain": equal(held_out=1)})), size(rows)


def _join(sheet: Sheet, tower: str, held: list[pd.DataFrame], points: list[pd.DataFrame]) -> None:
    """LayerMem of a tower's layers, and whether those that memorize more hold held-out places better.

    Correlations of a few layers are large by chance, so p is that of the covariance where it is dealt anew which images
    f has learned and which g.
    """
    layers, images = own_layers(points[0]), images_of_groups(points)
    samples = [sslmem_of_groups(table, layers, by_class=images is not None) for table in points]
    for sample, table in zip(samples, held, strict=True):
        flat = table[table["representation"].eq(FLATTENED)]
        sample["right"] = np.stack([flat.loc[flat["stage"].eq(one), "right"] for one in layers], axis=1).astype(float)
    if images is not None:  # Places of the test are no images of the pool.
        one = {"right": equal(representation=FLATTENED, stage=layers[0])}
        images = [{**of, **places} for of, places in zip(images, by_place(held, one), strict=True)]

    def profiles(means: Sample) -> NDArray[np.float64]:
        groups = (means[group] for group in UNSHARED)
        return np.stack([control(*groups, estimator="crossed"), means["right"]], axis=-2)

    both = sheet.means(samples, profiles, limit=sheet.limit, images=images)
    n, null = len(samples[0]["candidate"]), dealt_layermem(points, layers)
    low, high = both[0].interval()
    memorized = pd.DataFrame({"stage": layers, "value": both.value[0], "low": low, "high": high})
    sheet.add(memorized, tower=tower, series="LayerMem")
    sheet.find("memorizes", tower, both[0][-1], n, null=null[:, -1])
    p = permutation_p(_covariance(*both.value), _covariance(null, both.value[1]))
    rho = both.map(lambda v: rank_correlation(v[..., 0, :], v[..., 1, :]), limit=1)
    sheet.find("together", tower, rho, n, p=float(p))


def _covariance(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Covariance along the last axis."""
    return np.asarray((one * (other - other.mean(axis=-1, keepdims=True))).mean(axis=-1))


def draw(table: pd.DataFrame) -> Figure:
    """A panel a tower: probes of all states and of their mean, by layer. Then LayerMem, by layer and by accuracy."""
    table = table.assign(stage=table["stage"].astype(str))
    towers = list(dict.fromkeys(table["tower"]))
    memorized = table[table["series"].eq("LayerMem")]
    pairs = list(dict.fromkeys(memorized["tower"]))
    panels = len(towers) + 2 * bool(pairs)
    figure, axes = plotting.panels(rows=-(-panels // 2), columns=min(2, panels), height=2.6)
    lines = {
        ("accuracy", FLATTENED): ("blue", "-"),
        ("accuracy", POOLED): ("green", "-"),
        ("held-out places", FLATTENED): ("purple", "-"),
        ("shuffled labels", FLATTENED): ("grey", "--"),
    }
    for axis, tower in zip(axes.flat, towers, strict=False):
        mine = table[table["tower"] == tower]
        stages = list(dict.fromkeys(mine["stage"]))
        for (series, representation), (hue, style) in lines.items():
            own = mine[mine["series"].eq(series) & mine["representation"].eq(representation)]
            _line(axis, stages, own, hue, style)
        axis.set(title=plotting.plain(tower), xlabel="layer", ylabel="accuracy of a probe", ylim=(-0.03, 1.03))
    for axis in axes.flat[panels:]:
        axis.remove()
    names = ("all states", "their mean", "all states, held-out places", "shuffled labels")
    colours = {name: plotting.PALETTE[hue] for name, (hue, _) in zip(names, lines.values(), strict=True)}
    if pairs:
        by_layer, beside = axes.flat[len(towers) : panels]
        hues = dict(zip(pairs, (hue for hue in plotting.PALETTE if hue not in USED), strict=False))
        stages = list(dict.fromkeys(memorized["stage"]))
        for tower, hue in hues.items():
            own = memorized[memorized["tower"].eq(tower)]
            _line(by_layer, stages, own, hue, "-")
            held = table[table["series"].eq("held-out places") & table["representation"].eq(FLATTENED)]
            accuracy = held[held["tower"].eq(tower)]
            both = own.merge(accuracy, on="stage", suffixes=("", "_of_probe"))
            beside.scatter(both["value"], both["value_of_probe"], color=plotting.PALETTE[hue], s=16)
            colours[f"LayerMem, {plotting.plain(tower)}"] = plotting.PALETTE[hue]
        plotting.zero(by_layer)
        by_layer.set(title="what towers memorize", xlabel="layer", ylabel="LayerMem")
        about = {"title": "a dot a layer", "xlabel": "LayerMem", "ylabel": "accuracy, held-out places"}
        beside.set(**about, ylim=(-0.03, 1.03))
    plotting.key(figure, colours, dashed=["shuffled labels"])
    return figure


USED = ("black", "blue", "green", "purple", "grey", "pale blue", "pale purple", "pale green")
"""Hues of the lines of probes, and those like them."""


def _line(axis: Axes, stages: list[str], rows: pd.DataFrame, hue: str, style: str) -> None:
    """Values by layer with their intervals."""
    at = [stages.index(str(stage)) for stage in rows["stage"]]
    axis.plot(at, rows["value"], style, color=plotting.PALETTE[hue], marker="o", markersize=3)
    plotting.band(axis, at, rows, colour=plotting.PALETTE[hue])
    plotting.layers(axis, stages)
