"""Flipped labels found, and rows removed, by the values of rows."""

from __future__ import annotations

from memloc.experiments.entry import FRACTION, LEARNERS, OVER_TABLES, RATIOS, TABLE_ROWS, TRIALS, Experiment, described

ENTRY = Experiment(
    order=720,
    theme="valuation",
    title="Flipped labels found, and rows removed, by the values of rows",
    paper="2D-OOB (Sun et al., 2024)",
    asks="which values of rows find flipped labels, and what removing the lowest rows wins",
    inputs={"outcomes": TRIALS},
    options={
        "rows": TABLE_ROWS,
        "learners": LEARNERS,
        "ratios": RATIOS,
        "flipped": described(FRACTION, "Share of the labels that are flipped."),
    },
    smallest={"tables": ["iris", "wine"], "seeds": [0, 1], "rows": 60, "flipped": 0.1, "learners": 10, "ratios": [0.5]},
    over=OVER_TABLES,
)
