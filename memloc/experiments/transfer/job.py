"""What a frozen encoder's features are worth on several tasks (paper, Table 20 and Figure 11)."""

from __future__ import annotations

import numpy as np

from memloc.experiments.desk import Desk, Outcomes
from memloc.models import probe


def run(desk: Desk) -> Outcomes:
    """Fit a linear probe on each task and note which of its test points it gets right.

    Returns:
        By task ``dataset``; ``correct`` [tasks, test points], padded with False where a task has fewer; ``tested``
        counts them; ``chance``, the share of the largest class among them.
    """
    settings, marks = [], []
    width = max(len(test.labels) for _, test in desk.tasks.values())
    for dataset, (_, test) in desk.tasks.items():
        right = desk.probed(desk.encoder, dataset)
        chance = np.bincount(test.labels).max() / len(test.labels)
        settings.append({"dataset": dataset, "tested": len(right), "chance": chance})
        marks.append(np.pad(right, (0, width - len(right))))
    return probe.describe(settings, marks)
