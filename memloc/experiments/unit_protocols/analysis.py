"""UnitMem of the same weights measured in different ways (paper, Figures 5, 8 and 9)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc.analysis import plotting
from memloc.analysis.claims import Claim, Finding
from memloc.analysis.inputs import Inputs, above, rows_of
from memloc.analysis.sheet import Sheet
from memloc.data.groups import UNSHARED
from memloc.measuring.resamples import resampled_units
from memloc.measuring.units import group_size
from memloc.metrics.stats import Estimate, nest, rank_correlation
from memloc.streams import stream

CORRELATION = 0.9
"""Units that keep their order: their ranks then share four fifths of the variance. The paper's figures show agreement
by eye and give no number."""
CLAIMS = {
    "first-highest": Claim(
        "UnitMem is highest on the first encoder's views (those of its training): its mean minus another's, in every "
        "layer",
        "Figures 5 and 9",
        scale="ResNet9, CIFAR100",
    ),
    "first-highest-trained": Claim(
        "That lead is the trained encoder's: averaged over layers, it is larger than the same lead in the untrained "
        "encoder, which the arithmetic of the measurement makes by itself",
    ),
    "order": Claim(
        "Units keep their order however they are measured: rank correlation of UnitMem over all units of the last "
        "layer with the first encoder's, minus .9 (own threshold)",
        "Figures 8 and 9",
    ),
    "excess": Claim(
        "Some way of measuring shows that UnitMem of the last layer is higher on images trained on: candidates minus "
        "independent and external images, by the surest way",
    ),
}
HELD = ("candidate", "external")
"""Groups on which the order of units is compared."""
ORDERS = (*HELD, "untrained")


def analyse(sheet: Sheet) -> None:
    """Mean UnitMem by layer in every way, its lead and excess, and how far units keep their order."""
    inputs, options = sheet.inputs, sheet.options
    found = _measured(inputs, "measures", options)
    before = _measured(inputs, "untrained_measures", options)
    encoders, layers, n = inputs.encoders(), found.layers, found.size
    first, last = encoders[0], f"layer {found.layers[-1]}"
    candidate, excess = found.group("candidate"), found.group("candidate") - found.unseen()
    every = {
        "candidate": candidate,
        "unseen images": found.unseen(),
        "excess": excess,
        "untrained": before.group("candidate"),
    }
    tables = [
        rows_of(estimate[i], layers, encoder=encoder, series=name)
        for name, estimate in every.items()
        for i, encoder in enumerate(encoders)
    ]
    findings = [Finding.of_any("excess", f"{first}, {last}", excess[:, -1], [*encoders], n=n)]
    order = {**{group: found.order(group) for group in HELD}, "untrained": before.order("candidate")}
    for i, encoder in enumerate(encoders[1:], start=1):
        subject, over, initial = f"{encoder} against {first}", f"{first} over {encoder}", before.group("candidate")
        lead, untrained = candidate[0] - candidate[i], initial[0] - initial[i]
        # The largest of several differences is above 0 by noise alone: no interval of its own.
        most = int(np.argmax(np.abs(lead.value)))
        largest = {"encoder": encoder, "series": "largest difference", "layer": layers[most]}
        tables += [
            rows_of(lead, layers, encoder=encoder, series="first minus this"),
            rows_of(untrained, layers, encoder=encoder, series="first minus this, untrained"),
            pd.DataFrame([{**largest, "value": abs(lead.value[most])}]),
            pd.DataFrame([{"encoder": encoder, "series": "largest difference of a unit", **found.furthest[i]}]),
            *(rows_of(e[[i]], layers[-1:], encoder=encoder, series=f"order, {group}") for group, e in order.items()),
        ]
        units = f"{subject}, {found.units} units of {last}"
        findings.append(Finding("order", units, above(order["candidate"][i], CORRELATION), n))
        if options["first"] == "highest":
            gain = (lead - untrained).map(lambda v: v.mean(axis=-1), limit=4)
            findings += [
                Finding.of_every("first-highest", over, lead, [f"layer {name}" for name in layers], n=n),
                Finding("first-highest-trained", over, gain, n),
            ]
    sheet.add(pd.concat(tables, ignore_index=True))
    sheet.findings += findings


@dataclass(frozen=True)
class _Measured:
    """UnitMem of every encoder, each with its own average of the others, on resamples that all share.

    Attributes:
        layers: names of those that have units.
        size: images of a group.
        units: of the last layer.
        means: mean UnitMem, [encoders, layers, groups].
        orders: rank correlation over the last layer's units with the first encoder, [encoders, HELD].
        furthest: of each encoder, the layer of the unit whose UnitMem on candidates differs most from the first
            encoder's in any seed, and that difference.
    """

    layers: list[str]
    size: int
    units: int
    means: Estimate
    orders: Estimate
    furthest: list[dict[str, Any]]

    def group(self, name: str) -> Estimate:
        """Mean UnitMem on one group, [encoders, layers]."""
        return self.means[..., UNSHARED.index(name)]

    def unseen(self) -> Estimate:
        """Mean UnitMem on images that f has not seen, [encoders, layers]: two groups, half the noise."""
        return (self.group("independent") + self.group("external")).scaled(0.5)

    def order(self, group: str) -> Estimate:
        """Rank correlation on one group, [encoders]."""
        return self.orders[:, HELD.index(group)]


def _measured(inputs: Inputs, name: str, options: Mapping[str, Any]) -> _Measured:
    encoders, means, orders = inputs.encoders(), [], []
    layers: list[str] = []
    reference: dict[int, dict[str, NDArray[np.float64]]] = {}
    units: dict[tuple[int, str], NDArray[np.float64]] = {}
    furthest: list[dict[str, Any]] = []
    for encoder in encoders:
        furthest.append({"layer": "", "value": 0.0})
        seeds = inputs.arrays(name, encoder)
        # Seeds of one split have the same points, which then are resampled alike.
        shared = all(set(arrays["points"]) == set(seeds[0]["points"]) for arrays in seeds)
        for number, arrays in enumerate(seeds):
            found: dict[tuple[str, str], NDArray[np.float64]] = {}
            for group, layer, values in resampled_units(
                arrays,
                resamples=options["replicates"],
                seed=stream("unit_protocols", 0 if shared else number),
                others=options["others"][encoder],
            ):
                found[group, layer] = values
            layers = list(dict.fromkeys(layer for _, layer in found))
            each = [[found[group, layer].mean(axis=1) for group in UNSHARED] for layer in layers]
            last = {group: found[group, layers[-1]] for group in HELD}
            own = reference.setdefault(number, last)
            for layer in layers:
                itself = found["candidate", layer][0]
                apart = float(np.abs(itself - units.setdefault((number, layer), itself)).max())
                if apart > furthest[-1]["value"]:
                    furthest[-1] = {"layer": layer, "value": apart}
            means.append(np.moveaxis(np.array(each), -1, 0))
            orders.append(np.stack([rank_correlation(own[group], last[group]) for group in HELD], axis=-1))
    estimates = []
    for values in (np.stack(means), np.stack(orders)):
        # [encoders * seeds, 1 + replicates, ...] to [seeds, 1 + replicates, encoders, ...].
        runs = np.moveaxis(values.reshape(len(encoders), -1, *values.shape[1:]), 0, 2)
        estimates.append(nest(runs[:, 0], runs[:, 1:], seed=0, shared=shared))
    mean, order = estimates[0].between(0, 1), estimates[1].between(-1, 1)
    return _Measured(layers, group_size(arrays), last["candidate"].shape[1], mean, order, furthest)


def draw(table: pd.DataFrame, images: NDArray[np.uint8]) -> Figure:
    """UnitMem, the first's lead, excess and order of units."""
    figure, axes = plotting.panels(rows=2, columns=2, width=11, height=3.4)
    (a, b), (c, d) = axes
    for axis, series, null in (
        (a, "candidate", "unseen images"),
        (b, "first minus this", "first minus this, untrained"),
        (c, "excess", None),
    ):
        for encoder, colour in plotting.colours(list(dict.fromkeys(table["encoder"]))).items():
            for name in (series, null):
                mine = table[(table["series"] == name) & (table["encoder"] == encoder)]
                if len(mine):
                    # A label that begins with an underscore is in no legend.
                    label = encoder if name == series else f"_{encoder}"
                    plotting.profile(axis, mine, label=label, dashed=name == null, colour=colour)
    for place, group in enumerate(ORDERS):
        rows = table[table["series"] == f"order, {group}"]
        at = np.arange(len(rows)) + 0.2 * (place - 1)
        plotting.points(d, at, rows, colour=plotting.COLOURS[group], label=group, size=4)
        plotting.layers(d, list(rows["encoder"].astype(str)))
    d.axhline(CORRELATION, color="black", linestyle=":", linewidth=1)
    d.set_xlim(-0.5, len(rows) - 0.5)
    last = table.loc[table["series"] == "candidate", "layer"].iloc[-1]
    first = table["encoder"].iloc[0]
    a.set(title="a  mean UnitMem; dashed: unseen images", xlabel="layer", ylabel="UnitMem")
    b.set(title=f"b  {first} minus each; dashed: untrained", xlabel="layer", ylabel="UnitMem")
    c.set(title="c  excess: candidates minus unseen images", xlabel="layer", ylabel="UnitMem")
    d.set(title=f"d  order of the units of layer {last} against {first}'s", ylabel="rank correlation")
    for axis in (b, c):
        plotting.zero(axis)
    plotting.legend(d)
    plotting.shared_legend(figure, a)
    return figure
