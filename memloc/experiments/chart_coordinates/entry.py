"""Coordinates given, true and wrong."""

from __future__ import annotations

from memloc.experiments.entry import CHART_ANSWERS, OVER_MODELS, Experiment

ENTRY = Experiment(
    order=810,
    theme="charts",
    title="Coordinates given, true and wrong",
    paper="FUGU (Tartaglini et al., 2025)",
    asks="whether a model answers rightly once coordinates are given to it, and follows wrong ones",
    inputs={"answers": CHART_ANSWERS},
    smallest={"models": ["tiny-tasks"]},
    over=OVER_MODELS,
)
