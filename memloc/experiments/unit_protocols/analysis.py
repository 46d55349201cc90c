"""UnitMem of the same weights measured in different ways (paper, Figures 5, 8 and 9)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc.analysis import plotting
from memloc.analysis.claims import Claim
from memloc.analysis.inputs import above
from memloc.analysis.sheet import Sheet
from memloc.data.groups import CANDIDATE_AND_NULL, UNSHARED
from memloc.measuring.resamples import resampled_units
from memloc.measuring.units import group_size
from memloc.metrics.stats import Estimate, Sample, nest, rank_correlation
from memloc.streams import stream

CORRELATION = 0.9
"""Units that keep their order: their ranks then share four fifths of the variance. The paper's figures show agreement
by eye and give no number."""
CLAIMS = {
    "first-highest": Claim(
        "UnitMem is highest on the first encoder's views (those of its training): mean UnitMem of the first encoder "
        "minus another's, in every layer",
        "Figures 5 and 9",
        scale="ResNet9, CIFAR100",
    ),
    "first-highest-trained": Claim(
        "Training raises the lead in UnitMem of the first encoder's views over another's: mean UnitMem of the first "
        "minus the other's, averaged over layers, trained minus untrained encoder (whose lead is arithmetic alone)",
    ),
    "order": Claim(
        "Units keep their order however they are measured: rank correlation of UnitMem over all units of the last "
        "layer with the first encoder's, minus .9 (own threshold)",
        "Figures 8 and 9",
    ),
    "excess": Claim(
        "Some way of measuring shows that units of the last layer memorize the images they were trained on: mean "
        "UnitMem on candidates minus independent and external images, by the surest way",
    ),
}
ORDERS = (*CANDIDATE_AND_NULL, "untrained")
"""Where the order of units is compared: on two groups, and on candidates before training."""


def analyse(sheet: Sheet) -> None:
    """Mean UnitMem by layer in every way, its lead and excess, and how far units keep their order."""
    trained, untrained = _measured(sheet, "measures"), _measured(sheet, "untrained_measures")
    encoders, layers = sheet.encoders, trained.layers
    excess = trained.group("candidate") - trained.unseen()
    series = {
        "candidate": trained.group("candidate"),
        "unseen images": trained.unseen(),
        "excess": excess,
        "untrained": untrained.group("candidate"),
    }
    for name, estimate in series.items():
        for i, encoder in enumerate(encoders):
            sheet.profile(estimate[i], layers, encoder=encoder, series=name)
    sheet.find_in_any("excess", f"{encoders[0]}, layer {layers[-1]}", excess[:, -1], encoders, n=trained.size)
    for i in range(1, len(encoders)):
        _compare(sheet, trained, untrained, i)


def _compare(sheet: Sheet, trained: _Measured, untrained: _Measured, i: int) -> None:
    """Rows and findings on the first encoder against encoder ``i``."""
    first, encoder, layers, n = sheet.encoders[0], sheet.encoders[i], trained.layers, trained.size
    lead, before = (it.group("candidate")[0] - it.group("candidate")[i] for it in (trained, untrained))
    orders = (*(trained.order(group) for group in CANDIDATE_AND_NULL), untrained.order("candidate"))
    # The largest of several differences is above 0 by noise alone: it gets no interval.
    most = int(np.argmax(np.abs(lead.value)))
    largest = pd.DataFrame({"layer": [layers[most]], "value": [abs(lead.value[most])]})
    of_unit = pd.DataFrame([trained.furthest[i]], columns=["layer", "value"])
    sheet.profile(lead, layers, encoder=encoder, series="first minus this")
    sheet.profile(before, layers, encoder=encoder, series="first minus this, untrained")
    sheet.add(largest, encoder=encoder, series="largest difference")
    sheet.add(of_unit, encoder=encoder, series="largest difference of a unit")
    for name, order in zip(ORDERS, orders, strict=True):
        sheet.profile(order[[i]], layers[-1:], encoder=encoder, series=f"order, {name}")
    subject = f"{encoder} against {first}, {trained.units} units of layer {layers[-1]}"
    sheet.find("order", subject, above(orders[0][i], CORRELATION), n)
    if sheet.options["first"] == "highest":
        over, gain = f"{first} over {encoder}", (lead - before).map(lambda v: v.mean(axis=-1), limit=4)
        sheet.find_in_every("first-highest", over, lead, [f"layer {name}" for name in layers], n=n)
        sheet.find("first-highest-trained", over, gain, n)


@dataclass(frozen=True)
class _Measured:
    """UnitMem of every encoder, each with its own average of the others, on resamples that all share.

    Attributes:
        layers: names of those that have units.
        size: images of a group.
        units: number of the last layer's units.
        means: mean UnitMem, [encoders, layers, UNSHARED].
        orders: rank correlation over the last layer's units with the first encoder, [encoders, CANDIDATE_AND_NULL].
        furthest: of each encoder, the layer of the unit whose UnitMem on candidates differs most from the first
            encoder's in any seed, and that difference.
    """

    layers: list[str]
    size: int
    units: int
    means: Estimate
    orders: Estimate
    furthest: list[tuple[str, float]]

    def group(self, name: str) -> Estimate:
        """Mean UnitMem on one group, [encoders, layers]."""
        return self.means[..., UNSHARED.index(name)]

    def unseen(self) -> Estimate:
        """Mean UnitMem on images that f has not seen, [encoders, layers]: two groups, half the noise."""
        return (self.group("independent") + self.group("external")).scaled(0.5)

    def order(self, group: str) -> Estimate:
        """Rank correlation on one group, [encoders]."""
        return self.orders[:, CANDIDATE_AND_NULL.index(group)]


def _measured(sheet: Sheet, name: str) -> _Measured:
    firsts: dict[int, _Run] = {}
    means, orders, furthest = [], [], []
    for encoder in sheet.encoders:
        seeds = sheet.arrays(name, encoder)
        # Seeds of one split have the same points, which then are resampled alike.
        shared = all(set(arrays["points"]) == set(seeds[0]["points"]) for arrays in seeds)
        crossed = sheet.inputs.roles_of(encoder) > 1
        apart = [("", 0.0)]
        for number, arrays in enumerate(seeds):
            run = _Run.resampled(sheet, encoder, arrays, 0 if shared else number, alike=crossed)
            first = firsts.setdefault(number, run)
            means.append(run.means)
            orders.append(run.order(first))
            apart += run.differences(first)
        furthest.append(max(apart, key=lambda one: one[1]))
    mean, order = (_nested(values, len(sheet.encoders), shared=shared, crossed=crossed) for values in (means, orders))
    units = run.last["candidate"].shape[1]
    return _Measured(run.layers, group_size(arrays), units, mean.between(0, 1), order.between(-1, 1), furthest)


@dataclass(frozen=True)
class _Run:
    """Resampled UnitMem of one encoder and seed; of what is resampled, the first is the points themselves.

    Attributes:
        means: of units, [1 + resamples, layers, UNSHARED].
        last: UnitMem of the last layer's units on each of CANDIDATE_AND_NULL, [1 + resamples, units].
        units: UnitMem of every layer's units on the candidates themselves, [units].
    """

    means: NDArray[np.float64]
    last: Mapping[str, NDArray[np.float64]]
    units: Mapping[str, NDArray[np.float64]]

    @classmethod
    def resampled(cls, sheet: Sheet, encoder: str, measures: Sample, number: int, *, alike: bool) -> _Run:
        every = resampled_units(
            measures,
            resamples=sheet.options["resamples"],
            seed=stream("unit_protocols", number),
            others=sheet.options["others"][encoder],
            alike=alike,
        )
        values = {(group, layer): unitmem for group, layer, unitmem in every}
        layers = list(dict.fromkeys(layer for _, layer in values))
        means = np.array([[values[group, layer].mean(axis=1) for group in UNSHARED] for layer in layers])
        last = {group: values[group, layers[-1]] for group in CANDIDATE_AND_NULL}
        units = {layer: values["candidate", layer][0].copy() for layer in layers}
        return cls(np.moveaxis(means, -1, 0), last, units)

    @property
    def layers(self) -> list[str]:
        """Names of those that have units."""
        return [*self.units]

    def order(self, first: _Run) -> NDArray[np.float64]:
        """Rank correlation of the last layer's units with those of the first encoder, [1 + resamples, groups]."""
        of_groups = [rank_correlation(first.last[group], self.last[group]) for group in CANDIDATE_AND_NULL]
        return np.stack(of_groups, axis=-1)

    def differences(self, first: _Run) -> list[tuple[str, float]]:
        """Of every layer, the largest difference between a unit's UnitMem and that of the first encoder."""
        return [(name, float(np.abs(values - first.units[name]).max())) for name, values in self.units.items()]


