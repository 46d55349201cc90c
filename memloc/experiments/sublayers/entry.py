"""Memorization by place: layers, normalisations, pools and the head."""

from __future__ import annotations

from memloc.experiments.entry import POINTS, Experiment

ENTRY = Experiment(
    order=430,
    theme="layers",
    title="Memorization by place: layers, normalisations, pools and the head",
    paper="Tables 1 and 15 to 18",
    asks="what normalisations, pools and the projection head add; whether parameters explain increments",
    inputs={"points": POINTS},
    smallest={"encoders": ["sublayers"]},
    layers=("normalisation",),
)
