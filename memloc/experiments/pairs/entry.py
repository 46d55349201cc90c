"""LayerMem and single images, from pairs of encoders on complementary halves."""

from __future__ import annotations

from collections.abc import Iterable

from memloc.experiments.entry import ATYPICALITY, POINTS, Experiment, Options, array, described, split_of


def faults(experiment: Options, name: str, config: Options) -> Iterable[str]:
    """The encoder must be trained on halves of a pool that all its seeds share, drawn anew for each."""
    encoder = config["encoders"][name]
    if "pool" not in split_of(name, config):
        known = [key for key, dataset in config["datasets"].items() if "pool" in dataset.get("split", {})]
        yield f"encoders: {name} isn't trained on halves of a pool; datasets with one: {', '.join(known) or 'none'}"
    elif encoder["split_seed"] is not None:
        yield f"encoders: {name} has a split_seed, so all its pairs have the same halves; leave split_seed out"


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
    faults=faults,
)
