"""Which states carry an answer."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from memloc.analysis import plotting
from memloc.analysis.charted import OWN, counted, equal, find_share, groups, last_of, of_seeds, tables
from memloc.analysis.claims import Claim
from memloc.analysis.sheet import Sheet

CLAIMS = {
    "entry": Claim(
        "All image tokens where they enter the decoder carry the answer: share of answers that become the other "
        "chart's, minus .99",
        OWN,
    ),
    "itself": Claim(
        "A run that is patched into itself stays as it is: .00001 minus the largest change of a logit", OWN
    ),
    "background": Claim(
        "Tokens of the background carry no answer: .1 minus the share of patched answers that become the other chart's",
        OWN,
    ),
    "marks": Claim(
        "Tokens that show marks carry the answer at the tower's last layer in charts of one and two marks: share of "
        "patched answers that become the other chart's, minus .6",
        OWN,
    ),
    "last": Claim(
        "The last token carries no answer yet behind the decoder's first layer: .1 minus the share of answers that "
        "become the other chart's",
        "Arbitration failure; own threshold",
    ),
    "pairs": Claim(
        "Enough pairs were answered rightly: share of tasks and numbers of marks with any pair that have 50, minus .5"
    ),
}
ENTRY, FIRST, IMAGE, LAST = "decoder input", "decoder 1", "image", "last token"
UNITS = (IMAGE, "marks", "axes", "background", LAST)
ENOUGH = 50
NONE = ["task", "stage", "unit", "value", "low", "high", "items", "few"]
"""Columns of a model of which no pair was answered rightly."""


def analyse(sheet: Sheet) -> None:
    """Share of answers that patches moved, by task, n, stage and unit, and how many pairs stand behind each."""
    for model in sheet.encoders:
        seeds = tables(sheet, "pairs", model)
        first = [table[equal(stage=ENTRY, unit=IMAGE)(table)] for table in seeds]
        enough = [_enough(table) - 0.5 for table in first]
        sheet.find("pairs", model, of_seeds(sheet, enough), max(1, *map(len, first)))
        if not all(len(table) for table in seeds):
            sheet.add(pd.DataFrame(columns=NONE), model=model, series="task")
            continue
        for by in (["task", "stage", "unit"], ["task", "n", "stage", "unit"]):
            found = counted(seeds, by, column="moved")
            sheet.add(found.assign(few=found["items"] < ENOUGH), model=model, series=", ".join(by[:-2]))
        shifts = pd.concat(seeds).groupby(["task", "stage", "unit"], sort=False)["shift"].mean().rename("value")
        sheet.add(shifts.reset_index(), model=model, series="shift")
        tower = last_of(list(dict.fromkeys(seeds[0]["stage"])), "tower")
        entry = groups(seeds, {"moved": equal(stage=ENTRY, unit=IMAGE)}, column="moved")
        if entry:
            find_share(sheet, "entry", model, entry, "moved", above=0.99, shared=False)
        most = of_seeds(sheet, [1e-5 - table["itself"].max() for table in seeds])
        sheet.find("itself", model, most, min(map(len, seeds)))
        # Where the last token enters, it is the same word in both runs.
        for name, stage, unit in (("background", ENTRY, "background"), ("last", FIRST, LAST)):
            rows = groups(seeds, {"moved": equal(stage=stage, unit=unit)}, column="moved")
            if rows:
                find_share(sheet, name, model, rows, "moved", below=0.1, shared=False)
        few = [table[table["n"] <= 2] for table in seeds]
        rows = groups(few, {"moved": equal(stage=tower, unit="marks")}, column="moved")
        if rows:
            find_share(sheet, "marks", model, rows, "moved", above=0.6, shared=False)


def _enough(table: pd.DataFrame) -> float:
    """The share of tasks and numbers of marks that have ENOUGH pairs; 0 where there is no pair at all."""
    return float(np.mean(table.groupby(["task", "n"]).size() >= ENOUGH)) if len(table) else 0.0


def draw(table: pd.DataFrame) -> Figure:
    """A row a model and task: share of answers that a patch moves, by stage and unit."""
    rows = table[table["series"] == "task"]
    panels = list(dict.fromkeys(zip(rows["model"], rows["task"], strict=True)))
    figure, axes = plotting.panels(rows=max(1, len(panels)), columns=1, height=2.3)
    for axis, (model, task) in zip(axes[:, 0], panels, strict=False):
        own = rows[rows["model"].eq(model) & rows["task"].eq(task)]
        stages = list(dict.fromkeys(own["stage"]))
        wide = own.pivot(index="unit", columns="stage", values="value")
        wide = wide.reindex(index=[unit for unit in UNITS if unit in wide.index], columns=stages)
        plotting.matrix(axis, wide.rename_axis(None).rename_axis(None, axis=1), low=0, high=1)
        pairs = own["items"].max()
        few = ", few" if own["few"].any() else ""
        axis.set_title(
            f"{plotting.plain(model)}, {task}: share of answers that become the other chart's ({pairs:g} pairs{few})"
        )
    if not panels:
        axes[0, 0].set_title("no pair of charts was answered rightly")
    return figure
