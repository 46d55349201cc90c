"""What can be read at every stage of a model."""

from __future__ import annotations

from memloc.experiments.entry import CHART_PREDICTIONS, OVER_MODELS, Experiment, tells_places

ENTRY = Experiment(
    order=820,
    theme="charts",
    title="What can be read at every stage of a model",
    paper="FUGU (Tartaglini et al., 2025)",
    asks="at which stage a model loses what its tower has seen, also where it answers wrongly",
    inputs={"predictions": CHART_PREDICTIONS},
    smallest={"models": ["tiny"]},
    over=OVER_MODELS,
    faults=tells_places,
)
