"""Which images are memorized."""

from __future__ import annotations

from collections.abc import Iterable

from memloc.experiments.entry import (
    ATYPICALITY,
    GROUP_SIZE,
    MEASURES,
    POINTS,
    UNITS,
    Experiment,
    Options,
    group_fits,
    split_of,
)


def faults(experiment: Options, name: str, config: Options) -> Iterable[str]:
    """Two groups of ``group_size`` must fit into a group of the split."""
    yield from group_fits(experiment, split_of(name, config))


ENTRY = Experiment(
    order=140,
    theme="units",
    title="Which images are memorized",
    paper="Figures 1 and 7, Tables 11 and 12",
    asks="which images are memorized, and by which units",
    inputs={
        "points": POINTS,
        "atypicality": ATYPICALITY,
        "units": UNITS,
        "measures": MEASURES,
    },
    options={
        "group_size": GROUP_SIZE,
    },
    smallest={"encoders": ["simclr"], "group_size": 6},
    needs=("units",),
    faults=faults,
)
