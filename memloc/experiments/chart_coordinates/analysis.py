"""Whether coordinates that are given help, or lead astray."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from memloc.analysis import plotting
from memloc.analysis.charted import ASKED, CROWDS, FUGU, OWN, SINGLE, answers, counted, effect, equal, groups, size
from memloc.analysis.claims import Claim
from memloc.analysis.sheet import Sheet

CLAIMS = {
    "true": Claim(
        "True coordinates help with distances, extremes and means of four marks: accuracy with less without, minus .15",
        OWN,
    ),
    "wrong": Claim("Wrong coordinates lead astray with these tasks: accuracy without coordinates minus with", FUGU),
    "crowds": Claim("True coordinates of a crowd do harm: accuracy without coordinates minus with true ones", FUGU),
}
HELPED, MARKS = ("distance", "extremum", "mean"), 4
GIVEN = ("true", "wrong")
"""Strategies that state coordinates."""


def analyse(sheet: Sheet) -> None:
    """Accuracy of each task with and without coordinates, and what they change."""
    for model in sheet.encoders:
        seeds = answers(sheet, model)
        asked = [table[table["strategy"].isin([ASKED, *GIVEN])] for table in seeds]
        sheet.add(counted(asked, ["task", "strategy"]), model=model, series="task")
        alone = [table[table["strategy"] == ASKED] for table in asked]
        sheet.add(counted(alone, ["task"], column="guess"), model=model, series="task", strategy="guess")
        few = [table[table["task"].isin(HELPED) & table["n"].eq(MARKS)] for table in asked]
        crowds = [table[table["task"].isin(CROWDS)] for table in asked]
        by = {name: equal(strategy=name) for name in (ASKED, *GIVEN)}
        rows, many = groups(few, by), groups(crowds, by)
        if rows:
            gain = effect(sheet, rows, lambda means: means["true"] - means[ASKED], minus=0.15)
            sheet.find("true", model, gain, size(rows))
            sheet.find("wrong", model, effect(sheet, rows, lambda m: m[ASKED] - m["wrong"]), size(rows))
        if many:
            sheet.find("crowds", model, effect(sheet, many, lambda m: m[ASKED] - m["true"]), size(many))


def draw(table: pd.DataFrame) -> Figure:
    """A panel a model: accuracy of each task, without and with coordinates."""
    models = list(dict.fromkeys(table["model"]))
    tasks = [task for task in (*SINGLE, *CROWDS) if task in set(table["task"])]
    figure, axes = plotting.panels(rows=1, columns=len(models), height=0.9 + 0.3 * len(tasks), sharey=True)
    hues = {ASKED: plotting.INK, "true": plotting.PALETTE["blue"], "wrong": plotting.PALETTE["orange"]}
    hues["guess"] = plotting.PALETTE["grey"]
    for axis, model in zip(axes[0], models, strict=True):
        for shift, (strategy, colour) in zip((-0.24, -0.08, 0.08, 0.24), hues.items(), strict=True):
            own = table[(table["model"] == model) & (table["strategy"] == strategy)].set_index("task").reindex(tasks)
            plotting.forest(axis, own, tasks, colours=colour, shift=shift, null=None)
        axis.set(title=plotting.plain(model), xlabel="accuracy", xlim=(-0.03, 1.03))
    names = ("chart alone", "with true coordinates", "with wrong ones", "a guess")
    plotting.key(figure, dict(zip(names, hues.values(), strict=True)))
    return figure
