"""Where a model memorizes wrong answers."""

from __future__ import annotations

from memloc.experiments.entry import CHART_CANARIES, OVER_MODELS, Experiment

ENTRY = Experiment(
    order=860,
    theme="charts",
    title="Where a model memorizes wrong answers",
    paper="beyond the paper",
    asks="at which stage a memorized wrong answer enters, by states of two models and by patches",
    inputs={"canaries": CHART_CANARIES},
    smallest={"models": ["tiny-canaries"]},
    over=OVER_MODELS,
)
