"""Zeroing single units: do their owners suffer?."""

from __future__ import annotations

from collections.abc import Iterable

from memloc.data.groups import CANDIDATE_AND_NULL
from memloc.experiments.entry import (
    COUNT,
    OUTCOMES,
    Experiment,
    Job,
    Options,
    described,
    leaves_a_choice,
    split_of,
)


def faults(experiment: Options, name: str, config: Options) -> Iterable[str]:
    """An owner must have more images beside it than it is compared with."""
    yield from leaves_a_choice("matched", experiment["matched"], CANDIDATE_AND_NULL, split_of(name, config))


ENTRY = Experiment(
    order=220,
    theme="units",
    title="Zeroing single units: do their owners suffer?",
    paper="beyond the paper",
    asks="whether zeroing one unit harms the image that owns it more than images like that one",
    inputs={"outcomes": OUTCOMES},
    options={
        "units": described(COUNT, "Units of each layer to zero, in each group and by each choice."),
        "matched": described(COUNT, "Images that an owner is compared with."),
    },
    smallest={"encoders": ["simclr"], "units": 2, "matched": 3},
    needs=("units",),
    job=Job(options=("units", "matched"), reads=("images", "units", "protocol", "layers")),
    faults=faults,
)
