"""Memorization by unit and protocol of measurement."""

from __future__ import annotations

from memloc.experiments.entry import MEASURES, Experiment, described

ENTRY = Experiment(
    order=620,
    theme="units",
    title="Memorization by unit and protocol of measurement",
    paper="Figures 5, 8 and 9",
    asks="whether UnitMem depends on the views it is measured on, and on mean or median ([at risk](claims.md))",
    inputs={
        "measures": MEASURES,
        "untrained_measures": "measures/{encoder}/untrained/seed{seed}.npz",
    },
    options={
        "first": described(
            {"enum": ["highest", "any"]},
            "highest: the first encoder's UnitMem is above every other's; any: it may lie anywhere.",
        ),
    },
    smallest={"encoders": ["simclr", "bare"], "first": "highest"},
    fewest=2,
    equal=("weights", "seeds", "layers"),
    needs=("units",),
    known=("others",),
)
