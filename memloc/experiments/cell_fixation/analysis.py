"""What repairing the cells of lowest value wins back (2D-OOB, Sun et al., 2024)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from memloc.analysis import plotting
from memloc.analysis.claims import Claim
from memloc.analysis.sheet import Sheet
from memloc.analysis.valued import (
    MAIN,
    PAPER,
    curves_and_ranks,
    label,
    outcomes,
    over_seeds,
    rows_of_methods,
    share,
)

OWN = f"{PAPER}; own threshold"
CLAIMS = {
    "recovers": Claim(
        "Outliers cost accuracy, and repairing the 10 % of cells of lowest value wins back three tenths of the loss: "
        "clean minus dirty accuracy, and accuracy won minus .3 of this loss",
        OWN,
    ),
    "random": Claim(
        "Repairing 10 % of the cells at random wins back at most .15 of the accuracy that outliers cost: "
        ".15 of this cost minus accuracy won",
        OWN,
    ),
    "gap": Claim("Outliers cost accuracy: accuracy on the clean table minus accuracy on the dirty one"),
}


def analyse(sheet: Sheet) -> None:
    """Accuracy by share repaired, table and method; what 10 % win back, as a share of the gap where there is one."""
    for name in sheet.encoders:
        outcome = outcomes(sheet.inputs, name)
        accuracy, clean = outcome.arrays["accuracy"], outcome.arrays["clean"]
        shares = outcome.arrays["changed"][0]
        sheet.add(rows_of_methods(share(accuracy), outcome.methods, shares, series="accuracy", table=name))
        sheet.add(rows_of_methods(share(clean[:, None]), [("clean", 0.0)], series="clean", table=name))
        dirty = accuracy[:, 0, 0]
        won = accuracy[:, :, outcome.at("changed", 0.1)] - dirty[:, None]
        sheet.add(rows_of_methods(over_seeds(won, limit=1), outcome.methods, series="won back", table=name))
        if MAIN not in outcome.methods:
            continue
        best, chance = (won[:, outcome.methods.index(method)] for method in (MAIN, ("random", 0.0)))
        gap = clean - dirty
        # Where nothing is lost, there is nothing to win back: both must hold.
        both = over_seeds(np.stack([gap, best - 0.3 * gap], axis=1))
        subject = f"{name}, {label(MAIN)}"
        sheet.find_in_every("recovers", subject, both, ["gap", "won back"], n=outcome.rows)
        sheet.find("random", name, over_seeds(0.15 * gap - chance), outcome.rows)
        sheet.find("gap", name, over_seeds(gap), outcome.rows)


def draw(table: pd.DataFrame) -> Figure:
    """By table, accuracy against the share of the cells repaired, and what each method wins back."""
    figure, places = curves_and_ranks(
        table,
        main=MAIN,
        curve="test accuracy\n(dotted: clean)",
        along="share of the cells repaired",
        rank="won back",
        ranks="accuracy won by repairing 10 %",
    )
    clean = table[table["series"] == "clean"].set_index("table")["value"]
    for name, above, below in places:
        above.axhline(clean[name], color=plotting.INK, linestyle=":", linewidth=1.2)
        below.axvline(0, color=plotting.INK, linewidth=0.8, zorder=1)
    return figure
