"""Answers moved by patched states."""

from __future__ import annotations

from memloc.experiments.entry import CHART_PAIRS, OVER_MODELS, Experiment, tells_places

ENTRY = Experiment(
    order=830,
    theme="charts",
    title="Answers moved by patched states",
    paper="FUGU (Tartaglini et al., 2025)",
    asks="which states, at which stage, carry an answer",
    inputs={"pairs": CHART_PAIRS},
    smallest={"models": ["tiny"]},
    over=OVER_MODELS,
    faults=tells_places,
)
