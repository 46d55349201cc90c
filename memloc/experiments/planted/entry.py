"""Planted atypicality: images with a patch of another class."""

from __future__ import annotations

from memloc.experiments.entry import VALUED_FILES, VALUED_OPTIONS, Experiment, valued_faults

ENTRY = Experiment(
    order=160,
    theme="units",
    title="Planted atypicality: images with a patch of another class",
    paper="beyond the paper",
    asks="a control: what reacts to images with a patch of another class ([at risk](claims.md))",
    inputs=VALUED_FILES,
    options=VALUED_OPTIONS,
    smallest={"encoders": ["swapped"], "learners": 20, "ratios": [0.25, 0.5], "patch": 4, "shown": 6},
    needs=("labels", "swapped", "units"),
    faults=valued_faults,
)
