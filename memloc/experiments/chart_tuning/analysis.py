"""What fine-tuning wins, and what it leaves."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from memloc.analysis import plotting
from memloc.analysis.charted import ASKED, FUGU, OWN, answers, counted, effect, equal, groups, size
from memloc.analysis.claims import Claim
from memloc.analysis.sheet import Sheet
from memloc.experiments.chart_handoff.analysis import gained

CLAIMS = {
    "gain": Claim("Fine-tuning all of a model tells places of four marks more often: gain of accuracy minus .05", OWN),
    "ceiling": Claim(
        "Fine-tuning leaves some task below its ceiling: .95 minus the accuracy, in the surest task", FUGU
    ),
}
MARKS, CEILING, GUESS = 4, 0.95, "guess"


def analyse(sheet: Sheet) -> None:
    """Accuracy of every task before and after fine-tuning."""
    before, *tuned = sheet.encoders
    known = {model: answers(sheet, model) for model in sheet.encoders}
    for model, seeds in known.items():
        asked = [table[table["strategy"] == ASKED] for table in seeds]
        sheet.add(counted(asked, ["task"]), model=model, series="accuracy")
    asked = [table[table["strategy"] == ASKED] for table in known[before]]
    sheet.add(counted(asked, ["task"], column="guess"), model=GUESS, series="accuracy")
    for model in tuned:
        gains = [gained(*pair) for pair in zip(known[model], known[before], strict=True)]
        rows = groups(gains, {"gain": equal(task="position", n=MARKS)}, column="gain")
        if rows:
            sheet.find("gain", model, effect(sheet, rows, lambda m: m["gain"], minus=0.05), size(rows))
        asked = [table[table["strategy"] == ASKED] for table in known[model]]
        tasks = list(dict.fromkeys(asked[0]["task"]))
        every = groups(asked, {task: equal(task=task) for task in tasks})
        if every:
            missing = effect(
                sheet,
                every,
                lambda m: -np.stack([np.asarray(m[task]) for task in tasks], axis=-1),  # noqa: B023
                minus=-CEILING,
            )
            sheet.find_in_any("ceiling", model, missing, tasks, n=size(every))


def draw(table: pd.DataFrame) -> Figure:
    """A row a task: accuracy before and after."""
    models, tasks = (list(dict.fromkeys(table[name])) for name in ("model", "task"))
    figure, axes = plotting.panels(rows=1, columns=1, height=0.9 + 0.35 * len(tasks))
    hues = plotting.colours([model for model in models if model != GUESS]) | {GUESS: plotting.PALETTE["grey"]}
    for number, model in enumerate(models):
        own = table[table["model"] == model].set_index("task").reindex(tasks)
        shift = 0.3 * (number - (len(models) - 1) / 2) / max(1, len(models) - 1)
        plotting.forest(axes[0, 0], own, tasks, colours=hues[model], shift=shift, null=CEILING)
    axes[0, 0].set(xlabel="accuracy", xlim=(-0.03, 1.03))
    plotting.key(figure, {plotting.plain(model): hues[model] for model in models})
    return figure
