"""UnitMem against ClassMem, self-supervised against supervised (paper, Figures 2 and 3)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc.analysis import plotting
from memloc.analysis.claims import Claim, Finding
from memloc.analysis.inputs import above, rises, rows_of
from memloc.analysis.sheet import Sheet
from memloc.experiments.unitmem.analysis import excess_of, layer_means
from memloc.metrics.stats import Estimate

CLAIMS = {
    "ssl-images": Claim(
        "SSL: UnitMem is higher than ClassMem in every layer: the weakest difference (positive by sampling alone)",
        "Figure 2",
    ),
    "supervised-classes": Claim(
        "Supervised units of the last layer memorize classes rather than images: mean ClassMem minus UnitMem",
        "Figure 3",
    ),
    "classes-rise": Claim(
        "ClassMem rises with depth under supervision: rank correlation of layer and mean ClassMem", "Figure 3"
    ),
    "interaction": Claim(
        "Last layer: ClassMem minus UnitMem is higher under supervision than under SSL", "Figures 2 and 3"
    ),
    "interaction-depth": Claim(
        "The surplus of ClassMem over UnitMem that supervision brings grows from the first layer to the last",
        "Figures 2 and 3",
    ),
    "beyond-sampling": Claim("Last layer: ClassMem above its shuffled null is higher under supervision than under SSL"),
}
CLAIMS |= {
    "ssl-training": Claim("Last layer: SSL training raises UnitMem minus ClassMem above the untrained encoder's"),
    "supervised-training": Claim(
        "Last layer: supervised training lowers UnitMem minus ClassMem below the untrained encoder's",
    ),
}
CLAIMS |= {
    "supervised-excess": Claim(
        "Supervised units of the last layer memorize classes of the images they were trained on: ClassMem on "
        "candidates minus independent and external images",
    ),
    "excess-interaction": Claim(
        "Last layer: that excess of ClassMem minus the excess of UnitMem is higher under supervision than under SSL",
    ),
}
CLAIMS |= {
    "ssl-share": Claim(
        "SSL: more than half of the units of every layer have UnitMem above ClassMem: the least share minus .5 "
        "(positive by sampling alone)",
        "Figure 2",
    ),
    "supervised-share": Claim(
        "Last layer: most supervised units have ClassMem above UnitMem: .5 minus the share that doesn't",
        "Figure 3",
    ),
}
HALF = 0.5
SHARE = "share of units with UnitMem above ClassMem"
METRICS = {"UnitMem": "unitmem", "ClassMem": "classmem", "ClassMem, shuffled labels": "classmem_shuffled"}

EXCESS = {"UnitMem, excess": "unitmem", "ClassMem, excess": "classmem"}
UNTRAINED = {"UnitMem, untrained": "unitmem", "ClassMem, untrained": "classmem"}


def analyse(sheet: Sheet) -> None:
    """Layer means of both metrics and ClassMem's null for both encoders, and every unit of the first and last layer."""
    inputs = sheet.inputs
    ssl, supervised = inputs.encoders()
    tables, means, before = [], {}, {}
    for encoder in (ssl, supervised):
        units = inputs.tables("units", encoder)
        layers = list(dict.fromkeys(units[0]["layer"]))
        means[encoder] = layer_means(inputs, "units", "replicates", encoder)
        for label, metric in METRICS.items():
            tables.append(rows_of(means[encoder]["candidate", metric], layers, encoder=encoder, series=label))
        tables.append(rows_of(means[encoder]["candidate", "over_classmem"], layers, encoder=encoder, series=SHARE))
        for label, metric in EXCESS.items():
            tables.append(rows_of(excess_of(means[encoder], metric), layers, encoder=encoder, series=label))
        before[encoder] = layer_means(inputs, "untrained_units", "untrained_replicates", encoder)
        for label, metric in UNTRAINED.items():
            tables.append(rows_of(before[encoder]["candidate", metric], layers, encoder=encoder, series=label))
        for run, table in enumerate(units):
            ends = table[(table["group"] == "candidate") & table["layer"].isin([layers[0], layers[-1]])]
            columns = ["layer", "unit", "unitmem", "classmem"]
            tables.append(ends[columns].assign(encoder=encoder, series="unit", run=run))

    def mean(encoder: str, name: str) -> Estimate:
        return means[encoder]["candidate", name]

    n = int(inputs.arrays("replicates", ssl)[0]["size"])
    class_over_image = {e: mean(e, "classmem") - mean(e, "unitmem") for e in (ssl, supervised)}
    beyond = {e: mean(e, "classmem") - mean(e, "classmem_shuffled") for e in (ssl, supervised)}
    gap = class_over_image[supervised] - class_over_image[ssl]
    start = {e: before[e]["candidate", "classmem"] - before[e]["candidate", "unitmem"] for e in (ssl, supervised)}
    both = f"{supervised} - {ssl}"
    excess = {e: (excess_of(means[e], "classmem"), excess_of(means[e])) for e in (ssl, supervised)}
    apart = {e: classes - images for e, (classes, images) in excess.items()}
    effects = {
        "supervised-classes": (supervised, class_over_image[supervised][-1]),
        "ssl-training": (ssl, (start[ssl] - class_over_image[ssl])[-1]),
        "supervised-training": (supervised, (class_over_image[supervised] - start[supervised])[-1]),
        "supervised-excess": (supervised, excess[supervised][0][-1]),
        "excess-interaction": (both, (apart[supervised] - apart[ssl])[-1]),
        "interaction": (both, gap[-1]),
        "interaction-depth": (both, gap[-1] - gap[0]),
        "beyond-sampling": (both, (beyond[supervised] - beyond[ssl])[-1]),
    }
    images = class_over_image[ssl].map(np.negative)
    places = [f"layer {name}" for name in layers]
    findings = [Finding.of_every("ssl-images", ssl, images, places, n=n)]
    findings.append(rises("classes-rise", supervised, mean(supervised, "classmem"), n=n))
    share = {e: above(mean(e, "over_classmem"), HALF) for e in (ssl, supervised)}
    findings.append(Finding.of_every("ssl-share", ssl, share[ssl], places, n=n))
    fewer = share[supervised][-1].map(np.negative)
    findings.append(Finding("supervised-share", supervised, fewer, n))
    findings += [Finding(claim, who, effect, n) for claim, (who, effect) in effects.items()]
    sheet.add(pd.concat(tables, ignore_index=True))
    sheet.findings += findings


