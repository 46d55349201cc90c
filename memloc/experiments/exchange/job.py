"""Exchanging layers between f and g: what is left of the gap between images that one has seen and the other hasn't."""

from __future__ import annotations

import copy

import numpy as np

from memloc.data.groups import UNSHARED
from memloc.experiments.desk import Desk, Outcomes
from memloc.job import log
from memloc.models.hybrids import replaced
from memloc.streams import stream

BODIES = ("f", "g")
NONE, ONE, FIRST = "none", "one layer", "first layers"
"""What a body has of the other: nothing, one layer, or that layer and all below it."""


def exchange(desk: Desk) -> Outcomes:
    """Put layers of each encoder of the pair into the other, and measure alignment at the output.

    Returns:
        ``points``, ``groups``; ``layers`` [layers], by depth; ``alignment`` [bodies, 1 + 2 layers, points]: of each
        body as it is, with one layer of the other, and with all layers up to one. The last but one of the first
        layers is the other encoder, but for what belongs to no layer.
    """
    points, groups = desk.points(*UNSHARED)
    bodies = dict(zip(BODIES, (desk.encoder, desk.partner), strict=True))
    output = desk.layers[-1:]
    parts = {layer.name: layer.parts for layer in desk.layers if layer.modules}
    names = list(parts)
    found = []
    for body, encoder in bodies.items():
        (other,) = (bodies[name] for name in BODIES if name != body)
        exchanged = [[], *([name] for name in names), *(names[: end + 1] for end in range(len(names)))]
        hybrid, row = copy.deepcopy(encoder), []
        for done, layers in enumerate(exchanged, start=1):
            modules = [module for name in layers for module in parts[name]]
            hybrid.load_state_dict(replaced(encoder, other, modules, norms=True))
            arrays = desk.measured(
                points, encoder=hybrid, layers=output, seed=stream("measure", desk.seed), alignment=True
            )
            row.append(arrays["alignment"].mean(axis=(1, 2), dtype=np.float64))
            if done == len(exchanged) or done % 5 == 1:
                log.info("%d/%d: %s with layers of the other measured", done, len(exchanged), body)
        found.append(row)
    return {"points": points, "groups": groups, "layers": np.array(names), "alignment": np.array(found)}


def run(desk: Desk) -> Outcomes:
    """Exchange layers of one pair of encoders."""
    return exchange(desk)
