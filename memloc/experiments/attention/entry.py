"""Memorization in transformers: attention against fully-connected layers."""

from __future__ import annotations

from collections.abc import Iterable

from memloc.experiments.entry import POINTS, Experiment, Options
from memloc.models.architectures import Layer
from memloc.models.layers import layers_of


def faults(experiment: Options, name: str, config: Options) -> Iterable[str]:
    """Attention and fully-connected layers are compared within blocks, so blocks must be measured whole."""
    layers = layers_of(config["encoders"][name])
    if {"attention", "fully-connected", "sum"} <= {layer.kind for layer in layers} and not _whole_blocks(layers):
        compared = f"{name} must be measured at every part of two or more blocks"
        yield f"encoders: {compared}; name every part of each block in measure.layers, or leave the block out"


def _whole_blocks(layers: Iterable[Layer]) -> bool:
    """Whether places such as 3.att and 3.res-att make up two or more blocks with the same parts each."""
    parts: dict[str, set[str]] = {}
    for block, dot, part in (layer.name.partition(".") for layer in layers):
        if dot:
            parts.setdefault(block, set()).add(part)
    return len(parts) > 1 and len({frozenset(names) for names in parts.values()}) == 1


ENTRY = Experiment(
    order=440,
    theme="layers",
    title="Memorization in transformers: attention against fully-connected layers",
    paper="Tables 2 and 10",
    asks="whether fully-connected sublayers of ViTs memorize more than attention",
    inputs={"points": POINTS},
    smallest={"encoders": ["mae"]},
    layers=("attention", "fully-connected", "sum"),
    faults=faults,
)
