"""Memorization by unit."""

from __future__ import annotations

from memloc.experiments.entry import FRACTION, UNIT_FILES, Experiment, described

ENTRY = Experiment(
    order=110,
    theme="units",
    title="Memorization by unit",
    paper="Figure 1",
    asks="where highly memorizing units are, and what training adds to UnitMem",
    inputs=UNIT_FILES,
    options={
        "threshold": described(FRACTION, "A unit with UnitMem above this counts as highly memorizing."),
    },
    smallest={"encoders": ["simclr"], "threshold": 0.5},
    needs=("units",),
)
