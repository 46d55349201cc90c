"""Memorization by unit and recipe of training."""

from __future__ import annotations

from memloc.experiments.entry import UNIT_FILES, Experiment, described

ENTRY = Experiment(
    order=120,
    theme="units",
    title="Memorization by unit and recipe of training",
    paper="Figures 1, 10 and 11",
    asks="whether UnitMem falls with other data, under privacy, stronger augmentation, more weight decay",
    inputs=UNIT_FILES,
    options={
        "order": described(
            {"enum": ["falling", "last-lowest"]},
            "falling: UnitMem falls from each encoder to the next; last-lowest: the last encoder is below every other.",
        ),
    },
    smallest={"encoders": ["simclr", "again"], "order": "falling"},
    fewest=2,
    equal=("seeds", "split_seed", "architecture", "network", "layers", "measure"),
    trained_apart=True,
    needs=("units",),
)
