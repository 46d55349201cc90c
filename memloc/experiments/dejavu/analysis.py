"""Labels inferred from the corners of images, a second witness of memorization (Meehan et al., 2023)."""

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
from memloc.metrics.stats import bootstrap, bootstrap_means

PAPER = "beyond the paper (Meehan et al., 2023)"
CLAIMS = {
    "crossed": Claim(
        "Labels of images that an encoder was trained on are inferred better from their corners: share of votes, "
        "crossed",
        PAPER,
    ),
    "agrees": Claim(
        "Candidates of higher SSLMem are those whose labels f infers better than g: rank correlation of the output's "
        "SSLMem and votes of f minus g",
        PAPER,
    ),
    "agrees-excess": Claim(
        "SSLMem and inferred labels agree more on candidates than on external images: rank correlation of the "
        "output's SSLMem and votes of f minus g",
        PAPER,
    ),
}
SHARES = ["votes_f", "votes_g", "chance_f"]


def analyse(sheet: Sheet) -> None:
    """Votes of f and g by group, the advantage of f in every estimator, its rank correlation with SSLMem."""
    inputs, options = sheet.inputs, sheet.options
    tables, findings = [], []
    settings = {"resamples": options["resamples"], "seed": 0, "limit": 1.0}
    for encoder in inputs.encoders():
        points = witnessed(inputs, encoder, ["votes", "correct", "chance"])
        for table in points:
            table["advantage"] = table["votes_f"] - table["votes_g"]
            table["majority"] = table["correct_f"] - table["correct_g"]
        shares = bootstrap_means(samples(points, SHARES), by_group, **settings)
        advantage = bootstrap_means(samples(points, ["advantage", "majority"]), forms, **settings)
        rho = bootstrap(samples(points, ["advantage", "sslmem"]), agreement, **settings)
        tables += [
            rows_of(shares[:, column], GROUPS, encoder=encoder, series=series)
            for column, series in enumerate(("f", "g", "chance"))
        ]
        tables += [
            rows_of(advantage[:, column], ESTIMATORS, encoder=encoder, series=series)
            for column, series in enumerate(("advantage", "advantage, majority"))
        ]
        tables.append(rows_of(rho, GROUPS, encoder=encoder, series="correlation"))
        tables.append(candidates(points, encoder=encoder))
        n = int((points[0]["group"] == "candidate").sum())
        effects = {
            "crossed": advantage[ESTIMATORS.index("crossed"), 0],
            "agrees": rho[GROUPS.index("candidate")],
            "agrees-excess": rho[GROUPS.index("candidate")] - rho[GROUPS.index("external")],
        }
        findings += [Finding(claim, encoder, effect, n) for claim, effect in effects.items()]
    sheet.add(pd.concat(tables, ignore_index=True))
    sheet.findings += findings


def draw(table: pd.DataFrame, images: NDArray[np.uint8]) -> Figure:
    """One row an encoder: votes by group, the advantage of f, candidates' ranks, correlations."""
    encoders = list(dict.fromkeys(table["encoder"]))
    figure, axes = plotting.panels(rows=len(encoders), columns=4, width=15)
    for (votes, advantage, scatter, correlation), encoder in zip(axes, encoders, strict=True):
        mine = table[table["encoder"] == encoder].set_index("series")
        draw_roles(votes, mine)
        chance, at = mine.loc["chance"], np.arange(len(GROUPS))
        votes.hlines(chance["value"], at - 0.25, at + 0.25, color="black", label="chance")
        votes.set(title=f"{encoder}: labels from corners", ylabel="votes for the own label")
        plotting.legend(votes, room=0.25)
        draw_forms(advantage, mine)
        advantage.set(title="votes of f minus votes of g", ylabel="difference of shares")
        draw_agreement(scatter, correlation, mine, advantage="votes of f - g")
    return figure
