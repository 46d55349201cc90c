"""What a model answers to charts."""

from __future__ import annotations

from memloc.experiments.entry import CHART_ANSWERS, OVER_MODELS, Experiment, tells_places

ENTRY = Experiment(
    order=800,
    theme="charts",
    title="What a model answers to charts",
    paper="FUGU (Tartaglini et al., 2025)",
    asks="how often a model answers rightly, by task, number of marks, chart type and strategy",
    inputs={"answers": CHART_ANSWERS},
    smallest={"models": ["tiny"]},
    over=OVER_MODELS,
    faults=tells_places,
)
