"""Memorization put into single units."""

from __future__ import annotations

from collections.abc import Iterable

from memloc.experiments.entry import COUNT, NAME, OUTCOMES, RATE, SEVERAL, Experiment, Job, Options, array, described
from memloc.models.layers import layers_of


def faults(experiment: Options, name: str, config: Options) -> Iterable[str]:
    """The layer must have units, and be measured."""
    units = [layer.name for layer in layers_of(config["encoders"][name]) if layer.units]
    if experiment["layer"] not in units:
        yield f"layer: {experiment['layer']!r} has no units; take one of {', '.join(units)}"


ENTRY = Experiment(
    order=250,
    theme="units",
    title="Memorization put into single units",
    paper="Tables 13 and 14",
    asks="whether a single unit, trained on one image, memorizes it",
    inputs={"outcomes": OUTCOMES},
    options={
        "layer": described(NAME, 'Layer of the units. Quote a number: "8".'),
        "steps": described(array(COUNT), "Numbers of training steps after which to look."),
        "batch_size": described(SEVERAL, "Images in a step."),
        "learning_rate": described(RATE, "Learning rate of the steps."),
    },
    smallest={"encoders": ["simclr"], "layer": "6", "steps": [2, 4], "batch_size": 4, "learning_rate": 0.001},
    needs=("units",),
    job=Job(
        options=("layer", "steps", "batch_size", "learning_rate"), reads=("images", "learner", "protocol", "layers")
    ),
    faults=faults,
)
