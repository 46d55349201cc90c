"""UnitMem by the make-up of the evaluated images."""

from __future__ import annotations

from collections.abc import Iterable

from memloc.data.groups import CANDIDATE_AND_NULL
from memloc.data.sources import number_of_classes
from memloc.experiments.entry import (
    COUNT,
    MEASURES,
    SEVERAL,
    Experiment,
    Options,
    described,
    leaves_a_choice,
    split_of,
)


def faults(experiment: Options, name: str, config: Options) -> Iterable[str]:
    """A small set must be smaller than a group, and some classes must be fewer than all."""
    yield from leaves_a_choice("size", experiment["size"], CANDIDATE_AND_NULL, split_of(name, config))
    dataset = config["encoders"][name]["dataset"]
    classes, every = experiment["classes"], number_of_classes(config["datasets"][dataset])
    if classes >= every:
        yield f"classes: {classes} must be smaller than the number of classes of {dataset}, {every}; lower it"


ENTRY = Experiment(
    order=240,
    theme="units",
    title="UnitMem by the make-up of the evaluated images",
    paper="Figure 6, Table 34",
    asks="whether UnitMem depends on how many images of which classes it is evaluated on ([at risk](claims.md))",
    inputs={"measures": MEASURES},
    options={
        "size": described(SEVERAL, "Images in a small set."),
        "draws": described(COUNT, "How many small sets of each kind are drawn."),
        "classes": described(SEVERAL, "How many of the classes the middle set has."),
    },
    smallest={"encoders": ["unseen"], "size": 4, "draws": 2, "classes": 2},
    needs=("labels", "units"),
    faults=faults,
)
