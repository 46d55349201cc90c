"""Memorization by framework."""

from __future__ import annotations

from memloc.experiments.entry import POINTS, UNITS, Experiment

ENTRY = Experiment(
    order=400,
    theme="layers",
    title="Memorization by framework",
    paper="Tables 4, 29 and 31, Figures 12 and 15",
    asks="whether frameworks memorize in the same layers",
    inputs={"points": POINTS, "units": UNITS},
    smallest={"encoders": ["simclr", "again"]},
    fewest=2,
    equal=("dataset", "seeds", "split_seed", "architecture", "network", "layers", "measure"),
    trained_apart=True,
    needs=("units",),
)
