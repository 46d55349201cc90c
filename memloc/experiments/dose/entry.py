"""A positive control: images that stand several times in every epoch."""

from __future__ import annotations

from collections.abc import Iterable

from memloc.experiments.entry import (
    MEASURES,
    MEASURES_OF_G,
    POINTS,
    Experiment,
    Options,
    described,
    on_halves,
    split_of,
)


def faults(experiment: Options, name: str, config: Options) -> Iterable[str]:
    """The encoder must be trained on halves of a pool, some of whose images are repeated."""
    yield from on_halves(experiment, name, config)
    if "dose" not in split_of(name, config):
        known = [key for key, dataset in config["datasets"].items() if "dose" in dataset.get("split", {})]
        once = f"all images of {name} stand once in an epoch; datasets with split.dose: {', '.join(known) or 'none'}"
        yield f"encoders: {once}"


ENTRY = Experiment(
    order=170,
    theme="units",
    title="A control: images that are seen more often",
    paper="beyond the paper",
    asks="a control: what reacts to images that stand 2, 4 or 8 times in every epoch ([at risk](claims.md))",
    inputs={"points": POINTS, "f": MEASURES, "g": MEASURES_OF_G},
    options={"deals": described({"type": "integer", "minimum": 100}, "How often doses are dealt anew for a p.")},
    smallest={"encoders": ["dosed"], "deals": 100},
    needs=("units",),
    layers=("output",),
    faults=faults,
)
