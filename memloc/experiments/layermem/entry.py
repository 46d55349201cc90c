"""Memorization by layer."""

from __future__ import annotations

from collections.abc import Iterable

from memloc.experiments.entry import GROUP_SIZE, POINTS, Experiment, Options, group_fits, split_of


def faults(experiment: Options, name: str, config: Options) -> Iterable[str]:
    """Two groups of ``group_size`` must fit into a group of the split."""
    yield from group_fits(experiment, split_of(name, config))


ENTRY = Experiment(
    order=100,
    theme="layers",
    title="Memorization by layer",
    paper="Tables 1 and 18",
    asks="how LayerMem rises with depth, for all candidates, the most and the least memorized",
    inputs={"points": POINTS},
    options={"group_size": GROUP_SIZE},
    smallest={"encoders": ["simclr"], "group_size": 6},
    faults=faults,
)
