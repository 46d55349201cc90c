"""Flipped labels found by values of rows, and rows of low value removed (2D-OOB, Sun et al., 2024)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from memloc.analysis import plotting
from memloc.analysis.claims import Claim
from memloc.analysis.inputs import equivalent
from memloc.analysis.sheet import Sheet
from memloc.analysis.valued import (
    OOB,
    PAPER,
    Floats,
    Outcomes,
    curves_and_ranks,
    label,
    outcomes,
    over_seeds,
    rows_of_methods,
    share,
)
from memloc.metrics.detection import chance_precision

ROWS = (OOB[0], 0.5)
"""The values of rows that claims are about: closeness has no part in Data-OOB, which they are compared with."""
CLAIMS = {
    "finds": Claim(
        "Values of rows find flipped labels: area under precision and recall minus that of random order", PAPER
    ),
    "as-data-oob": Claim(
        "Means over cells find flipped labels as Data-OOB does: difference of areas within .05 in every table",
        f"{PAPER}; own threshold",
    ),
    "helps": Claim(
        "Removing the 10 % of rows of lowest value helps more than removing random rows: difference in accuracy", PAPER
    ),
}


def analyse(sheet: Sheet) -> None:
    """How well each method finds flipped labels, by table; accuracy by share removed."""
    differences, rows = [], []
    for name in sheet.encoders:
        outcome = outcomes(sheet.inputs, name)
        sheet.add(rows_of_methods(share(outcome.arrays["found"]), outcome.methods, series="found", table=name))
        sheet.add(
            rows_of_methods(
                share(outcome.arrays["accuracy"]),
                outcome.methods,
                outcome.arrays["changed"][0],
                series="accuracy",
                table=name,
            )
        )
        chance = _by_chance(outcome)
        sheet.add(pd.DataFrame({"series": ["chance"], "table": name, "value": np.median(chance)}))
        if ROWS not in outcome.methods:
            continue
        area, data_oob = outcome.of("found", ROWS), outcome.of("found", ("Data-OOB", 0.0))
        at = outcome.at("changed", 0.1)
        accuracy, random = (outcome.of("accuracy", method)[:, at] for method in (ROWS, ("random", 0.0)))
        subject = f"{name}, {label(ROWS)}"
        sheet.find("finds", subject, over_seeds(area - chance), outcome.rows)
        sheet.find("helps", subject, over_seeds(accuracy - random), outcome.rows)
        differences.append(area - data_oob)
        rows.append(outcome.rows)
    if differences:
        estimate = over_seeds(np.stack(differences, axis=1), limit=1)
        sheet.findings.append(
            equivalent("as-data-oob", label(ROWS), estimate, sheet.encoders, margin=0.05, n=min(rows))
        )


def _by_chance(outcome: Outcomes) -> Floats:
    """The area under precision and recall of random order in each seed, [seeds]."""
    rows, flipped = outcome.arrays["rows"], outcome.arrays["flipped"]
    return np.array([chance_precision(int(n), round(n * share)) for n, share in zip(rows, flipped, strict=True)])


def draw(table: pd.DataFrame) -> Figure:
    """By table, accuracy while rows are removed, and how well each method finds flipped labels."""
    figure, places = curves_and_ranks(
        table,
        main=ROWS,
        curve="test accuracy",
        along="share of the rows removed",
        rank="found",
        ranks="flipped labels found (dotted: by chance)",
    )
    chance = table[table["series"] == "chance"].set_index("table")["value"]
    for name, _, below in places:
        below.axvline(chance[name], color=plotting.INK, linestyle=":", linewidth=1, zorder=1)
    return figure
