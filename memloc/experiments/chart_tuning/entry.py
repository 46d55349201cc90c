"""Fine-tuning, and the ceiling of every task."""

from __future__ import annotations

from memloc.experiments.entry import CHART_ANSWERS, OVER_MODELS, Experiment, like_the_first

ENTRY = Experiment(
    order=850,
    theme="charts",
    title="Fine-tuning, and the ceiling of every task",
    paper="FUGU (Tartaglini et al., 2025)",
    asks="what fine-tuning wins, and how far every task is from its ceiling then",
    inputs={"answers": CHART_ANSWERS},
    smallest={"models": ["tiny-tasks", "tiny-tuned"]},
    over=OVER_MODELS,
    faults=like_the_first,
)
