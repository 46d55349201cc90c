"""LayerMem by the number of points."""

from __future__ import annotations

from collections.abc import Iterable

from memloc.data.groups import UNSHARED
from memloc.experiments.entry import (
    POINTS,
    SEVERAL,
    Experiment,
    Options,
    array,
    described,
    leaves_a_choice,
    split_of,
)


def faults(experiment: Options, name: str, config: Options) -> Iterable[str]:
    """Each set must be smaller than its group."""
    for size in experiment["sizes"]:
        yield from leaves_a_choice("sizes", size, UNSHARED, split_of(name, config))


ENTRY = Experiment(
    order=640,
    theme="layers",
    title="LayerMem by the number of points",
    paper="Table 19",
    asks="whether LayerMem depends on how many candidates are evaluated",
    inputs={"points": POINTS},
    options={
        "sizes": described(array(SEVERAL), "Numbers of candidates to evaluate."),
        "draws": described(
            {"type": "integer", "minimum": 2, "maximum": 10_000}, "How many sets of each size are drawn."
        ),
    },
    smallest={"encoders": ["simclr"], "sizes": [6, 12], "draws": 3},
    faults=faults,
)
