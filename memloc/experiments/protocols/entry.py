"""Memorization by protocol of measurement."""

from __future__ import annotations

from memloc.experiments.entry import POINTS, Experiment

ENTRY = Experiment(
    order=410,
    theme="layers",
    title="Memorization by protocol of measurement",
    paper="Table 26 and beyond: draws, pairs of views, representation, views",
    asks="distances; pairs, representations, draws and views besides, each in a figure of its own",
    inputs={"points": POINTS},
    smallest={"encoders": ["simclr", "l1"]},
    fewest=2,
    equal=("weights", "seeds", "layers"),
)
