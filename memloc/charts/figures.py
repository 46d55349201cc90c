"""Figures of charts: accuracy by number of marks, probes by stage, patches by stage and unit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from memloc.analysis import plotting
from memloc.charts.models.tokens import UNITS
from memloc.charts.patching import IMAGE, LAST
from memloc.charts.states import FLATTENED, POOLED, SINGLE
from memloc.charts.states import LAST as LAST_TOKEN

_LINES = {
    SINGLE: ("blue", "single image tokens"),
    FLATTENED: ("purple", "all image tokens"),
    POOLED: ("green", "mean of image tokens"),
    LAST_TOKEN: ("orange", LAST_TOKEN),
}


def accuracy(found: pd.DataFrame, path: Path) -> None:
    """A panel a task: accuracy by number of marks, a line a strategy (see ``ask.accuracy``)."""
    rows = found[found["task"].notna() & found["type"].isna() & found["n"].notna()]
    tasks, strategies = (list(dict.fromkeys(rows[name])) for name in ("task", "strategy"))
    columns = min(3, max(1, len(tasks)))
    figure, axes = plotting.panels(rows=-(-len(tasks) // columns) or 1, columns=columns, width=3.6 * columns)
    hues = plotting.colours(strategies)
    order = sorted(rows["n"].unique())
    for axis, task in zip(axes.flat, tasks, strict=False):
        for strategy in strategies:
            own = rows[rows["task"].eq(task) & rows["strategy"].eq(strategy)].sort_values("n")
            at = np.array([order.index(n) for n in own["n"]])
            axis.plot(at, own["accuracy"], marker="o", markersize=3.5, color=hues[strategy], label=strategy)
            plotting.band(axis, at, own, colour=hues[strategy])
        axis.set_xticks(range(len(order)), [str(n) for n in order])
        axis.set(title=task, xlabel="marks in the chart", ylabel="share of answers that are right", ylim=(-0.03, 1.03))
    for axis in axes.flat[len(tasks) :]:
        axis.remove()
    if tasks:
        plotting.legend(axes.flat[0])
    plotting.save(figure, path)


def probes(found: pd.DataFrame, path: Path) -> None:
    """A panel a target: accuracy of probes by stage, their control dashed, and the model's own (``accuracies``)."""
    rows = found[found["n"].isna() & found["held_out"].isna() & found["answered"].isna()]
    stages = list(dict.fromkeys(rows.loc[rows["control"].notna(), "stage"]))
    targets = list(dict.fromkeys(rows["target"]))
    figure, axes = plotting.panels(rows=1, columns=max(1, len(targets)), width=5.2 * max(1, len(targets)), height=3.8)
    for axis, target in zip(axes[0], targets, strict=False):
        for representation, (hue, label) in _LINES.items():
            own = rows[rows["target"].eq(target) & rows["representation"].eq(representation)]
            at, colour = np.array([stages.index(stage) for stage in own["stage"]]), plotting.PALETTE[hue]
            if len(own):
                axis.plot(at, own["accuracy"], marker="o", markersize=3.5, color=colour, label=label)
                plotting.band(axis, at, own, colour=colour)
                axis.plot(at, own["control"], "--", color=colour, linewidth=1, label=f"{label}: shuffled labels")
        answer = rows[rows["target"].eq(target) & rows["representation"].eq("answer")]
        if len(answer):
            axis.axhline(answer["accuracy"].iloc[0], color="black", linewidth=1, label="the model's own answers")
        axis.set(title=f"{target}: what a linear probe reads", xlabel="stage", ylabel="accuracy", ylim=(-0.03, 1.03))
        plotting.layers(axis, stages)
        axis.grid(axis="x", visible=False)
    if targets:
        plotting.shared_legend(figure, axes[0][0])
    plotting.save(figure, path)


def patches(cells: pd.DataFrame, path: Path) -> None:
    """A panel a task: share of answers that became the source's, stage by unit (``patching.cells``)."""
    rows = cells[cells["n"].isna()]
    tasks, stages = (list(dict.fromkeys(rows[name])) for name in ("task", "stage"))
    figure, axes = plotting.panels(rows=max(1, len(tasks)), columns=1, width=2.5 + 0.5 * len(stages), height=2.6)
    for axis, task in zip(axes[:, 0], tasks, strict=False):
        own = rows[rows["task"].eq(task)]
        wide = own.pivot(index="unit", columns="stage", values="moved")
        wide = wide.reindex(index=[unit for unit in (IMAGE, *UNITS, LAST) if unit in wide.index], columns=stages)
        plotting.matrix(axis, wide, low=0, high=1)
        few = "" if own["pairs"].max() >= own["pairs"].min() and not own["few"].any() else ", few"
        axis.set_title(f"{task}: share of answers that become the other chart's ({own['pairs'].max()} pairs{few})")
    if not tasks:
        axes[0][0].set_title("no pair of items was answered rightly")
    plotting.save(figure, path)
