"""Experiments by kind. Each is an entry here and a module of the same name with three things:

- ``CLAIMS``: what the paper says, by id, written down before any result.
- ``analyse(inputs, options)``: score files to the figure's table and an estimate for every claim.
- ``draw(table, images)``: that table to a figure.

The entry holds what the workflow must know to plan: it is imported without pandas, matplotlib or torch.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

POINTS = "scores/{encoder}/seed{seed}/points.parquet"
ATYPICALITY = "scores/{encoder}/seed{seed}/atypicality.parquet"
UNITS = "scores/{encoder}/f/seed{seed}/units.parquet"
REPLICATES = "scores/{encoder}/f/seed{seed}/replicates.npz"
UNTRAINED_UNITS = "scores/{encoder}/untrained/seed{seed}/units.parquet"
UNTRAINED_REPLICATES = "scores/{encoder}/untrained/seed{seed}/replicates.npz"


@dataclass(frozen=True)
class Experiment:
    """An entry of EXPERIMENTS.

    Attributes:
        title: of the figure.
        paper: the tables and figures of the paper it answers.
        caption: what the figure shows, for a reader who sees nothing else.
        inputs: files below the results folder, by name, with {encoder}, {seed} and {experiment} to fill in.
        options: JSON schema of each option besides ``kind`` and ``encoders``; all are required.
        encoders: how many the experiment compares; None for any number.
    """

    title: str
    paper: str
    caption: str
    inputs: Mapping[str, str]
    options: Mapping[str, Any]
    encoders: int | None = None


COUNT = {"type": "integer", "minimum": 1}
FRACTION = {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}


def _list(item: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "minItems": 1, "uniqueItems": True, "items": item}


EXPERIMENTS: dict[str, Experiment] = {
    "layermem": Experiment(
        title="Memorization by layer",
        paper="Tables 1 and 18",
        caption=(
            "(a) LayerMem of every layer as published, the mean SSLMem of the candidates. It "
            "contains the offset between two separately trained encoders, which the external images, seen by neither, "
            "show alone. (b) Corrected by that offset, or with the roles of f and g crossed over, LayerMem is what "
            "training on an image does; mind the scale. (c) Increment of crossed LayerMem from layer to layer. (d) The "
            "most and the least memorized candidates, chosen on one half of the augmentation draws and scored on the "
            "other, and the same choice among external images as a null. Bands and bars: 95 % intervals over points "
            "nested in seeds."
        ),
        inputs={"points": POINTS},
        options={"group_size": COUNT},
    ),
    "unitmem": Experiment(
        title="Memorization by unit",
        paper="Figure 1",
        caption=(
            "Left: distribution over units of UnitMem on candidates, in every layer that has units. Middle: its mean "
            "on candidates (in training), on as many external images (never seen) and in the untrained encoder. Right: "
            "excess UnitMem, candidates minus the mean of independent and external images, none of which f "
            "was trained on. Bands: 95 % intervals over points nested in seeds."
        ),
        inputs={
            "units": UNITS,
            "replicates": REPLICATES,
            "untrained_units": UNTRAINED_UNITS,
            "untrained_replicates": UNTRAINED_REPLICATES,
        },
        options={"threshold": FRACTION},
    ),
    "ssl_vs_supervised": Experiment(
        title="Single images or classes: self-supervised against supervised units",
        paper="Figures 2 and 3",
        caption=(
            "Top: UnitMem against ClassMem of every unit, first and last layer; above the diagonal a unit answers "
            "to a single image more than to a class. The largest of many images against the largest of few class "
            "means: most units lie above it by sampling alone. Bottom: means by layer with 95 % intervals. Dashed, "
            "the nulls: the encoder before training, and ClassMem after the labels are shuffled."
        ),
        inputs={
            "units": UNITS,
            "replicates": REPLICATES,
            "untrained_units": UNTRAINED_UNITS,
            "untrained_replicates": UNTRAINED_REPLICATES,
        },
        options={},
        encoders=2,
    ),
    "atypicality": Experiment(
        title="Which images are memorized",
        paper="Figures 1 and 7, Tables 11 and 12",
        caption=(
            "Top: the most and the least memorized candidates of the first seed. Bottom left: SSLMem of the "
            "encoder's output against atypicality (distance to the nearest shared images in the features of g, "
            "which never saw them), both as ranks, for candidates. Bottom middle: rank correlation for candidates "
            "and, as a null, for external images. Bottom right: mean UnitMem within each layer of the top 10 % of "
            "units on the most, and on the least, memorized candidates; dashed, the same choice among external "
            "images. Bars: 95 % intervals over points nested in seeds."
        ),
        inputs={
            "points": POINTS,
            "atypicality": ATYPICALITY,
            "units": UNITS,
            "measures": "measures/{encoder}/f/seed{seed}.npz",
        },
        options={"group_size": COUNT},
    ),
    "pruning": Experiment(
        title="Pruning units by UnitMem",
        paper="Table 6",
        caption=(
            "Accuracy of a new linear probe after the units of highest and of lowest UnitMem, or random ones, are made "
            "to put out exactly zero, the given fraction in every layer. Bars: 95 % intervals over test images and "
            "seeds; random is the mean over its trials, the dots are trials. Dashed: nothing pruned."
        ),
        inputs={"outcomes": "interventions/{experiment}/{encoder}/seed{seed}.npz"},
        options={"fractions": _list(FRACTION), "trials": COUNT, "tasks": _list({"type": "string"}), "images": COUNT},
    ),
    "finetuning": Experiment(
        title="Fine-tuning layers by LayerMem increment",
        paper="Table 5",
        caption=(
            "Test accuracy on a task that training never saw, after fine-tuning a new head and k layers: those whose "
            "crossed LayerMem rises most, or the last ones. Bars: 95 % intervals over test images nested in "
            "seeds. Dashed: the head alone."
        ),
        inputs={"outcomes": "interventions/{experiment}/{encoder}/seed{seed}.npz"},
        options={
            "counts": _list(COUNT),
            "task": {"type": "string"},
            "images": COUNT,
            "recipe": {
                "type": "object",
                "additionalProperties": False,
                "required": ["epochs", "batch_size", "learning_rate"],
                "properties": {
                    "epochs": COUNT,
                    "batch_size": {"type": "integer", "minimum": 2},
                    "learning_rate": {"type": "number", "exclusiveMinimum": 0},
                },
            },
        },
    ),
}


def module(kind: str) -> ModuleType:
    """The module of an experiment.

    Raises:
        KeyError: ``kind`` is not a key of EXPERIMENTS; nothing else is ever imported.
    """
    EXPERIMENTS[kind]
    return importlib.import_module(f"memloc.experiments.{kind}")


def as_list(files: str | Sequence[str]) -> list[str]:
    """The files of a named input, which Snakemake hands over as a bare string where there is one."""
    return [files] if isinstance(files, str) else list(files)
