"""UnitMem of encoders trained otherwise: data, privacy, augmentation, weight decay (paper, Figures 1, 10 and 11)."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc.analysis import plotting
from memloc.analysis.claims import Claim, Finding
from memloc.analysis.inputs import above, rows_of
from memloc.analysis.sheet import Sheet
from memloc.experiments.unitmem.analysis import dealt_excess, excess_of, layer_means
from memloc.measuring.units import SHARES, THRESHOLDS, by_layer
from memloc.metrics.stats import Estimate

STILL = 0.5
"""A unit above this still memorizes highly: own threshold, that of the experiment unitmem."""
CLAIMS = {
    "falls": Claim(
        "UnitMem of the last layer's units is lower in each of these encoders than in the one it is compared with: the "
        "least difference of its mean on candidates",
        "Figures 1, 10 and 11",
    ),
    "step": Claim(
        "Each of these differences by itself: mean UnitMem of the last layer's units on candidates",
        "Figures 1, 10 and 11",
    ),
    "shares": Claim(
        f"So is the share of the last layer's units with UnitMem above each of {', '.join(map(str, THRESHOLDS))} (own "
        "thresholds, those that a unit of either reaches): the least difference",
        "Figures 1, 10 and 11",
    ),
    "all-layers": Claim(
        "So is UnitMem averaged over layers: the least difference of its mean on candidates",
        "Figures 1, 10 and 11",
    ),
    "excess": Claim(
        "So is its excess, what candidates have above independent and external images, in the last layer: the least "
        "difference (p among groups of images dealt at random)",
    ),
    "unseen": Claim(
        "So it is, in the last layer, on images that f was not trained on: the least difference of its mean",
    ),
    "still": Claim(
        f"The last of these encoders still has units that memorize highly: highest UnitMem of its last layer minus "
        f"{STILL} (own threshold)",
        "Figure 1",
    ),
    "still-excess": Claim(
        "Its highest UnitMem is higher on candidates than on external images: last layer",
    ),
    "trained": Claim(
        "Training raised UnitMem of every one of these encoders above that of its untrained state (else it had hardly "
        "been trained): last layer, the least difference",
    ),
}


def analyse(sheet: Sheet) -> None:
    """UnitMem by layer on candidates and unseen images, shares and maximum of the last layer, every unit of it.

    Encoders of one seed that were trained on the same points have them resampled alike, so differences are paired.
    """
    inputs, options = sheet.inputs, sheet.options
    encoders, tables, held, null = inputs.encoders(), [], {}, {}
    for encoder in encoders:
        units = inputs.tables("units", encoder)
        layers = list(by_layer(units[0]))
        means = layer_means(inputs, "units", "replicates", encoder)
        seen, excess = means["candidate", "unitmem"], excess_of(means)
        null[encoder] = dealt_excess(inputs, encoder)
        before = layer_means(inputs, "untrained_units", "untrained_replicates", encoder)["candidate", "unitmem"]
        held[encoder] = {
            "candidate": seen,
            "unseen images": seen - excess,
            "excess": excess,
            "untrained": before,
            "highest": means["candidate", "unitmem_max"],
            "highest, external": means["external", "unitmem_max"],
            **{f"share above {t}": means["candidate", name] for t, name in zip(THRESHOLDS, SHARES, strict=True)},
        }
        tables += [rows_of(estimate, layers, encoder=encoder, series=name) for name, estimate in held[encoder].items()]
        tables += [
            pd.DataFrame({"encoder": encoder, "series": "unit", "layer": layers[-1], "value": last, "run": run})
            for run, last in enumerate(by_layer(table)[layers[-1]] for table in units)
        ]
    n = int(inputs.arrays("replicates", encoders[0])[0]["size"])
    first, last = encoders[0], encoders[-1]
    pairs = list(pairwise(encoders)) if options["order"] == "falling" else [(e, last) for e in encoders[:-1]]
    steps = [f"{a} over {b}" for a, b in pairs]
    subject = f"{first} to {last}" if options["order"] == "falling" else f"{last} below {', '.join(encoders[:-1])}"

    def over(name: str) -> Estimate:
        """What the first of each pair has more, [pairs, layers]."""
        return _stacked([held[a][name] - held[b][name] for a, b in pairs])

    shares = [f"share above {t}" for t in THRESHOLDS]
    reached = [(s, i) for s in shares for i, pair in enumerate(pairs) if any(held[e][s].value[-1] > 0 for e in pair)]
    for name in ("candidate", "unseen images", "excess"):
        tables += [
            rows_of(over(name)[i], layers, encoder=a, series=f"{name}, minus {b}'s") for i, (a, b) in enumerate(pairs)
        ]
    dealt = np.stack([(null[a] - null[b])[:, -1] for a, b in pairs])
    findings = [
        Finding.of_every("falls", subject, over("candidate")[:, -1], steps, n=n),
        *(Finding("step", step, over("candidate")[i, -1], n) for i, step in enumerate(steps)),
        Finding.of_every(
            "shares",
            subject,
            _stacked([over(name)[i, -1] for name, i in reached]),
            [f"{steps[i]}, {name}" for name, i in reached],
            n=n,
        ),
        Finding.of_every("all-layers", subject, over("candidate").map(lambda v: v.mean(axis=-1)), steps, n=n),
        Finding.of_every("excess", subject, over("excess")[:, -1], steps, n=n, null=dealt),
        Finding.of_every("unseen", subject, over("unseen images")[:, -1], steps, n=n),
        Finding("still", last, above(held[last]["highest"][-1], STILL), n),
        Finding("still-excess", last, (held[last]["highest"] - held[last]["highest, external"])[-1], n),
        Finding.of_every(
            "trained",
            subject,
            _stacked([(held[e]["candidate"] - held[e]["untrained"])[-1] for e in encoders]),
            encoders,
            n=n,
        ),
    ]
    sheet.add(pd.concat(tables, ignore_index=True))
    sheet.findings += findings


def _stacked(estimates: list[Estimate]) -> Estimate:
    """Several estimates from the same resamples as one, along a new first axis."""
    value, nested, fixed = (
        np.stack([getattr(estimate, part) for estimate in estimates], axis=axis)
        for part, axis in (("value", 0), ("nested", 1), ("fixed", 1))
    )
    return Estimate(value, nested, fixed, estimates[0].seeds, estimates[0].limit)


def draw(table: pd.DataFrame, images: NDArray[np.uint8]) -> Figure:
    """UnitMem by layer, share of the last layer's units above any value, and the last layer's mean and excess."""
    encoders = list(dict.fromkeys(table["encoder"]))
    figure, axes = plotting.panels(rows=1, columns=4, width=16, height=3.9)
    a, b, c, d = axes[0]
    plotting.encoder_profiles(a, table, "candidate")
    plotting.encoder_profiles(a, table, "untrained", dashed=True, named=False)
    plotting.encoder_profiles(b, table, "excess")
    plotting.zero(b)
    units = table[table["series"] == "unit"]
    for encoder, colour in plotting.colours(encoders).items():
        values = np.sort(units.loc[units["encoder"] == encoder, "value"].to_numpy())
        c.step(values, 1 - np.arange(len(values)) / len(values), where="post", color=colour)
    for threshold in THRESHOLDS:
        c.axvline(threshold, color="black", linewidth=0.7, linestyle=":")
    plotting.last_layers(d, table, {"candidate": "candidate", "unseen images": "unseen images"}, line=False)
    last = units["layer"].iloc[0]
    a.set(title="a  mean UnitMem on candidates; dashed: untrained", xlabel="layer", ylabel="UnitMem")
    b.set(title="b  excess: candidates minus unseen images", xlabel="layer", ylabel="UnitMem")
    c.set(title=f"c  units of layer {last}, all seeds", xlabel="UnitMem", ylabel="share of units above")
    d.set(title=f"d  mean UnitMem of layer {last}", ylabel="UnitMem")
    plotting.legend(a)
    return figure
