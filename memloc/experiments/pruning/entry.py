"""Pruning units by UnitMem."""

from __future__ import annotations

from collections.abc import Iterable

from memloc.experiments.entry import (
    COUNT,
    EVERY_OUTCOME,
    FRACTION,
    IMAGES,
    TASKS,
    Experiment,
    Job,
    Options,
    array,
    described,
)

BASELINES = [
    *("matched", "matched-magnitude", "top-unseen", "excess", "excess-unseen"),
    *("activation-low", "activation-high", "magnitude-low"),
]
"""What pruning by UnitMem is compared with, besides random units."""


def faults(experiment: Options, name: str, config: Options) -> Iterable[str]:
    """Matched units must be there: of a pool three times as large as what is pruned."""
    matched = [arm for arm in experiment["baselines"] if arm.startswith("matched")]
    smallest = min(experiment["fractions"])
    if matched and smallest > 1 / 3:
        few = f"{smallest} is too large for {matched[0]}, which prunes a third of the units at most"
        yield f"fractions: {few}; add a smaller one or leave {matched[0]} out of baselines"


ENTRY = Experiment(
    order=200,
    theme="units",
    title="Pruning units by UnitMem",
    paper="Table 6",
    asks="what units of high UnitMem are worth, and what units as active, weak or small are",
    inputs={"outcomes": EVERY_OUTCOME},
    options={
        "fractions": described(
            array(FRACTION),
            "Fractions of the units to prune. Claims use .1 and .2, the paper's, where they are among these.",
        ),
        "scopes": described(
            array({"enum": ["layer", "total"]}), "layer: of each layer's units; total: of all units by one ranking."
        ),
        "trials": described(COUNT, "Random choices of units to compare with."),
        "baselines": described(array({"enum": BASELINES}) | {"minItems": 0}, "What else to prune by (docs/method.md)."),
        "tasks": TASKS,
        "images": IMAGES,
    },
    smallest={
        "encoders": ["simclr"],
        "fractions": [0.1, 0.3],
        "scopes": ["layer", "total"],
        "trials": 2,
        "baselines": [
            "matched",
            "matched-magnitude",
            "top-unseen",
            "excess",
            "excess-unseen",
            "activation-low",
            "activation-high",
            "magnitude-low",
        ],
        "tasks": ["fashion", "digits"],
        "images": 60,
    },
    needs=("units",),
    tasks="tasks",
    job=Job(options=("fractions", "trials", "scopes", "baselines", "images"), reads=("units", "tasks", "layers")),
    faults=faults,
)
