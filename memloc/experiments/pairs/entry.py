"""LayerMem and single images, from pairs of encoders on complementary halves."""

from __future__ import annotations

from collections.abc import Iterable

from memloc.experiments.entry import POINTS, Experiment, Options, array, described, on_halves


def faults(experiment: Options, name: str, config: Options) -> Iterable[str]:
    """The encoder must be trained on halves of a pool that all its seeds share, dealt anew for each."""
    return on_halves(name, config)


ENTRY = Experiment(
    order=105,
    theme="layers",
    title="Memorization of layers and of single images, over pairs",
    paper="beyond the paper; Table 1",
    asks="how LayerMem rises with depth over complementary halves, and how many pairs a single image takes",
    inputs={"points": POINTS},
    options={
        "deals": described({"type": "integer", "minimum": 100}, "How often membership is dealt anew for a p."),
        "pairs": described(
            array({"type": "integer", "minimum": 1, "maximum": 10**6}), "Numbers of pairs to compute reliability for."
        ),
    },
    smallest={"encoders": ["halves"], "deals": 100, "pairs": [1, 2, 10]},
    faults=faults,
)
