"""Three ways to mend the handoff."""

from __future__ import annotations

from memloc.experiments.entry import CHART_ANSWERS, OVER_MODELS, Experiment, goes_on

ENTRY = Experiment(
    order=840,
    theme="charts",
    title="Three ways to mend the handoff",
    paper="beyond the paper",
    asks="why a model loses what its tower has seen: a narrow connector, no positions, a frozen tower",
    inputs={"answers": CHART_ANSWERS},
    smallest={"models": ["tiny", "tiny-unfrozen"]},
    over=OVER_MODELS,
    faults=goes_on,
)