def draw(table: pd.DataFrame, images: NDArray[np.uint8]) -> Figure:
    """Top: units of the first and last layer of each encoder. Bottom: means by layer."""
    encoders = list(dict.fromkeys(table["encoder"]))
    figure, axes = plotting.panels(rows=2, columns=4, width=11, height=2.9)
    for column, encoder in enumerate(encoders):
        mine = table[table["encoder"] == encoder].set_index("series")
        units, shares = mine.loc["unit"], mine.loc[[SHARE]]
        for side, layer in enumerate(dict.fromkeys(units["layer"])):
            axis = axes[0, 2 * column + side]
            some = units[units["layer"] == layer]
            axis.scatter(
                some["classmem"], some["unitmem"], s=6, alpha=0.5, color=plotting.COLOURS["UnitMem"], linewidths=0
            )
            axis.plot([0, 1], [0, 1], color="black", linewidth=0.8)
            share = shares[shares["layer"].astype(str) == str(layer)].iloc[0]
            interval = f"{100 * share['low']:.0f} to {share['high']:.0%}"
            axis.set(
                title=f"{encoder}, layer {layer}:\n{share['value']:.0%} above ({interval})",
                xlabel="ClassMem",
                ylabel="UnitMem",
            )
            axis.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
        axis = figure.add_subplot(axes[1, 2 * column].get_gridspec()[1, 2 * column : 2 * column + 2])
        axes[1, 2 * column].remove()
        axes[1, 2 * column + 1].remove()
        for name in (*METRICS, *UNTRAINED):
            plotting.profile(axis, mine.loc[name], label=name, dashed="," in name)
        axis.set(title=f"{encoder}: means by layer", xlabel="layer", ylabel="value", ylim=(0, 1))
        plotting.legend(axis)
    return figure
