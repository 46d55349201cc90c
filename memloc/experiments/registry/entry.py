"""What an entry of the registry says, and what several of them have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

POINTS = "scores/{encoder}/seed{seed}/points.parquet"
ATYPICALITY = "scores/{encoder}/seed{seed}/atypicality.parquet"
UNITS = "scores/{encoder}/f/seed{seed}/units.parquet"
REPLICATES = "scores/{encoder}/f/seed{seed}/replicates.npz"
MEASURES = "measures/{encoder}/f/seed{seed}.npz"
VALUES = "witnesses/{experiment}/{encoder}/seed{seed}.npz"
OUTCOMES = "interventions/{experiment}/{encoder}/seed{seed}.npz"

ENCODERS = ("encoders",)
TABLES = ("tables", "seeds")


@dataclass(frozen=True)
class Experiment:
    """An entry of ``memloc.experiments.EXPERIMENTS``.

    Attributes:
        title: of the figure.
        paper: the tables and figures of the paper it answers.
        caption: what the figure shows, for a reader who sees nothing else.
        inputs: files below the results folder, by name, with {encoder} or {table}, {seed} and {experiment} to fill in.
        options: JSON schema of each option besides ``kind`` and those of ``over``; all are required.
        over: the keys that say what it runs over: ENCODERS, whose seeds are theirs, or TABLES, which are names of
            ``memloc.valuation.tables.TABLES`` or of datasets, with seeds of its own.
        encoders: how many the experiment compares; None for any number.
        fewest: how many it needs, where that is any number.
        equal: what its encoders must have in common, see ``memloc.config``.
        trained_apart: it compares trainings, so no two of its encoders may have the same weights.
        labels: whether it asks for labelled images.
        swapped: whether it asks for images into some of which patches are swapped.
        losses: whether it asks for a framework with a loss of single images.
        layers: kinds of layers that each encoder must be measured at.
        units: whether it asks for layers that have units.
        snapshots: whether it asks for encoders as they were after several epochs.
        told: keys of an encoder's ``measure`` that the analysis is told, as options {key: {encoder: value}}.
    """

    title: str
    paper: str
    caption: str
    inputs: Mapping[str, str]
    options: Mapping[str, Any]
    over: tuple[str, ...] = ENCODERS
    encoders: int | None = None
    fewest: int = 1
    equal: tuple[str, ...] = ()
    trained_apart: bool = False
    labels: bool = False
    swapped: bool = False
    losses: bool = False
    layers: tuple[str, ...] = ()
    units: bool = False
    snapshots: bool = False
    told: tuple[str, ...] = ()


def array(item: Mapping[str, Any]) -> dict[str, Any]:
    """JSON schema of a list of at least one item, all different."""
    return {"type": "array", "minItems": 1, "uniqueItems": True, "items": item}


COUNT = {"type": "integer", "minimum": 1}
SEVERAL = {"type": "integer", "minimum": 2}
RATE = {"type": "number", "exclusiveMinimum": 0, "maximum": 1000}
FRACTION = {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}
TASKS = array({"type": "string"})
