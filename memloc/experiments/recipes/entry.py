"""Memorization by recipe of training."""

from __future__ import annotations

from memloc.experiments.entry import POINTS, Experiment, described

ENTRY = Experiment(
    order=420,
    theme="layers",
    title="Memorization by recipe of training",
    paper="Table 27 and beyond: residual sums, initialisation",
    asks="strength of the training augmentation; residual sums; initial weights that f and g share",
    inputs={"points": POINTS},
    options={
        "order": described(
            {"enum": ["falling", "same"]},
            "falling: LayerMem falls from each encoder to the next; same: none differs from the first.",
        ),
    },
    smallest={"encoders": ["simclr", "again"], "order": "falling"},
    fewest=2,
    equal=("dataset", "seeds", "split_seed", "architecture", "layers"),
    trained_apart=True,
)
