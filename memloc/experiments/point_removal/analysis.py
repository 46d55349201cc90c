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
    curves,
    dots,
    label,
    legend_below,
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
    """Above, flipped labels found, by table; below, accuracy while rows are removed, in up to three tables."""
    names = list(dict.fromkeys(table["table"]))
    shown = names[:3]
    figure, axes = plotting.panels(rows=2, columns=len(shown), width=11, height=3.2)
    grid = axes[0, 0].get_gridspec()
    for axis in axes[0]:
        axis.remove()
    above = figure.add_subplot(grid[0, :])
    dots(above, table[table["series"] == "found"], names)
    chance = table[table["series"] == "chance"].set_index("table")["value"][names]
    above.hlines(chance, np.arange(len(names)) - 0.5, np.arange(len(names)) + 0.5, color="#777777", linewidth=0.8)
    above.set(title="flipped labels", ylabel="area under precision and recall")
    for axis, name in zip(axes[1], shown, strict=True):
        curves(axis, table[(table["series"] == "accuracy") & (table["table"] == name)])
        axis.set(title=name, xlabel="share of the rows removed", ylabel="test accuracy")
    legend_below(figure, axes[1, 0])
    return figure
