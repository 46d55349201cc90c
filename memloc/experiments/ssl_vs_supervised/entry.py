"""Single images or classes: self-supervised against supervised units."""

from __future__ import annotations

from memloc.experiments.entry import UNIT_FILES, Experiment

ENTRY = Experiment(
    order=130,
    theme="units",
    title="Single images or classes: self-supervised against supervised units",
    paper="Figures 2 and 3",
    asks="whether units memorize single images or classes",
    inputs=UNIT_FILES,
    smallest={"encoders": ["simclr", "supervised"]},
    encoders=2,
    equal=("dataset", "architecture", "network", "seeds", "measure"),
    needs=("units",),
)
