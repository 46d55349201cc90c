"""Which images are memorized, told from outside the encoder."""

from __future__ import annotations

from memloc.experiments.entry import VALUED_FILES, VALUED_OPTIONS, Experiment, valued_faults

ENTRY = Experiment(
    order=150,
    theme="units",
    title="Which images are memorized, told from outside the encoder",
    paper="Section 4.1 and beyond (2D-OOB: Sun et al., 2024)",
    asks="whether the images that 2D-OOB values call outliers are those memorized ([at risk](claims.md))",
    inputs=VALUED_FILES,
    options=VALUED_OPTIONS,
    smallest={"encoders": ["simclr"], "learners": 20, "ratios": [0.25, 0.5], "patch": 4, "shown": 6},
    needs=("labels", "units"),
    faults=valued_faults,
)