def _nested(values: Sequence[NDArray[np.float64]], encoders: int, *, shared: bool, crossed: bool) -> Estimate:
    """An estimate [encoders, ...] from values [1 + resamples, ...] of every encoder and seed."""
    runs = np.stack(values)
    # [encoders * seeds, 1 + resamples, ...] to [seeds, 1 + resamples, encoders, ...].
    runs = np.moveaxis(runs.reshape(encoders, -1, *runs.shape[1:]), 0, 2)
    return nest(runs[:, 0], runs[:, 1:], seed=0, shared=shared, crossed=crossed)


def draw(table: pd.DataFrame, images: NDArray[np.uint8]) -> Figure:
    """A panel a way of measuring, seen and unseen images; below, excess, the first's lead and the order of units."""
    first = plotting.plain(str(table["encoder"].iloc[0]), most=16)
    seen = {"candidate": "candidate", "external": "unseen images"}
    lead = {"candidate": "first minus this", "untrained": "first minus this, untrained"}
    forests = [
        plotting.Rows("Last layer: seen minus unseen", {"effect": "excess"}),
        plotting.Rows(f"Last layer: {first} minus this", lead),
        plotting.Rows(
            f"Units in {first}'s order? Correlation",
            {group: f"order, {group}" for group in ORDERS},
            null=None,
            least=CORRELATION,
        ),
    ]
    asks = "Does mean UnitMem depend on how it is measured?"
    figure = plotting.compared(table, seen, forests, asks=asks, label="mean UnitMem", dashed=["external"])
    said = {"images trained on": "candidate", "images never seen": "external", "before training": "untrained"}
    colours = {words: plotting.COLOURS[meaning] for words, meaning in said.items()} | {"difference": plotting.INK}
    plotting.key(figure, colours, dashed=["images never seen"], hollow=["before training"])
    return figure
