"""Fine-tuning layers by LayerMem increment."""

from __future__ import annotations

from collections.abc import Iterable

from memloc.experiments.entry import (
    COUNT,
    EVERY_OUTCOME,
    NAME,
    POINTS,
    RATE,
    SEVERAL,
    Experiment,
    Job,
    Options,
    array,
    counts_fit,
    described,
)
from memloc.models.layers import layers_of


def faults(experiment: Options, name: str, config: Options) -> Iterable[str]:
    """There must be as many layers with an increment as are tuned; the first has none."""
    layers = [layer for layer in layers_of(config["encoders"][name]) if layer.modules]
    yield from counts_fit(experiment["counts"], len(layers), "layers")


ENTRY = Experiment(
    order=320,
    theme="layers",
    title="Fine-tuning layers by LayerMem increment",
    paper="Table 5",
    asks="whether fine-tuning layers of highest increment beats the last ones; every subset besides",
    inputs={"outcomes": EVERY_OUTCOME, "points": POINTS},
    options={
        "counts": described(array(COUNT), "Numbers of layers to fine-tune besides the head."),
        "subsets": described({"type": "boolean"}, "Whether every other choice of as many layers is fine-tuned, too."),
        "task": described(NAME, "Dataset to fine-tune on."),
        "images": described(SEVERAL, "Labelled images to fine-tune on."),
        "recipe": described(
            {
                "type": "object",
                "additionalProperties": False,
                "required": ["epochs", "batch_size", "learning_rate"],
                "properties": {
                    "epochs": COUNT,
                    "batch_size": SEVERAL,
                    "learning_rate": RATE,
                },
            },
            "Epochs, batch size and learning rate of fine-tuning.",
        ),
    },
    smallest={
        "encoders": ["simclr"],
        "counts": [1, 2],
        "subsets": False,
        "task": "fashion-unseen",
        "images": 40,
        "recipe": {"epochs": 2, "batch_size": 20, "learning_rate": 0.001},
    },
    tasks="task",
    job=Job(options=("counts", "subsets", "images", "recipe"), reads=("points", "tasks", "layers")),
    faults=faults,
)
