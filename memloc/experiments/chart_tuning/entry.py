"""Fine-tuning, and the ceiling of every task."""

from __future__ import annotations

from collections.abc import Iterable

from memloc.aliases import Options
from memloc.experiments.entry import CHART_ANSWERS, OVER_MODELS, Experiment, goes_on


def _tuned(experiment: Options, name: str, config: Options) -> Iterable[str]:
    """The first has its tower as it was, the others learn all of themselves."""
    yield from goes_on(experiment, name, config)
    first = experiment["models"][0]
    if config["charts"]["models"][name]["frozen"] != (name == first):
        told = "frozen: true" if name == first else "frozen: false"
        yield f"models: {name} needs {told}, for the first keeps its tower and the others are tuned; change their order"


ENTRY = Experiment(
    order=850,
    theme="charts",
    title="Fine-tuning, and the ceiling of every task",
    paper="FUGU (Tartaglini et al., 2025)",
    asks="what fine-tuning wins, and how far every task is from its ceiling then",
    inputs={"answers": CHART_ANSWERS},
    smallest={"models": ["tiny-tasks-longer", "tiny-tuned"]},
    over=OVER_MODELS,
    faults=_tuned,
)
