"""UnitMem against ClassMem, self-supervised against supervised (paper, Figures 2 and 3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc.analysis import dots, plotting
from memloc.analysis.claims import Claim
from memloc.analysis.inputs import above
from memloc.analysis.sheet import Sheet
from memloc.analysis.units import UnitMeans
from memloc.metrics.stats import Estimate

CLAIMS = {
    "ssl-images": Claim(
        "SSL units answer to single images more than to classes in every layer: mean UnitMem minus mean ClassMem, "
        "weakest layer (positive by sampling alone)",
        "Figure 2",
    ),
    "supervised-classes": Claim(
        "Supervised units of the last layer memorize classes rather than images: mean ClassMem minus mean UnitMem",
        "Figure 3",
    ),
    "classes-rise": Claim(
        "ClassMem rises with depth under supervision: rank correlation of layer and mean ClassMem", "Figure 3"
    ),
    "interaction": Claim(
        "Supervised units of the last layer prefer classes over images more than SSL units do: mean ClassMem minus "
        "mean UnitMem, supervised minus SSL",
        "Figures 2 and 3",
    ),
    "interaction-depth": Claim(
        "Supervision raises the preference for classes over images more in the last layer than in the first: mean "
        "ClassMem minus mean UnitMem, supervised minus SSL, last minus first layer",
        "Figures 2 and 3",
    ),
    "beyond-sampling": Claim(
        "ClassMem of the last layer is further above chance under supervision than under SSL: ClassMem minus ClassMem "
        "of shuffled labels, supervised minus SSL",
    ),
    "ssl-training": Claim(
        "SSL training raises the preference of the last layer's units for images over classes: mean UnitMem minus "
        "mean ClassMem, trained minus untrained encoder",
    ),
    "supervised-training": Claim(
        "Supervised training raises the preference of the last layer's units for classes over images: mean ClassMem "
        "minus mean UnitMem, trained minus untrained encoder",
    ),
    "supervised-excess": Claim(
        "Supervised units of the last layer memorize classes of the images they were trained on: mean ClassMem on "
        "candidates minus independent and external images",
    ),
    "excess-interaction": Claim(
        "Supervision makes units of the last layer memorize classes of training images, more than images, compared "
        "with SSL: excess of ClassMem minus excess of UnitMem, supervised minus SSL",
    ),
    "ssl-share": Claim(
        "Most SSL units of every layer have UnitMem above ClassMem: their share minus .5, weakest layer (positive by "
        "sampling alone)",
        "Figure 2",
    ),
    "supervised-share": Claim(
        "Most supervised units of the last layer have ClassMem above UnitMem: .5 minus the share that does not",
        "Figure 3",
    ),
}
HALF = 0.5
SHARE = "share of units with UnitMem above ClassMem"
METRICS = {"UnitMem": "unitmem", "ClassMem": "classmem", "ClassMem, shuffled labels": "classmem_shuffled"}
EXCESS = {"UnitMem, excess": "unitmem", "ClassMem, excess": "classmem"}
UNTRAINED = {"UnitMem, untrained": "unitmem", "ClassMem, untrained": "classmem"}
SHOWN = {
    "ClassMem minus UnitMem": {
        "supervised-classes": "supervised",
        "interaction": "supervised minus SSL",
        "interaction-depth": "supervised minus SSL, last minus first layer",
        "supervised-training": "supervised, trained minus untrained encoder",
    },
    "UnitMem minus ClassMem": {"ssl-training": "SSL, trained minus untrained encoder"},
    "ClassMem minus ClassMem of shuffled labels": {"beyond-sampling": "supervised minus SSL"},
    "ClassMem, images trained on minus others": {"supervised-excess": "supervised"},
    "ClassMem minus UnitMem, trained on minus others": {"excess-interaction": "supervised minus SSL"},
}
"""What the figure calls effects: by the difference, between or in what encoders it is taken."""


def analyse(sheet: Sheet) -> None:
    """Layer means of both metrics and ClassMem's null for both encoders, and every unit of the first and last layer."""
    ssl, supervised = (_Encoder.read(sheet, name) for name in sheet.encoders)
    for encoder in (ssl, supervised):
        for series, estimate in encoder.series.items():
            sheet.profile(estimate, encoder.layers, encoder=encoder.name, series=series)
        for run, units in enumerate(encoder.units):
            ends = (units["group"] == "candidate") & units["layer"].isin([encoder.layers[0], encoder.layers[-1]])
            rows = units.loc[ends, ["layer", "unit", "unitmem", "classmem"]]
            sheet.add(rows, encoder=encoder.name, series="unit", run=run)
    _find(sheet, ssl, supervised)


