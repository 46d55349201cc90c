"""What repairing the cells of lowest value wins back (2D-OOB, Sun et al., 2024)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from memloc.analysis import plotting
from memloc.analysis.claims import Claim, Finding
from memloc.analysis.sheet import Sheet
from memloc.analysis.valued import (
    MAIN,
    PAPER,
    curves,
    label,
    legend_below,
    outcomes,
    over_seeds,
    rows_of_methods,
    share,
)

OWN = f"{PAPER}; own threshold"
CLAIMS = {
    "recovers": Claim(
        "Outliers cost accuracy, and repairing the 10 % of the cells of lowest value wins three tenths of it back: the "
        "gap between clean and dirty, and accuracy won minus .3 of it",
        OWN,
    ),
    "random": Claim(
        "Repairing as many random cells wins back at most .15 of it: .15 of the gap minus accuracy won", OWN
    ),
    "gap": Claim("Outliers cost accuracy: clean minus dirty"),
}


def analyse(sheet: Sheet) -> None:
    """Accuracy by share repaired, table and method; what 10 % win back, as a share of the gap where there is one."""
    inputs = sheet.inputs
    tables, findings = [], []
    for name in inputs.encoders():
        mine = outcomes(inputs, name)
        accuracy, clean = mine.arrays["accuracy"], mine.arrays["clean"]
        shares = mine.arrays["changed"][0]
        tables.append(rows_of_methods(share(accuracy), mine.methods, shares, series="accuracy", table=name))
        tables.append(rows_of_methods(share(clean[:, None]), [("clean", 0.0)], series="clean", table=name))
        dirty = accuracy[:, 0, 0]
        won = accuracy[:, :, mine.at("changed", 0.1)] - dirty[:, None]
        tables.append(rows_of_methods(over_seeds(won, limit=1), mine.methods, series="won back", table=name))
        if MAIN not in mine.methods:
            continue
        best, chance = (won[:, mine.methods.index(method)] for method in (MAIN, ("random", 0.0)))
        gap = clean - dirty
        # Where nothing is lost, there is nothing to win back: the one of both that is less sure speaks.
        both = over_seeds(np.stack([gap, best - 0.3 * gap], axis=1))
        subject = f"{name}, {label(MAIN)}"
        findings += [
            Finding.of_every("recovers", subject, both, ["gap", "won back"], n=mine.rows),
            Finding("random", name, over_seeds(0.15 * gap - chance), mine.rows),
            Finding("gap", name, over_seeds(gap), mine.rows),
        ]
    sheet.add(pd.concat(tables, ignore_index=True))
    sheet.findings += findings


def draw(table: pd.DataFrame) -> Figure:
    """A panel a table: accuracy against the share of the cells repaired."""
    names = list(dict.fromkeys(table["table"]))
    columns = min(4, len(names))
    figure, axes = plotting.panels(rows=-(-len(names) // columns), columns=columns, width=11, height=3.0)
    for axis, name in zip(axes.flat, names, strict=False):
        mine = table[table["table"] == name]
        curves(axis, mine[mine["series"] == "accuracy"], bands=[MAIN, ("random", 0.0)])
        axis.axhline(float(mine.loc[mine["series"] == "clean", "value"].iloc[0]), color="black", linestyle="--")
        axis.set(title=name, xlabel="share of the cells repaired", ylabel="test accuracy")
    for axis in axes.flat[len(names) :]:
        axis.remove()
    legend_below(figure, axes[0, 0])
    return figure
