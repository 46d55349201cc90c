"""UnitMem by layer with its nulls: images never seen, and the encoder before training (paper, Figure 1)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc.analysis import dots, plotting
from memloc.analysis.claims import Claim
from memloc.analysis.inputs import depth_correlation
from memloc.analysis.sheet import Sheet
from memloc.analysis.units import UnitMeans
from memloc.metrics.stats import rank_correlation

CLAIMS = {
    "everywhere": Claim(
        "Highly memorizing units are in every layer: 90th percentile of UnitMem minus the UnitMem above which the "
        "configuration counts a unit as highly memorizing (.5 unless changed), weakest layer",
        "Section 4.2, own threshold",
    ),
    "excess": Claim(
        "Units memorize the images they were trained on: mean UnitMem on candidates minus images not trained on, "
        "averaged over layers",
    ),
    "excess-last": Claim(
        "Units of the last layer memorize the images they were trained on: mean UnitMem on candidates minus "
        "images not trained on",
    ),
    "trained": Claim(
        "Training raises UnitMem: mean UnitMem on candidates, trained minus untrained encoder, averaged over layers",
    ),
    "excess-rises": Claim(
        "The excess of UnitMem on images trained on rises with depth: rank correlation of layer and excess",
    ),
    "rises": Claim("UnitMem rises with depth: rank correlation of layer and mean UnitMem", "Figures 2 and 3"),
}
SHOWN = {"candidate": "trained on", "unseen": "not trained on", "untrained": "untrained encoder"}
"""What the figure calls images, and the encoder before training."""
HUES = {label: plotting.COLOURS["out" if name == "unseen" else name] for name, label in SHOWN.items()}


def analyse(sheet: Sheet) -> None:
    """Mean UnitMem by layer on each group and before training, its excess, and every unit's value."""
    for encoder in sheet.encoders:
        _analyse_encoder(sheet, encoder)


def _analyse_encoder(sheet: Sheet, encoder: str) -> None:
    f, untrained = UnitMeans(sheet.inputs, encoder), UnitMeans(sheet.inputs, encoder, trained=False)
    candidate, initial, excess = f.mean("candidate"), untrained.mean("candidate"), f.excess()
    high = f.mean("candidate", "unitmem_top").map(lambda v: v - sheet.options["threshold"])
    series = {
        "candidate": candidate,
        "unseen": f.unseen(),
        "external": f.mean("external"),
        "untrained": initial,
        "excess": excess,
        "90th percentile minus threshold": high,
    }
    for name, estimate in series.items():
        sheet.profile(estimate, f.layers, encoder=encoder, series=name)
    sheet.add(_every_unit(f.units), encoder=encoder, series="unit")

    chance, depth = f.chance(), np.arange(len(f.layers))
    with_chance = {
        "excess": (excess.map(_mean), _mean(chance)),
        "excess-last": (excess[-1], chance[:, -1]),
        "excess-rises": (depth_correlation(excess), rank_correlation(depth + 0 * chance, chance)),
    }
    sheet.find_in_every("everywhere", encoder, high, [f"layer {name}" for name in f.layers], n=f.size)
    for claim, (effect, null) in with_chance.items():
        sheet.find(claim, encoder, effect, f.size, null=null)
    sheet.find("trained", encoder, (candidate - initial).map(_mean), f.size)
    sheet.find_rise("rises", encoder, candidate, n=f.size)


def _mean(of_layers: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(of_layers.mean(axis=-1))


def _every_unit(seeds: Sequence[pd.DataFrame]) -> pd.DataFrame:
    candidates = [units[units["group"] == "candidate"] for units in seeds]
    return pd.concat(
        pd.DataFrame({"layer": rows["layer"], "value": rows["unitmem"], "run": seed})
        for seed, rows in enumerate(candidates)
    )


def draw(table: pd.DataFrame, images: NDArray[np.uint8]) -> Figure:
    """Three panels an encoder: every unit, means, excess."""
    encoders = list(dict.fromkeys(table["encoder"]))
    figure, axes = plotting.panels(rows=len(encoders), columns=3)
    for (units, means, excess), encoder in zip(axes, encoders, strict=True):
        rows = table[table["encoder"] == encoder].set_index("series")
        sns.violinplot(
            data=rows.loc["unit"].astype({"layer": str}),
            x="layer",
            y="value",
            ax=units,
            color=plotting.COLOURS["candidate"],
            cut=0,
            inner="quart",
            linewidth=0.7,
            density_norm="width",
        )
        plotting.layers(units, list(dict.fromkeys(rows.loc["unit", "layer"].astype(str))))
        dots.over_layers(
            means,
            {label: rows.loc[[name]] for name, label in SHOWN.items()},
            colours=HUES,
            hollow=[SHOWN["untrained"]],
            null=None,
        )
        dots.over_layers(excess, {"effect": rows.loc[["excess"]]}, joined=False)
        units.set(title=f"{plotting.plain(encoder)}\nWhere are memorizing units?", xlabel="layer")
        units.set_ylabel("UnitMem of each unit")
        means.set(title="Is it more than without training?", ylabel="mean UnitMem")
        excess.set(title="What does training on images add?", ylabel="difference of mean UnitMem")
    plotting.shared_legend(figure, axes[0, 1])
    return figure
