"""Memories trained into known places, and whether they are found there."""

from __future__ import annotations

from collections.abc import Iterable

from memloc.experiments.entry import (
    COUNT,
    FRACTION,
    NAME,
    OUTCOMES,
    RATE,
    SEVERAL,
    Experiment,
    Job,
    Options,
    array,
    described,
    split_of,
)
from memloc.models.layers import layers_of
from memloc.wording import none_of


def faults(experiment: Options, name: str, config: Options) -> Iterable[str]:
    """Layers must have units, and be measured; targets and controls must be there."""
    units = [layer.name for layer in layers_of(config["encoders"][name]) if layer.units]
    yield from (f"layers: {none_of(layer, units)}" for layer in experiment["layers"] if layer not in units)
    external = split_of(name, config)["external"]
    if 2 * experiment["targets"] > external:
        twice = f"{experiment['targets']} targets and as many controls don't fit into {external} external images"
        yield f"targets: {twice}; lower it"


ENTRY = Experiment(
    order=255,
    theme="units",
    title="Memories trained into known filters and layers",
    paper="beyond the paper (INJ and DEL of Chang et al., 2024, for language models)",
    asks="whether UnitMem and LayerMem name the filters and layers that memories were trained into "
    "([at risk](claims.md))",
    inputs={"outcomes": OUTCOMES},
    options={
        "layers": described(array(NAME), 'Layers to train memories into, one after the other. Quote a number: "8".'),
        "targets": described(SEVERAL, "External images to train memories of, and as many others to compare with."),
        "fraction": described(FRACTION, "Share of the layer's filters that are trained; the whole layer besides."),
        "steps": described(COUNT, "Training steps, each on all targets."),
        "learning_rate": described(RATE, "Learning rate of the steps."),
        "trials": described(COUNT, "Random sets of filters to zero."),
    },
    smallest={
        "encoders": ["simclr"],
        "layers": ["4", "8"],
        "targets": 4,
        "fraction": 0.2,
        "steps": 3,
        "learning_rate": 0.001,
        "trials": 1,
    },
    needs=("units",),
    job=Job(
        options=("layers", "targets", "fraction", "steps", "learning_rate", "trials"),
        reads=("images", "learner", "protocol", "layers"),
    ),
    faults=faults,
)