@dataclass(frozen=True)
class _Encoder:
    """One of the two encoders.

    Attributes:
        name: in the configuration.
        layers: names of those that have units.
        size: images in each group.
        units: scores of every unit, by seed.
        series: means by the names that the table has for them, [layers] each.
    """

    name: str
    layers: list[str]
    size: int
    units: list[pd.DataFrame]
    series: dict[str, Estimate]

    @classmethod
    def read(cls, sheet: Sheet, name: str) -> _Encoder:
        f, untrained = UnitMeans(sheet.inputs, name), UnitMeans(sheet.inputs, name, trained=False)
        series = {label: f.mean("candidate", metric) for label, metric in METRICS.items()}
        series[SHARE] = f.mean("candidate", "over_classmem")
        series |= {label: f.excess(metric) for label, metric in EXCESS.items()}
        series |= {label: untrained.mean("candidate", metric) for label, metric in UNTRAINED.items()}
        return cls(name, f.layers, f.size, f.units, series)

    def classes(self, suffix: str = "") -> Estimate:
        """Mean ClassMem minus mean UnitMem, of the series whose names end so: [layers]."""
        return self.series[f"ClassMem{suffix}"] - self.series[f"UnitMem{suffix}"]

    def beyond_sampling(self) -> Estimate:
        """ClassMem minus that of shuffled labels, [layers]."""
        return self.series["ClassMem"] - self.series["ClassMem, shuffled labels"]


def _find(sheet: Sheet, ssl: _Encoder, supervised: _Encoder) -> None:
    """Findings on all claims."""
    n, places = ssl.size, [f"layer {name}" for name in supervised.layers]
    both, gap = f"{supervised.name} - {ssl.name}", supervised.classes() - ssl.classes()
    sheet.find_in_every("ssl-images", ssl.name, ssl.classes().map(np.negative), places, n=n)
    sheet.find_rise("classes-rise", supervised.name, supervised.series["ClassMem"], n=n)
    sheet.find_in_every("ssl-share", ssl.name, above(ssl.series[SHARE], HALF), places, n=n)
    fewer = above(supervised.series[SHARE], HALF)[-1].map(np.negative)
    sheet.find("supervised-share", supervised.name, fewer, n)
    effects = {
        "supervised-classes": (supervised.name, supervised.classes()),
        "ssl-training": (ssl.name, ssl.classes(", untrained") - ssl.classes()),
        "supervised-training": (supervised.name, supervised.classes() - supervised.classes(", untrained")),
        "supervised-excess": (supervised.name, supervised.series["ClassMem, excess"]),
        "excess-interaction": (both, supervised.classes(", excess") - ssl.classes(", excess")),
        "interaction": (both, gap),
        "interaction-depth": (both, gap - gap[:1]),
        "beyond-sampling": (both, supervised.beyond_sampling() - ssl.beyond_sampling()),
    }
    for claim, (subject, effect) in effects.items():
        sheet.profile(effect[-1:], ["all"], encoder=supervised.name, series=f"effect: {claim}")
        sheet.find(claim, subject, effect[-1], n)


def draw(table: pd.DataFrame, images: NDArray[np.uint8]) -> Figure:
    """Units of the last layer of each encoder and the share above the diagonal; means by layer; effects."""
    encoders = list(dict.fromkeys(table["encoder"]))
    ssl, supervised = f"{plotting.plain(encoders[0])} (SSL)", plotting.plain(encoders[1])
    parts = (table[table["encoder"] == encoder].set_index("series") for encoder in encoders)
    rows = dict(zip((ssl, supervised), parts, strict=True))
    figure, axes = plotting.panels(rows=1, columns=1, height=7.6)
    axes[0, 0].remove()
    above, middle, below = figure.subfigures(3, 1, squeeze=False, height_ratios=[1, 0.95, 1.15]).flat
    (*scatters, share), effects = above.subplots(1, 3), below.subplots()
    hues = dict.fromkeys(rows, plotting.INK)
    for (encoder, of), scatter, means in zip(rows.items(), scatters, middle.subplots(1, 2), strict=True):
        _draw_units(scatter, of.loc["unit"], encoder)
        shown = {name: of.loc[[name]] for name in METRICS}
        dots.over_layers(means, shown, hollow=["ClassMem, shuffled labels"], null=None)
        means.set(title=f"{encoder}: does ClassMem overtake UnitMem?", ylabel="mean over units", ylim=(0, 1))
    shares = {encoder: of.loc[[SHARE]] for encoder, of in rows.items()}
    dots.over_layers(share, shares, colours=hues, hollow=[supervised], null=HALF)
    share.set(title="Units for images, by layer", ylabel="share above the diagonal", ylim=(0, 1.03))
    found = [rows[supervised].loc[[f"effect: {claim}"]] for of in SHOWN.values() for claim in of]
    names = [(group, name) for group, of in SHOWN.items() for name in of.values()]
    plotting.forest(effects, pd.concat(found), [name for _, name in names], groups=[group for group, _ in names])
    effects.set_title("What is left beyond chance, an untrained encoder and unseen images?")
    effects.set_xlabel("difference, last layer")
    key = {name: plotting.COLOURS[name] for name in METRICS} | hues
    plotting.key(figure, key, hollow=["ClassMem, shuffled labels", supervised])
    return figure


def _draw_units(axis: Axes, units: pd.DataFrame, encoder: str) -> None:
    """Every unit of the last layer, UnitMem against ClassMem."""
    layer = units["layer"].iloc[-1]
    last = units[units["layer"] == layer]
    axis.scatter(last["classmem"], last["unitmem"], s=5, alpha=0.4, color=plotting.INK, linewidths=0)
    axis.plot([0, 1], [0, 1], color=plotting.INK, linewidth=0.8)
    axis.set(title=f"{encoder}\nImages or classes? Units of {dots.place(layer)}", xlabel="ClassMem", ylabel="UnitMem")
    axis.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
