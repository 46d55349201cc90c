"""Probes of frozen encoders on several tasks (paper, Table 20 and Figure 11)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc.analysis import plotting
from memloc.analysis.claims import Claim, Finding
from memloc.analysis.sheet import Sheet
from memloc.errors import InputError
from memloc.metrics.stats import Estimate, Sample, bootstrap_means

SCALE = "ResNet9, CIFAR100; probes on CIFAR10, STL10 and SVHN besides"
CLAIMS = {
    "own": Claim(
        "Supervised features are better on the task they were trained on: accuracy, first encoder minus second",
        "Table 20",
        value=0.007,
        scale=SCALE,
    ),
    "elsewhere": Claim(
        "Self-supervised features are better on every other task: accuracy, second encoder minus first",
        "Table 20",
        value=0.006,
        scale=f"{SCALE}; its smallest, SVHN",
    ),
    "falls": Claim(
        "Accuracy of linear probes falls at every step from encoder to encoder: each encoder minus the next",
        "Figure 11",
    ),
    "first-over-last": Claim(
        "The first encoder is better to probe than the last: accuracy, first minus last", "Figure 11"
    ),
}
"""The first two where the order is ``own-task``, the others where it is ``falling``."""


def analyse(sheet: Sheet) -> None:
    """Accuracy of every encoder on every task, and what each has more than the first.

    Raises:
        InputError: encoders or seeds differ in tasks or test images.
    """
    inputs, options = sheet.inputs, sheet.options
    encoders, tasks = inputs.encoders(), list(options["tasks"])
    outcomes = [inputs.arrays("outcomes", encoder) for encoder in encoders]
    tested = {task: {len(_marks(o, task)) for seeds in outcomes for o in seeds} for task in tasks}
    for task, numbers in tested.items():
        if len(numbers) > 1:
            raise InputError(f"{task}: tested on {min(numbers)} and {max(numbers)} images; delete the outcomes")
    # One row a test point, one column an encoder: a bootstrap of rows keeps the encoders of a point together.
    samples = [
        {task: np.stack([_marks(outcome, task) for outcome in seed], axis=1) for task in tasks}
        for seed in zip(*outcomes, strict=True)
    ]

    def by_task(means: Sample) -> NDArray[np.float64]:
        return np.stack([means[task] for task in tasks], axis=1)

    accuracy = bootstrap_means(samples, by_task, resamples=options["resamples"], seed=0, limit=1, shared=True)
    chance = {task: float(outcomes[0][0]["chance"][outcomes[0][0]["dataset"] == task][0]) for task in tasks}
    tables = []
    for i, encoder in enumerate(encoders):
        tables.append(_rows(accuracy[:, i], tasks, encoder=encoder, series="accuracy"))
        tables[-1]["chance"] = [chance[task] for task in tasks]
        if i:
            more = accuracy[:, i] - accuracy[:, 0]
            tables.append(_rows(more, tasks, encoder=encoder, series="minus the first"))
    n = {task: tested[task].pop() for task in tasks}
    findings = _own(accuracy, encoders, tasks, n) if options["order"] == "own-task" else []
    if options["order"] == "falling":
        findings = [f for t, task in enumerate(tasks) for f in _falling(accuracy[t], encoders, task, n[task])]
    sheet.add(pd.concat(tables, ignore_index=True))
    sheet.findings += findings


def _own(accuracy: Estimate, encoders: list[str], tasks: list[str], n: dict[str, int]) -> list[Finding]:
    """The first task is the one that both encoders were trained on."""
    own, *others = tasks
    names = " and ".join(encoders)
    own_gain, elsewhere = accuracy[0, 0] - accuracy[0, 1], accuracy[1:, 1] - accuracy[1:, 0]
    return [
        Finding("own", f"{names} on {own}", own_gain, n[own]),
        Finding.of_every("elsewhere", names, elsewhere, others, n=min(n[task] for task in others)),
    ]


def _falling(accuracy: Estimate, encoders: list[str], task: str, n: int) -> list[Finding]:
    steps = [f"{a} over {b}" for a, b in pairwise(encoders)]
    subject = f"{encoders[0]} to {encoders[-1]} on {task}"
    return [
        Finding.of_every("falls", subject, accuracy[:-1] - accuracy[1:], steps, n=n),
        Finding("first-over-last", subject, accuracy[0] - accuracy[-1], n),
    ]


def _marks(outcome: dict[str, NDArray[Any]], task: str) -> NDArray[np.float64]:
    """Which of a task's test points come out right, [tested]."""
    rows = outcome["dataset"] == task
    if not rows.any():
        raise InputError(f"outcomes lack task {task}; delete them and run snakemake again")
    return np.asarray(outcome["correct"][rows][0, : int(outcome["tested"][rows][0])], dtype=np.float64)


def _rows(estimate: Estimate, tasks: list[str], **about: Any) -> pd.DataFrame:
    low, high = estimate.interval()
    return pd.DataFrame({**about, "task": tasks, "value": estimate.value, "low": low, "high": high})


def draw(table: pd.DataFrame, images: NDArray[np.uint8]) -> Figure:
    """Accuracies by task, and differences to the first encoder."""
    figure, axes = plotting.panels(rows=1, columns=2, width=11, height=3.6)
    encoders = list(dict.fromkeys(table["encoder"]))
    tasks = list(dict.fromkeys(table["task"]))
    for axis, name in zip(axes[0], ("accuracy", "minus the first"), strict=True):
        for number, (encoder, colour) in enumerate(plotting.colours(encoders).items()):
            rows = table[(table["series"] == name) & (table["encoder"] == encoder)]
            if len(rows):
                at = np.arange(len(tasks)) + 0.5 * ((number + 0.5) / len(encoders) - 0.5)
                plotting.points(axis, at, rows, colour=colour, label=encoder, size=5)
        axis.set_xticks(range(len(tasks)), tasks, fontsize=8)
        axis.set_xlim(-0.5, len(tasks) - 0.5)
    left, right = axes[0]
    chance = table[table["series"] == "accuracy"].drop_duplicates("task")["chance"]
    left.hlines(chance, np.arange(len(tasks)) - 0.3, np.arange(len(tasks)) + 0.3, colors="black", linestyles="--")
    left.set(title="linear probes", ylabel="test accuracy")
    right.set(title=f"minus {encoders[0]}'s", ylabel="difference of accuracy")
    plotting.zero(right)
    plotting.shared_legend(figure, left)
    return figure
