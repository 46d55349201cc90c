"""How soon values of cells find planted outliers (2D-OOB, Sun et al., 2024)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from memloc.analysis import plotting
from memloc.analysis.claims import Claim
from memloc.analysis.sheet import Sheet
from memloc.analysis.valued import (
    MAIN,
    OOB,
    PAPER,
    Floats,
    Outcomes,
    label,
    main_of,
    of_method,
    outcomes,
    over_seeds,
    rows_of_methods,
    share,
)
from memloc.metrics.stats import Estimate

OWN = f"{PAPER}; own threshold"
CLAIMS = {
    "finds": Claim(
        "Values that count closeness to the class find tail outliers: area under the detection curve minus .8", OWN
    ),
    "closeness": Claim(
        "Values that count closeness to the class find tail outliers sooner than those of accuracy alone: difference "
        "of the areas under their detection curves, minus .02",
        OWN,
    ),
    "found": Claim(
        "Most tail outliers are among the 30 % of the cells of lowest value: share found by values that count "
        "closeness to the class, minus .85",
        OWN,
    ),
    "chance": Claim("Random order finds by chance: .03 minus the distance of its area from .5", OWN),
    "additive": Claim(
        "Values that count closeness to the class find tail outliers where classes depend on a sum of columns: area "
        "under the detection curve minus .85",
        OWN,
    ),
    "additive-accuracy": Claim(
        "Values of accuracy alone do not find tail outliers where classes depend on a sum of columns, as was known "
        "beforehand: .65 minus the area under the detection curve",
        OWN,
    ),
    "swapped": Claim(
        "Values of accuracy alone find swapped cells sooner than a z-score: area under the detection curve minus that "
        "of the z-score, minus .03",
        OWN,
    ),
    "over-knn": Claim(
        "2D-OOB finds outliers sooner than 2D-KNN in every table: difference of areas in the weakest", PAPER
    ),
    "over-two-stage": Claim(
        "2D-OOB finds outliers sooner than two-stage values in every table: difference of areas in the weakest", PAPER
    ),
    "over-ddc": Claim(
        "2D-OOB finds outliers sooner than DDC, which detects deviating cells in each class, in every table: "
        "difference of areas in the weakest (expect refuted on tail outliers, which are what it looks for)"
    ),
    "over-z-score": Claim(
        "2D-OOB finds outliers sooner than a z-score in every table: difference of areas in the weakest (a tail "
        "outlier is a z-score's own definition, so expect refuted there)",
    ),
}
"""Thresholds come from trials on one seed, before this experiment was written; they are about the tables
and ratios named in ``JUDGED``, the last four about all tables."""

JUDGED: Mapping[tuple[str, str], float] = {
    ("tail", "breast-cancer"): 0.25,
    ("tail", "fried"): 0.5,
    ("swap", "breast-cancer"): 0.25,
    ("swap", "digits-8x8"): 0.5,
}
"""By injector and table, the ratio of the claims with a threshold."""
OVER = {"over-knn": "2D-KNN", "over-two-stage": "two-stage", "over-ddc": "DDC", "over-z-score": "z-score"}


def analyse(sheet: Sheet) -> None:
    """Areas by injector, table and method, detection curves, and what they say."""
    options = sheet.options
    tables = {name: outcomes(sheet.inputs, name) for name in sheet.encoders}
    for i, injector in enumerate(options["injectors"]):
        for name, outcome in tables.items():
            about = {"injector": injector, "table": name}
            areas, rates = share(outcome.arrays["areas"][:, i]), share(outcome.arrays["rates"][:, i])
            sheet.add(rows_of_methods(areas, outcome.methods, series="area", **about))
            sheet.add(rows_of_methods(rates, outcome.methods, outcome.arrays["inspected"][0], series="found", **about))
            ratio = JUDGED.get((injector, name))
            if ratio in options["ratios"]:
                subject = f"{name}, {injector}, ratio {ratio:g}"
                for claim, effect in _effects(outcome, i, injector, name, float(ratio or 0)):
                    sheet.find(claim, subject, over_seeds(effect), outcome.rows)
        if MAIN[1] in options["ratios"]:
            for claim, other in OVER.items():
                estimate = _gains(tables, i, other)
                low, high = estimate.interval()
                gains = {"table": list(tables), "value": estimate.value, "low": low, "high": high}
                series = f"{label(MAIN)}, minus {other}"
                sheet.add(pd.DataFrame(gains), injector=injector, series=series)
                n, subject = min(outcome.rows for outcome in tables.values()), f"{label(MAIN)}, {injector}"
                sheet.find_in_every(claim, subject, estimate, list(tables), n=n)
    planted = f"{options['dirty_columns']:.0%} of the cells in {options['dirty_rows']:.0%} of the rows"
    sheet.add_column("planted", planted)


def _effects(outcome: Outcomes, i: int, injector: str, name: str, ratio: float) -> Iterator[tuple[str, Floats]]:
    """Claims with a threshold and their effects in every seed."""
    accuracy, close, z, chance = (
        outcome.of("areas", method, axis=1)[:, i]
        for method in ((OOB[0], ratio), (OOB[1], ratio), ("z-score", 0.0), ("random", 0.0))
    )
    if injector == "swap":
        yield "swapped", accuracy - z - 0.03
    elif name == "fried":
        yield "additive", close - 0.85
        yield "additive-accuracy", 0.65 - accuracy
    else:
        yield "finds", close - 0.8
        yield "closeness", close - accuracy - 0.02
        yield "found", outcome.of("rates", (OOB[1], ratio), axis=1)[:, i, outcome.at("inspected", 0.3)] - 0.85
        yield "chance", 0.03 - np.abs(chance - 0.5)


def _gains(tables: Mapping[str, Outcomes], i: int, other: str) -> Estimate:
    """How much sooner 2D-OOB finds outliers than a baseline: differences of areas [tables]."""
    gains = [
        outcome.of("areas", MAIN, axis=1)[:, i] - outcome.of("areas", (other, 0.0), axis=1)[:, i]
        for outcome in tables.values()
    ]
    return over_seeds(np.stack(gains, axis=1), limit=1)


def draw(table: pd.DataFrame) -> Figure:
    """A row an injector: areas of 2D-OOB by table, and how much larger they are than those of each baseline."""
    injectors, names = (list(dict.fromkeys(table[column])) for column in ("injector", "table"))
    begin = f"{label(MAIN)}, minus "
    over = [series for series in dict.fromkeys(table["series"]) if series.startswith(begin)]
    figure, axes = plotting.panels(
        rows=len(injectors), columns=1 + len(over), height=0.75 + 0.2 * len(names), sharey=True, sharex="col"
    )
    for row, injector in zip(axes, injectors, strict=True):
        part = table[table["injector"] == injector]
        areas = part[part["series"] == "area"]
        main = main_of(areas)
        accuracy = main_of(areas, (OOB[0], main[1]))
        for method, colour, shift in ((main, plotting.INK, -0.14), (accuracy, plotting.COLOURS[OOB[0]], 0.14)):
            rows = of_method(areas, method).set_index("table").reindex(names)
            plotting.forest(row[0], rows, names, colours=colour, shift=shift, null=0.5)
        for axis, series in zip(row[1:], over, strict=True):
            rows = part[part["series"] == series].set_index("table").reindex(names)
            plotting.forest(axis, rows, names)
            axis.set_title(f"Better than {series.removeprefix(begin)}?")
        row[0].set_title(f"Are {injector} outliers found?")
    for axis in axes[-1]:
        axis.set_xlabel("area under the curve" if axis is axes[-1, 0] else "difference")
    plotting.one_scale(axes[:, 1:].flat)
    plotting.key(figure, {label(main): plotting.INK, label(accuracy): plotting.COLOURS[OOB[0]]})
    return figure
