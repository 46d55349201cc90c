"""Reconstruction of hidden patches, a second witness of memorization in masked autoencoders."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc.analysis import plotting
from memloc.analysis.claims import Claim, Finding
from memloc.analysis.inputs import GROUPS, forms, rows_of
from memloc.analysis.sheet import Sheet
from memloc.analysis.witnesses import (
    agreement,
    by_group,
    candidates,
    draw_agreement,
    draw_forms,
    draw_roles,
    samples,
    witnessed,
)
from memloc.metrics.alignment import ESTIMATORS
from memloc.metrics.stats import Sample, bootstrap, bootstrap_means

CLAIMS = {
    "crossed": Claim(
        "Images that an encoder was trained on are painted better: difference of losses, crossed, as a share of "
        "external images'",
    ),
    "agrees": Claim(
        "Candidates of higher SSLMem are those that f paints better than g: rank correlation of the output's SSLMem "
        "and loss of g minus f",
    ),
    "agrees-excess": Claim(
        "SSLMem and reconstruction agree more on candidates than on external images: rank correlation of the output's "
        "SSLMem and loss of g minus f"
    ),
}


def analyse(sheet: Sheet) -> None:
    """Losses of f and g by group, the advantage of f in every estimator, its rank correlation with SSLMem."""
    inputs, options = sheet.inputs, sheet.options
    tables, findings = [], []
    settings = {"resamples": options["resamples"], "seed": 0}
    for encoder in inputs.encoders():
        points = witnessed(inputs, encoder, ["losses"])
        for table in points:
            table["advantage"] = table["losses_g"] - table["losses_f"]
        losses = samples(points, ["losses_f", "losses_g"])
        means = bootstrap_means(losses, by_group, **settings)
        advantage = bootstrap_means(losses, _advantage, **settings)
        rho = bootstrap(samples(points, ["advantage", "sslmem"]), agreement, limit=1.0, **settings)
        tables += [
            rows_of(means[:, column], GROUPS, encoder=encoder, series=role) for column, role in enumerate(("f", "g"))
        ]
        tables.append(rows_of(advantage, ESTIMATORS, encoder=encoder, series="advantage"))
        tables.append(rows_of(rho, GROUPS, encoder=encoder, series="correlation"))
        tables.append(candidates(points, encoder=encoder))
        n = len(losses[0]["candidate"])
        effects = {
            "crossed": advantage[ESTIMATORS.index("crossed")],
            "agrees": rho[GROUPS.index("candidate")],
            "agrees-excess": rho[GROUPS.index("candidate")] - rho[GROUPS.index("external")],
        }
        findings += [Finding(claim, encoder, effect, n) for claim, effect in effects.items()]
    sheet.add(pd.concat(tables, ignore_index=True))
    sheet.findings += findings


def _advantage(means: Sample) -> NDArray[np.float64]:
    """L_g - L_f in every form over the mean loss, of f and g, of images that neither has seen: [k, ESTIMATORS]."""
    difference = {group: means[group][:, 1] - means[group][:, 0] for group in GROUPS}
    return np.asarray(forms(difference) / means["external"].mean(axis=1)[:, None])


def draw(table: pd.DataFrame, images: NDArray[np.uint8]) -> Figure:
    """One row an encoder: losses by group, the advantage of f, candidates' ranks, correlations."""
    encoders = list(dict.fromkeys(table["encoder"]))
    figure, axes = plotting.panels(rows=len(encoders), columns=4, width=15)
    for (losses, advantage, scatter, correlation), encoder in zip(axes, encoders, strict=True):
        mine = table[table["encoder"] == encoder].set_index("series")
        draw_roles(losses, mine)
        losses.set(title=f"{encoder}: hidden patches", ylabel="reconstruction loss")
        plotting.legend(losses)
        draw_forms(advantage, mine)
        advantage.set(title="loss of g minus loss of f", ylabel="share of external images' loss")
        draw_agreement(scatter, correlation, mine, advantage="loss of g - f")
    return figure
