"""Cells repaired in the order of their values."""

from __future__ import annotations

from memloc.experiments.entry import (
    DIRTY_COLUMNS,
    DIRTY_ROWS,
    INJECTOR,
    LEARNERS,
    OVER_TABLES,
    PERMUTATIONS,
    RATIOS,
    TABLE_ROWS,
    TRIALS,
    Experiment,
    described,
)

ENTRY = Experiment(
    order=710,
    theme="valuation",
    title="Cells repaired in the order of their values",
    paper="2D-OOB (Sun et al., 2024)",
    asks="what repairing the lowest cells wins back for a logistic regression",
    inputs={"outcomes": TRIALS},
    options={
        "rows": TABLE_ROWS,
        "learners": LEARNERS,
        "ratios": RATIOS,
        "dirty_rows": DIRTY_ROWS,
        "dirty_columns": DIRTY_COLUMNS,
        "injector": described(
            INJECTOR,
            "How outliers are planted: cells from the tail of their class (tail) or from another class's rows (swap).",
        ),
        "permutations": PERMUTATIONS,
    },
    smallest={
        "tables": ["iris", "wine"],
        "seeds": [0, 1],
        "rows": 60,
        "injector": "swap",
        "dirty_rows": 0.4,
        "dirty_columns": 0.4,
        "learners": 10,
        "ratios": [0.5],
        "permutations": 1,
    },
    over=OVER_TABLES,
)
