"""What an experiment on valuation asks of its tables."""

from __future__ import annotations

import math
from collections.abc import Iterable

from memloc.config.schemas import Config
from memloc.config.wording import none_of
from memloc.data.sources import SOURCES
from memloc.valuation.tables import TABLES


def faults_of_tables(key: str, experiment: Config, datasets: Config) -> Iterable[str]:
    """What an experiment on valuation asks of its tables and doesn't get, one line each."""
    for name in experiment["tables"]:
        if name in datasets and name in TABLES:
            yield f"config: datasets.{name}: {key} asks for a table of this name; call the dataset something else"
        if name in datasets:
            side, classes = datasets[name]["image_size"], len(datasets[name].get("classes", [])) or math.inf
            if SOURCES[datasets[name]["source"]].unlabeled:
                yield f"config: {key}.tables: {name} has no labels, which values are of; take another"
        elif name in TABLES:
            side, classes = TABLES[name].side, TABLES[name].classes
        else:
            yield f"config: {key}.tables: {none_of(name, [*TABLES, *datasets])}"
            continue
        if "grids" in experiment and not side:
            images = ", ".join([*(known for known, entry in TABLES.items() if entry.side), *datasets])
            yield f"config: {key}.tables: {name} has no images, which a trigger is put into; take of {images}"
        for grid in experiment.get("grids", []):
            if side % grid:
                yield f"config: {key}.grids: {grid} patches don't divide the {side} pixels of {name}; change one"
        if experiment.get("side", 0) >= side > 0:
            yield f"config: {key}.side: a trigger of {experiment['side']} of the {side} pixels of {name}; lower it"
        for label in experiment.get("classes", []):
            if label >= classes:
                yield f"config: {key}.classes: {label}, but {name} has 0 to {classes - 1}; change it"
