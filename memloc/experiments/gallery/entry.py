"""The most memorizing units and the images that own them."""

from __future__ import annotations

from memloc.experiments.entry import MEASURES, Experiment, described

ENTRY = Experiment(
    order=230,
    theme="units",
    title="The most memorizing units and the images that own them",
    paper="beyond the paper; Table 12",
    asks="the most memorizing units of each layer and the images that own them; how few these are",
    inputs={"measures": MEASURES},
    options={
        "units": described({"type": "integer", "minimum": 1, "maximum": 12}, "Units of each layer to show."),
    },
    smallest={"encoders": ["simclr"], "units": 2},
    encoders=1,
    needs=("units",),
)
