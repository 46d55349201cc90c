"""LayerMem and single images, from pairs of encoders on complementary halves."""

from __future__ import annotations

from memloc.experiments.entry import ATYPICALITY, POINTS, Experiment, array, described, on_halves

ENTRY = Experiment(
    order=105,
    theme="layers",
    title="Memorization of layers and of single images, over pairs",
    paper="beyond the paper; Table 1",
    asks="how LayerMem rises with depth over complementary halves, and how many pairs a single image takes",
    inputs={"points": POINTS, "atypicality": ATYPICALITY},
    options={
        "deals": described({"type": "integer", "minimum": 100}, "How often membership is dealt anew for a p."),
        "pairs": described(
            array({"type": "integer", "minimum": 1, "maximum": 10**6}), "Numbers of pairs to compute reliability for."
        ),
    },
    smallest={"encoders": ["simclr"], "deals": 100, "pairs": [1, 2, 10]},
    faults=on_halves,
)
