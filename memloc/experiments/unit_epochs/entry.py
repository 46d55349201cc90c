"""Memorization by unit in the course of training."""

from __future__ import annotations

from memloc.experiments.entry import OUTCOMES, Experiment, Job

ENTRY = Experiment(
    order=610,
    theme="units",
    title="Memorization by unit in the course of training",
    paper="Figure 4",
    asks="how UnitMem grows in the course of training",
    inputs={"traces": OUTCOMES},
    smallest={"encoders": ["simclr"]},
    needs=("units", "snapshots"),
    job=Job(reads=("images", "snapshots", "resamples", "protocol", "layers"), mem_mb=3000),
)
