"""What can be read at every stage of a model."""

from __future__ import annotations

from collections.abc import Iterable

from memloc.aliases import Options
from memloc.experiments.entry import CHART_PREDICTIONS, OVER_MODELS, Experiment


def _faults(experiment: Options, name: str, config: Options) -> Iterable[str]:
    """What is read is where marks are."""
    if "position" not in config["charts"]["models"][name]["tasks"]:
        yield f"models: {name} doesn't learn position, which probes are about; name another"


ENTRY = Experiment(
    order=820,
    theme="charts",
    title="What can be read at every stage of a model",
    paper="FUGU (Tartaglini et al., 2025)",
    asks="at which stage a model loses what its tower has seen, also where it answers wrongly",
    inputs={"predictions": CHART_PREDICTIONS},
    smallest={"models": ["tiny"]},
    over=OVER_MODELS,
    faults=_faults,
)
