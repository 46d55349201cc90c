"""Candidates and seeds that an effect needs."""

from __future__ import annotations

from memloc.experiments.entry import POINTS, SEVERAL, Experiment, array, described

ENTRY = Experiment(
    order=600,
    theme="layers",
    title="Candidates and seeds that an effect needs",
    paper="beyond the paper",
    asks="how many candidates and seeds an effect would need",
    inputs={"points": POINTS},
    options={
        "candidates": described(array(SEVERAL | {"maximum": 10**9}), "Numbers of candidates to compute the power for."),
        "seeds": described(array(SEVERAL | {"maximum": 10**6}), "Numbers of seeds to compute the power for."),
    },
    smallest={"encoders": ["simclr"], "candidates": [100, 200, 500, 1000, 5000], "seeds": [2, 3, 5, 10, 20, 50]},
)
