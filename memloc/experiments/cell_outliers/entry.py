"""Outlier cells found by their values."""

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
    array,
    described,
)

ENTRY = Experiment(
    order=700,
    theme="valuation",
    title="Outlier cells found by their values",
    paper="2D-OOB (Sun et al., 2024)",
    asks="which values find outlier cells, from the tail of their class or swapped with another class",
    inputs={"outcomes": TRIALS},
    options={
        "rows": TABLE_ROWS,
        "learners": LEARNERS,
        "ratios": RATIOS,
        "dirty_rows": DIRTY_ROWS,
        "dirty_columns": DIRTY_COLUMNS,
        "injectors": described(
            array(INJECTOR),
            "Ways to plant outliers: cells from the tail of their class (tail) or from another class's rows (swap).",
        ),
        "permutations": PERMUTATIONS,
    },
    smallest={
        "tables": ["iris"],
        "seeds": [0, 1],
        "rows": 60,
        "injectors": ["tail", "swap"],
        "dirty_rows": 0.2,
        "dirty_columns": 0.2,
        "learners": 10,
        "ratios": [0.25, 0.5],
        "permutations": 1,
    },
    over=OVER_TABLES,
)
