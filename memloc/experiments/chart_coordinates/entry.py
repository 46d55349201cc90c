"""Coordinates given, true and wrong."""

from __future__ import annotations

from collections.abc import Iterable

from memloc.aliases import Options
from memloc.experiments.entry import CHART_ANSWERS, OVER_MODELS, Experiment


def _given(experiment: Options, name: str, config: Options) -> Iterable[str]:
    """Coordinates must be given."""
    asked = config["charts"]["models"][name]["asked"]
    if lacking := [strategy for strategy in ("true", "wrong") if strategy not in asked]:
        yield f"models: {name} isn't asked {' and '.join(lacking)}, which this is about; add to its asked"


ENTRY = Experiment(
    order=810,
    theme="charts",
    title="Coordinates given, true and wrong",
    paper="FUGU (Tartaglini et al., 2025)",
    asks="whether a model answers rightly once coordinates are given to it, and follows wrong ones",
    inputs={"answers": CHART_ANSWERS},
    smallest={"models": ["tiny-tasks"]},
    over=OVER_MODELS,
    faults=_given,
)
