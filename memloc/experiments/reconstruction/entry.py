"""Reconstruction of what was trained on."""

from __future__ import annotations

from memloc.experiments.entry import OUTCOMES, OUTCOMES_OF_G, POINTS, Experiment, Job

ENTRY = Experiment(
    order=510,
    theme="layers",
    title="Reconstruction of what was trained on",
    paper="beyond the paper",
    asks="whether MAE reconstructs images it was trained on better: a witness of its SSLMem",
    inputs={"points": POINTS, "f": OUTCOMES, "g": OUTCOMES_OF_G},
    smallest={"encoders": ["mae"]},
    layers=("output",),
    needs=("image_losses",),
    job=Job(reads=("images", "learner", "protocol"), runtime=30),
)
