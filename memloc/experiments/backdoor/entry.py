"""A backdoor's trigger among the cells of poisoned images."""

from __future__ import annotations

from collections.abc import Iterable

from memloc.experiments.entry import (
    COUNT,
    FRACTION,
    LEARNERS,
    OVER_TABLES,
    RATIOS,
    SEVERAL,
    TABLE_ROWS,
    TRIALS,
    Experiment,
    Options,
    array,
    described,
)
from memloc.valuation.tables import TABLES, shape_of_table


def faults(experiment: Options, name: str, config: Options) -> Iterable[str]:
    """Tables must be of images that the grids divide, larger than the trigger, and have the classes."""
    side, classes = shape_of_table(name, config)
    if not side:
        images = ", ".join([*(table for table, entry in TABLES.items() if entry.side), *config["datasets"]])
        yield f"tables: {name} has no images to put a trigger into; take of {images}"
        return
    for grid in experiment["grids"]:
        if side % grid:
            yield f"grids: {grid} patches don't divide the {side} pixels of {name}; change one of them"
    if experiment["side"] >= side:
        yield f"side: {experiment['side']} must be smaller than an image of {name}, {side} pixels; lower it"
    for label in experiment["classes"]:
        if label >= classes:
            yield f"classes: {label} is no class of {name}, which has 0 to {classes - 1:g}; change it"


ENTRY = Experiment(
    order=730,
    theme="valuation",
    title="A backdoor's trigger among the cells of poisoned images",
    paper="2D-OOB (Sun et al., 2024)",
    asks="whether the cells of a backdoor's trigger stand out in poisoned images, and that they are high",
    inputs={"outcomes": TRIALS},
    options={
        "rows": TABLE_ROWS,
        "learners": LEARNERS,
        "ratios": RATIOS,
        "classes": described(
            array({"type": "integer", "minimum": 0}) | {"minItems": 2, "maxItems": 2},
            "Images of the first class get the trigger and the label of the second.",
        ),
        "side": described(COUNT, "Side of the trigger in pixels."),
        "poisoned": described(FRACTION | {"exclusiveMaximum": 0.5}, "Share of all images that get the trigger."),
        "grids": described(array(SEVERAL), "Numbers of cells along an image's side."),
    },
    smallest={
        "tables": ["digits-8x8"],
        "seeds": [0, 1],
        "rows": 60,
        "classes": [3, 8],
        "side": 2,
        "poisoned": 0.15,
        "grids": [4, 8],
        "learners": 10,
        "ratios": [0.25, 0.5],
    },
    over=OVER_TABLES,
    faults=faults,
)
