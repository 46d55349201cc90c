"""Which points layers and encoders memorize in common."""

from __future__ import annotations

from collections.abc import Iterable

from memloc.data.groups import CANDIDATE_AND_NULL
from memloc.experiments.entry import (
    COUNT,
    POINTS,
    Experiment,
    Options,
    described,
    leaves_a_choice,
    split_of,
)


def faults(experiment: Options, name: str, config: Options) -> Iterable[str]:
    """The most memorized points must be fewer than all."""
    yield from leaves_a_choice("size", experiment["size"], CANDIDATE_AND_NULL, split_of(name, config))


ENTRY = Experiment(
    order=630,
    theme="layers",
    title="Which points layers and encoders memorize in common",
    paper="Tables 3 and 28, Figure 13",
    asks="whether layers, and seeds, memorize the same images",
    inputs={"points": POINTS},
    options={
        "size": described(COUNT, "Points in the group of most memorized candidates of each layer."),
    },
    smallest={"encoders": ["simclr"], "size": 5},
    faults=faults,
)
