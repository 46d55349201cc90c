"""Probes of frozen encoders on several tasks (paper, Table 20 and Figure 11)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc.analysis import plotting
from memloc.analysis.claims import Claim
from memloc.analysis.inputs import Arrays
from memloc.analysis.sheet import Sheet
from memloc.errors import InputError
from memloc.metrics.stats import Estimate, Sample

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
    encoders, tasks = sheet.encoders, list(sheet.options["tasks"])
    outcomes = [sheet.arrays("outcomes", encoder) for encoder in encoders]
    n = {task: _tested(outcomes, task) for task in tasks}
    # One row a test point, one column an encoder: a bootstrap of rows keeps the encoders of a point together.
    samples = [
        {task: np.stack([np.mean([_marks(o, task) for o in pair], axis=0) for pair in seed], axis=1) for task in tasks}
        for seed in zip(*map(sheet.inputs.by_seed, encoders, outcomes), strict=True)
    ]

    def by_task(means: Sample) -> NDArray[np.float64]:
        return np.stack([means[task] for task in tasks], axis=1)

    accuracy = sheet.means(samples, by_task, limit=1, shared=True)
    first = outcomes[0][0]
    chance = [float(first["chance"][first["dataset"] == task][0]) for task in tasks]
    for i, encoder in enumerate(encoders):
        sheet.add(_rows(accuracy[:, i], tasks, encoder=encoder, series="accuracy").assign(chance=chance))
        if i:
            more = accuracy[:, i] - accuracy[:, 0]
            sheet.add(_rows(more, tasks, encoder=encoder, series="minus the first"))
    if sheet.options["order"] == "own-task":
        _own(sheet, accuracy, tasks, n)
    else:
        _falling(sheet, accuracy, tasks, n)


def _tested(outcomes: Sequence[Sequence[Arrays]], task: str) -> int:
    """How many test images all encoders and seeds were tested on."""
    numbers = {len(_marks(outcome, task)) for seeds in outcomes for outcome in seeds}
    if len(numbers) > 1:
        raise InputError(f"{task}: tested on {min(numbers)} and {max(numbers)} images; delete the outcomes")
    return numbers.pop()


def _marks(outcome: Arrays, task: str) -> NDArray[np.float64]:
    """Which of a task's test points come out right, [tested]."""
    rows = outcome["dataset"] == task
    if not rows.any():
        raise InputError(f"outcomes lack task {task}; delete them and run snakemake again")
    return np.asarray(outcome["correct"][rows][0, : int(outcome["tested"][rows][0])], dtype=np.float64)


def _own(sheet: Sheet, accuracy: Estimate, tasks: Sequence[str], n: Mapping[str, int]) -> None:
    """Findings where both encoders were trained on the first task.

    Args:
        accuracy: [tasks, encoders].
    """
    own, *others = tasks
    names = " and ".join(sheet.encoders)
    sheet.find("own", f"{names} on {own}", accuracy[0, 0] - accuracy[0, 1], n[own])
    elsewhere = accuracy[1:, 1] - accuracy[1:, 0]
    sheet.find_in_every("elsewhere", names, elsewhere, others, n=min(n[task] for task in others))


def _falling(sheet: Sheet, accuracy: Estimate, tasks: Sequence[str], n: Mapping[str, int]) -> None:
    """Findings on accuracy [tasks, encoders] along the encoders, task by task."""
    encoders = sheet.encoders
    steps = [f"{a} over {b}" for a, b in pairwise(encoders)]
    for i, task in enumerate(tasks):
        of_task = accuracy[i]
        subject = f"{encoders[0]} to {encoders[-1]} on {task}"
        sheet.find_in_every("falls", subject, of_task[:-1] - of_task[1:], steps, n=n[task])
        sheet.find("first-over-last", subject, of_task[0] - of_task[-1], n[task])


def _rows(estimate: Estimate, tasks: Sequence[str], **about: str) -> pd.DataFrame:
    low, high = estimate.interval()
    return pd.DataFrame({**about, "task": list(tasks), "value": estimate.value, "low": low, "high": high})


def draw(table: pd.DataFrame, images: NDArray[np.uint8]) -> Figure:
    """Accuracies by task, and differences to the first encoder."""
    encoders, tasks = (list(dict.fromkeys(table[column])) for column in ("encoder", "task"))
    keys = [(task, encoder) for task in tasks for encoder in encoders]
    groups, names = [plotting.plain(task) for task, _ in keys], [encoder for _, encoder in keys]
    figure, ((left, right),) = plotting.panels(
        rows=1, columns=2, height=0.7 + 0.2 * (len(keys) + len(tasks)), sharey=True
    )
    of = {name: rows.set_index(["task", "encoder"]) for name, rows in table.groupby("series")}
    accuracy, more = of["accuracy"].reindex(keys), of["minus the first"].reindex(keys)
    at = plotting.forest(left, accuracy, names, groups=groups, null=None)
    left.plot(accuracy["chance"], at, "|", color=plotting.COLOURS["chance"], markersize=9, markeredgewidth=2)
    plotting.forest(right, more, names, groups=groups)
    left.set(title="Do features tell classes apart?", xlabel="accuracy of linear probes (grey: largest class)")
    right.set(title=f"Better than {plotting.plain(encoders[0], most=24)}'s?", xlabel="difference of accuracy")
    return figure
