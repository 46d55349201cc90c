"""Where a mark is, read from every layer of towers."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from memloc.analysis import plotting
from memloc.analysis.charted import FUGU, OWN, counted, effect, equal, groups, size, tables
from memloc.analysis.claims import Claim
from memloc.analysis.sheet import Sheet
from memloc.metrics.stats import Estimate

CLAIMS = {
    "held-out": Claim(
        "A layer of the tower that learned charts without labels holds places where no training chart has a mark: "
        "accuracy of a probe minus .8, in the best layer",
        OWN,
    ),
    "pooled": Claim(
        "Places are lost where a layer's states are averaged: accuracy of the probe of all states minus that of their "
        "mean, minus .2, in the last layer of the tower that learned charts without labels",
        OWN,
    ),
    "control": Claim("A probe of shuffled labels tells no place in any tower: .05 minus its accuracy", OWN),
    "over-untrained": Claim(
        "A tower that learned charts holds places better than an untrained one: difference of accuracy, last layer"
    ),
    "over-foreign": Claim(
        "A tower that learned charts holds places better than one that learned clothes: difference of accuracy in the "
        "last layer"
    ),
    "supervised": Claim(
        "A tower that learned what lies in every patch holds places: accuracy of a probe of its last layer minus .8",
        FUGU,
    ),
}
FLATTENED, POOLED = "flattened", "pooled"


def analyse(sheet: Sheet) -> None:
    """Accuracy of probes by tower, layer and representation, at places seen in training and at others."""
    options = sheet.options
    known = {tower: tables(sheet, "probed", tower) for tower in sheet.encoders}
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
    own, last = known[options["own"]], {tower: list(seeds[0]["stage"])[-1] for tower, seeds in known.items()}
    layers = list(dict.fromkeys(own[0]["stage"]))
    rows = groups(
        [table[table["representation"].eq(FLATTENED) & table["held_out"].eq(1)] for table in own],
        {layer: equal(stage=layer) for layer in layers},
    )
    if rows:
        best = effect(sheet, rows, lambda m: np.stack([np.asarray(m[layer]) for layer in layers], axis=-1), minus=0.8)
        sheet.find_in_any("held-out", options["own"], best, layers, n=size(rows))
    ends = {tower: [table[table["stage"] == last[tower]] for table in seeds] for tower, seeds in known.items()}
    both = groups(ends[options["own"]], {kind: equal(representation=kind) for kind in (FLATTENED, POOLED)})
    if both:
        lost = effect(sheet, both, lambda m: m[FLATTENED] - m[POOLED], minus=0.2)
        sheet.find("pooled", options["own"], lost, size(both))
    flat = {tower: [table[table["representation"] == FLATTENED] for table in seeds] for tower, seeds in ends.items()}
    for claim in ("untrained", "foreign"):
        estimate, n = _difference(sheet, flat[options["own"]], flat[options[claim]])
        sheet.find(f"over-{claim}", f"{options['own']} over {options[claim]}", estimate, n)
    for tower in (name for name in known if name not in {options[key] for key in ("own", "foreign", "untrained")}):
        samples = [{"it": table["right"].to_numpy(dtype=np.float64)} for table in flat[tower]]
        sheet.find("supervised", tower, effect(sheet, samples, lambda m: m["it"], minus=0.8), size(samples))


def _difference(sheet: Sheet, one: list[pd.DataFrame], other: list[pd.DataFrame]) -> tuple[Estimate, int]:
    """Difference of accuracy on the same charts."""
    rows = [
        {"gain": a["right"].to_numpy(dtype=np.float64) - b["right"].to_numpy()} for a, b in zip(one, other, strict=True)
    ]
    return effect(sheet, rows, lambda m: m["gain"]), size(rows)


def draw(table: pd.DataFrame) -> Figure:
    """A panel a tower: probes of all states and of their mean, by layer."""
    towers = list(dict.fromkeys(table["tower"]))
    figure, axes = plotting.panels(rows=-(-len(towers) // 2), columns=min(2, len(towers)), height=2.6, sharey=True)
    lines = {
        ("accuracy", FLATTENED): ("blue", "-"),
        ("accuracy", POOLED): ("green", "-"),
        ("held-out places", FLATTENED): ("purple", "-"),
        ("shuffled labels", FLATTENED): ("grey", "--"),
    }
    for axis, tower in zip(axes.flat, towers, strict=False):
        mine = table[table["tower"] == tower]
        stages = list(dict.fromkeys(mine["stage"].astype(str)))
        for (series, representation), (hue, style) in lines.items():
            own = mine[mine["series"].eq(series) & mine["representation"].eq(representation)]
            at = [stages.index(str(stage)) for stage in own["stage"]]
            axis.plot(at, own["value"], style, color=plotting.PALETTE[hue], marker="o", markersize=3)
            plotting.band(axis, at, own, colour=plotting.PALETTE[hue])
        plotting.layers(axis, stages)
        axis.set(title=plotting.plain(tower), xlabel="layer", ylabel="accuracy of a probe", ylim=(-0.03, 1.03))
    for axis in axes.flat[len(towers) :]:
        axis.remove()
    names = ("all states", "their mean", "all states, held-out places", "shuffled labels")
    colours = {name: plotting.PALETTE[hue] for name, (hue, _) in zip(names, lines.values(), strict=True)}
    plotting.key(figure, colours, dashed=["shuffled labels"])
    return figure
