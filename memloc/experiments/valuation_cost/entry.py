"""What values of cells cost."""

from __future__ import annotations

from memloc.experiments.entry import COUNT, DIRTY_COLUMNS, DIRTY_ROWS, OVER_TABLES, TRIALS, Experiment, array, described

ENTRY = Experiment(
    order=740,
    theme="valuation",
    title="What values of cells cost",
    paper="2D-OOB (Sun et al., 2024)",
    asks="what CPU time by rows, learners and permutations buys; times, and so claims, differ from run to run",
    inputs={"outcomes": TRIALS},
    options={
        "dirty_rows": DIRTY_ROWS,
        "dirty_columns": DIRTY_COLUMNS,
        "row_counts": described(
            array({"type": "integer", "minimum": 50}) | {"minItems": 2}, "Numbers of rows to time."
        ),
        "learner_counts": described(
            array({"type": "integer", "minimum": 10}) | {"minItems": 2}, "Numbers of learners to time."
        ),
        "permutation_counts": described(array(COUNT), "Numbers of 2D-KNN's permutations to time."),
    },
    smallest={
        "tables": ["iris"],
        "seeds": [0, 1],
        "dirty_rows": 0.2,
        "dirty_columns": 0.2,
        "row_counts": [50, 100],
        "learner_counts": [10, 20],
        "permutation_counts": [1, 2],
    },
    over=OVER_TABLES,
)
