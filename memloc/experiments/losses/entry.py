"""The loss of training itself, on images that an encoder was trained on and on those of its partner."""

from __future__ import annotations

from collections.abc import Iterable

from memloc.experiments.entry import (
    OUTCOMES,
    OUTCOMES_OF_G,
    SEVERAL,
    Experiment,
    Job,
    Options,
    described,
    on_halves,
    split_of,
)
from memloc.models.frameworks import FRAMEWORKS


def faults(experiment: Options, name: str, config: Options) -> Iterable[str]:
    """The loss must be one of a batch of views and one encoder; external images must fill a batch."""
    yield from on_halves(experiment, name, config)
    encoder, external = config["encoders"][name], split_of(name, config)["external"]
    if FRAMEWORKS[encoder["framework"]].teacher:
        able = ", ".join(other for other, entry in FRAMEWORKS.items() if not entry.teacher)
        one = f"{encoder['framework']} keeps one of the two encoders that its loss needs"
        yield f"encoders: {one}; take encoders of {able}"
    if encoder["recipe"]["batch_size"] > external:
        batch = f"{external} external images don't fill a batch of {name}, {encoder['recipe']['batch_size']}"
        yield f"encoders: {batch}; raise datasets.{encoder['dataset']}.split.external"


ENTRY = Experiment(
    order=520,
    theme="layers",
    title="The loss of training on images in and out",
    paper="beyond the paper",
    asks="whether an encoder's own training loss is lower on images that it was trained on",
    inputs={"f": OUTCOMES, "g": OUTCOMES_OF_G},
    options={"draws": described(SEVERAL, "How often each half is cut into batches.")},
    smallest={"encoders": ["dosed"], "draws": 2},
    job=Job(options=("draws",), reads=("images", "learner"), runtime=30),
    faults=faults,
)
