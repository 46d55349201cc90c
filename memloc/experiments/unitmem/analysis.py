"""UnitMem by layer with its nulls: images never seen, and the encoder before training (paper, Figure 1)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc.analysis import plotting
from memloc.analysis.claims import Claim, Finding
from memloc.analysis.inputs import Inputs, depth_correlation, rises, rows_of
from memloc.analysis.sheet import Sheet
from memloc.measuring.units import METRICS, layer_metrics
from memloc.metrics.stats import Estimate, nest, permutation_p, rank_correlation

CLAIMS = {
    "everywhere": Claim(
        "Highly memorizing units are in every layer: the weakest 90th percentile of UnitMem minus the threshold",
        "Section 4.2, own threshold",
    ),
    "excess": Claim(
        "Units memorize images they were trained on: mean UnitMem on candidates minus independent and external images",
    ),
    "excess-last": Claim(
        "UnitMem of the last layer is higher on images trained on: candidates minus independent and external",
    ),
    "trained": Claim(
        "Training raises UnitMem, averaged over layers: trained minus untrained encoder, on candidates",
    ),
    "excess-rises": Claim("UnitMem's excess on images trained on rises with depth: rank correlation with layer"),
    "rises": Claim("UnitMem rises with depth: rank correlation of layer and mean UnitMem", "Figures 2 and 3"),
}


def analyse(sheet: Sheet) -> None:
    """Mean UnitMem by layer of each series, the share above the threshold, and every unit's value."""
    inputs, options = sheet.inputs, sheet.options
    tables, findings, threshold = [], [], options["threshold"]
    for encoder in inputs.encoders():
        trained = inputs.tables("units", encoder)
        layers = list(dict.fromkeys(trained[0]["layer"]))
        means = layer_means(inputs, "units", "replicates", encoder)
        before = layer_means(inputs, "untrained_units", "untrained_replicates", encoder)
        candidate, external = means["candidate", "unitmem"], means["external", "unitmem"]
        initial = before["candidate", "unitmem"]
        excess, dealt = excess_of(means), dealt_excess(inputs, encoder)
        gain = candidate - initial
        high = means["candidate", "unitmem_top"].map(lambda v: v - threshold)
        series = {
            "candidate": candidate,
            "external": external,
            "untrained": initial,
            "excess": excess,
            "90th percentile minus threshold": high,
        }
        tables += [rows_of(estimate, layers, encoder=encoder, series=name) for name, estimate in series.items()]
        tables.append(_every_unit(trained, encoder))
        n = int(inputs.arrays("replicates", encoder)[0]["size"])
        depth = np.arange(len(layers))
        chance = {
            "excess": (excess.map(_mean), _mean(dealt)),
            "excess-last": (excess[-1], dealt[:, -1]),
            "excess-rises": (depth_correlation(excess), rank_correlation(depth + 0 * dealt, dealt)),
        }
        places = [f"layer {name}" for name in layers]
        findings.append(Finding.of_every("everywhere", encoder, high, places, n=n))
        findings += [
            Finding(claim, encoder, effect, n, p=float(permutation_p(effect.value, null)))
            for claim, (effect, null) in chance.items()
        ]
        findings.append(Finding("trained", encoder, gain.map(_mean), n))
        findings.append(rises("rises", encoder, candidate, n=n))
    sheet.add(pd.concat(tables, ignore_index=True))
    sheet.findings += findings


def _mean(of_layers: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(of_layers.mean(axis=-1))


def layer_means(inputs: Inputs, units: str, replicates: str, encoder: str) -> dict[tuple[str, str], Estimate]:
    """Mean over a layer's units of each metric in each group: {(group, metric): estimate [layers]}."""
    tables, drawn = inputs.tables(units, encoder), inputs.arrays(replicates, encoder)
    layers, groups = list(drawn[0]["layers"]), list(drawn[0]["groups"])
    out = {}
    for g, group in enumerate(groups):
        for m, metric in enumerate(METRICS):
            values = np.stack([layer_metrics(t[t["group"] == group], metric)[layers] for t in tables])
            # One seed for all: differences between groups and metrics keep their resamples together.
            resampled = np.stack([d["means"][:, :, g, m] for d in drawn])
            out[group, metric] = nest(values, resampled, seed=0).between(0, 1)
    return out


def excess_of(means: Mapping[tuple[str, str], Estimate], metric: str = "unitmem") -> Estimate:
    """What candidates have above images that f was not trained on, independent and external ones: [layers]."""
    # Twice as many for comparison, half the noise.
    unseen = (means["external", metric] + means["independent", metric]).scaled(0.5)
    return means["candidate", metric] - unseen


def dealt_excess(inputs: Inputs, encoder: str, replicates: str = "replicates") -> NDArray[np.float64]:
    """The null of mean excess UnitMem, averaged over seeds: groups dealt at random, [permutations, layers]."""
    return np.asarray(np.mean([drawn["dealt"] for drawn in inputs.arrays(replicates, encoder)], axis=0))


def _every_unit(seeds: list[pd.DataFrame], encoder: str) -> pd.DataFrame:
    tables = []
    for seed, units in enumerate(seeds):
        mine = units[units["group"] == "candidate"]
        tables.append(
            pd.DataFrame(
                {"encoder": encoder, "series": "unit", "layer": mine["layer"], "value": mine["unitmem"], "run": seed}
            )
        )
    return pd.concat(tables)


def draw(table: pd.DataFrame, images: NDArray[np.uint8]) -> Figure:
    """Three panels an encoder: every unit, means, excess."""
    encoders = list(dict.fromkeys(table["encoder"]))
    figure, axes = plotting.panels(rows=len(encoders), columns=3, width=11)
    for row, encoder in zip(axes, encoders, strict=True):
        mine = table[table["encoder"] == encoder].set_index("series")
        sns.violinplot(
            data=mine.loc["unit"].astype({"layer": str}),
            x="layer",
            y="value",
            ax=row[0],
            color=plotting.COLOURS["candidate"],
            cut=0,
            inner="quart",
            linewidth=0.7,
            density_norm="width",
        )
        for name, label in (("candidate", "candidate"), ("external", "external"), ("untrained", "untrained")):
            plotting.profile(row[1], mine.loc[name], label=label, dashed=name != "candidate")
        plotting.profile(row[2], mine.loc["excess"].assign(), label="candidate")
        plotting.layers(row[0], list(dict.fromkeys(mine.loc["unit", "layer"].astype(str))))
        plotting.zero(row[2])
        row[0].set(title=f"{encoder}: UnitMem of every unit, candidates", ylabel="UnitMem", xlabel="layer")
        row[1].set(title="mean UnitMem", ylabel="UnitMem", xlabel="layer")
        row[2].set(title="excess: candidates minus unseen images", ylabel="UnitMem", xlabel="layer")
        plotting.legend(row[1])
    return figure
