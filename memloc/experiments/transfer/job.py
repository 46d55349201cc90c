"""What a frozen encoder's features are worth on several tasks (paper, Table 20 and Figure 11)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import nn

from memloc.data.prepared import Part
from memloc.experiments.desk import Desk, Outcomes
from memloc.models import probe
from memloc.models.network import Normalise


def probe_tasks(
    encoder: nn.Module, tasks: Mapping[str, tuple[Part, Part]], *, normalise: Normalise, device: str = "cpu"
) -> Outcomes:
    """Fit a linear probe on each task and note which of its test points it gets right.

    Args:
        tasks: by dataset, the labelled images a probe is fitted on and those it is tested on.

    Returns:
        By task ``dataset``; ``correct`` [tasks, test points], padded with False where a task has fewer; ``tested``
        counts them; ``chance``, the share of the largest class among them.
    """
    settings, marks = [], []
    width = max(len(test.labels) for _, test in tasks.values())
    for dataset, (train, test) in tasks.items():
        right = probe.correct(
            probe.features(encoder, train.images, normalise, device=device),
            train.labels,
            probe.features(encoder, test.images, normalise, device=device),
            test.labels,
        )
        chance = np.bincount(test.labels).max() / len(test.labels)
        settings.append({"dataset": dataset, "tested": len(right), "chance": chance})
        marks.append(np.pad(right, (0, width - len(right))))
    return probe.describe(settings, marks)


def run(desk: Desk) -> Outcomes:
    """Fit a probe on every task."""
    return probe_tasks(desk.encoder, desk.tasks, normalise=desk.normalise, device=desk.device)
