"""Labels inferred from the periphery."""

from __future__ import annotations

from collections.abc import Iterable

from memloc.experiments.entry import (
    COUNT,
    FRACTION,
    OUTCOMES,
    OUTCOMES_OF_G,
    POINTS,
    SEVERAL,
    Experiment,
    Job,
    Options,
    described,
)

SMALLEST_CORNER = 4
"""Pixels that the side of a corner has at least."""


def faults(experiment: Options, name: str, config: Options) -> Iterable[str]:
    """Neighbours are some of the public images, and corners have a few pixels."""
    neighbours, public, crop = (experiment[key] for key in ("neighbours", "public", "crop"))
    if neighbours >= public:
        yield f"neighbours: {neighbours} must be smaller than public, {public}; lower it"
    size = config["datasets"][config["encoders"][name]["dataset"]]["image_size"]
    if crop * size < SMALLEST_CORNER:
        yield f"crop: {crop} of {size} pixels makes a corner of less than {SMALLEST_CORNER} pixels; raise it"


ENTRY = Experiment(
    order=500,
    theme="layers",
    title="Labels inferred from the periphery",
    paper="beyond the paper (Meehan et al., 2023)",
    asks="labels inferred from the edges of training images (Meehan et al., 2023), an independent check of SSLMem",
    inputs={"points": POINTS, "f": OUTCOMES, "g": OUTCOMES_OF_G},
    options={
        "public": described(SEVERAL, "Labelled images to search for neighbours."),
        "neighbours": described(COUNT, "How many neighbours vote."),
        "crop": described(FRACTION | {"exclusiveMaximum": 0.5}, "Side of a corner, as a share of the image's."),
    },
    smallest={"encoders": ["simclr"], "public": 60, "neighbours": 5, "crop": 0.35},
    layers=("output",),
    needs=("labels",),
    job=Job(options=("public", "neighbours", "crop"), reads=("images",), runtime=30),
    faults=faults,
)
