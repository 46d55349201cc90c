"""What keys of datasets say about one another, and about files."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

from memloc.config.schemas import Config
from memloc.data.groups import GROUPS
from memloc.data.raw_files import missing, way_out
from memloc.data.sources import SOURCES
from memloc.wording import none_of


def faults(config: Config) -> Iterable[str]:
    """What contradicts itself in datasets, one line each, and what their folders lack."""
    datasets = config["datasets"]
    for name, dataset in datasets.items():
        key = f"datasets.{name}"
        yield from _swaps(key, dataset, datasets)
        if dataset["source"] not in SOURCES:
            yield f"config: {key}.source: {none_of(dataset['source'], SOURCES)}"
            continue
        source, path = SOURCES[dataset["source"]], dataset.get("path")
        yield from _suite(key, dataset, config)
        if path is None and source.folder is None and "suite" not in dataset:
            yield f"config: {key}.path: missing; source {dataset['source']} needs the folder of its files"
        if source.unlabeled and dataset.get("classes"):
            yield f"config: {key}.classes: {dataset['source']} has no labels to choose by; leave classes out"
        for label in dataset.get("classes", []):
            if source.classes is not None and label >= source.classes:
                known = f"{dataset['source']}, which has 0 to {source.classes - 1}"
                yield f"config: {key}.classes: {label} is no class of {known}; change it"
        asked = sum(dataset["split"][group] for group in GROUPS) if "split" in dataset else 0
        if "dose" in dataset.get("split", {}):
            dose, half = dataset["split"]["dose"], dataset["split"]["candidate"]
            repeated = dose["images"] * len(dose["times"])
            if repeated >= half:
                yield f"config: {key}.split.dose: repeats {repeated} of the {half} images of a half; lower images"
        if dataset.get("images", math.inf) < asked:
            yield f"config: {key}.split: {asked} images asked for, {dataset['images']} drawn"
        for file in missing(dataset["source"], path):
            place = f"{key}.path: {path}" if path else f"{key}: {source.folder}"
            lacks = "no such folder" if file == "." else f"{file} is missing"
            yield f"config: {place}: {lacks}; {way_out(source, file, Path(path or '.'))}"


def _suite(key: str, dataset: Config, config: Config) -> Iterable[str]:
    """What a dataset of charts asks of the suites."""
    suites = config.get("charts", {}).get("suites", {})
    if "suite" not in dataset:
        return
    if dataset["source"] != "charts":
        yield f"config: {key}.suite: source {dataset['source']} has none; leave it out"
    elif "path" in dataset:
        yield f"config: {key}.suite: stands beside path, {dataset['path']}; leave one out"
    elif dataset["suite"] not in suites:
        yield f"config: {key}.suite: {none_of(dataset['suite'], suites)}"


def _swaps(key: str, dataset: Config, datasets: Config) -> Iterable[str]:
    """What swapped patches ask of the dataset whose images they are put into."""
    if "swapped" not in dataset:
        return
    owner, side = dataset["swapped"]["of"], dataset["swapped"]["side"]
    plain = [name for name, entry in datasets.items() if "swapped" not in entry]
    if owner not in plain:
        yield f"config: {key}.swapped.of: {none_of(owner, plain)}"
        return
    source, size = dataset["source"], dataset["image_size"]
    if source in SOURCES and SOURCES[source].unlabeled:
        yield f"config: {key}.swapped.of: {owner} has no labels, so no other class to take patches of; name another"
    if side >= size or size % side:
        squares = f"images of {size} pixels can't be cut into squares of {side}"
        yield f"config: {key}.swapped.side: {squares}; take a divisor below {size}"
