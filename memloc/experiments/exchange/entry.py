"""Layers of the two encoders of a pair put into one another."""

from __future__ import annotations

from memloc.experiments.entry import OUTCOMES, POINTS, Experiment, Job

ENTRY = Experiment(
    order=315,
    theme="layers",
    title="Layers that f and g exchange",
    paper="beyond the paper",
    asks="which layers take the gap between seen and unseen images with them when f and g exchange them "
    "([at risk](claims.md))",
    inputs={"outcomes": OUTCOMES, "points": POINTS},
    smallest={"encoders": ["simclr"]},
    job=Job(reads=("images", "partner", "protocol", "layers")),
)
