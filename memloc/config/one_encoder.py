"""What an experiment asks of each of its encoders."""

from __future__ import annotations

import math
from collections.abc import Iterable

from memloc.config.entries import layers_of
from memloc.config.schemas import Config
from memloc.data.sources import SOURCES
from memloc.experiments import EXPERIMENTS, POINTS
from memloc.models.architectures import ARCHITECTURES, SUBLAYERS, block_of
from memloc.models.frameworks import FRAMEWORKS

CORNER = 4
"""Pixels that the side of a corner has at least."""


def faults_of_encoder(key: str, experiment: Config, name: str, config: Config) -> Iterable[str]:
    """What an experiment asks of one of its encoders and doesn't get, one line each."""
    encoder = config["encoders"][name]
    yield from _has_units(key, experiment, name, encoder)
    yield from _leaves_a_choice(key, experiment, encoder, config)
    yield from _suits(key, experiment, encoder, config)
    yield from _has_layers(key, experiment, encoder)
    yield from _traces(key, experiment, name, encoder)


def _has_units(key: str, experiment: Config, name: str, encoder: Config) -> Iterable[str]:
    """What an experiment on units asks of the layers that are measured."""
    if EXPERIMENTS[experiment["kind"]].units and not any(layer.units for layer in layers_of(encoder)):
        every = ARCHITECTURES[encoder["architecture"]].layers(encoder["network"])
        able = next(layer.name for layer in every if layer.units)
        none = f"no layer of {name} has units (measure.layers: {encoder['measure']['layers']})"
        yield f"config: {key}.encoders: {none}; name some, such as {able}"


def _leaves_a_choice(key: str, experiment: Config, encoder: Config, config: Config) -> Iterable[str]:
    """Whether there is what an experiment chooses from: points, classes and a layer."""
    split, size = config["datasets"][encoder["dataset"]]["split"], experiment.get("group_size", 0)
    for group in ("candidate", "external"):
        if 2 * size > split[group]:
            room = f"{split[group]} {group} points"
            yield f"config: {key}.group_size: two groups of {size} don't fit into {room}; lower it"
    for option, groups in (
        ("size", ("candidate", "external")),
        ("matched", ("candidate", "external")),
        ("shown", ("candidate",)),
        ("sizes", ("candidate", "independent", "external")),
    ):
        room = min(split[group] for group in groups)
        chosen = experiment.get(option, [])
        for count in [chosen] if isinstance(chosen, int) else chosen:
            if count >= room:
                yield f"config: {key}.{option}: {count} of {room} {' or '.join(groups)} points is no choice; lower it"
    listed = config["datasets"][encoder["dataset"]].get("classes")
    if listed and experiment.get("classes", 0) >= len(listed):
        few = f"{experiment['classes']} of the {len(listed)} classes of {encoder['dataset']} is no choice"
        yield f"config: {key}.classes: {few}; lower it"
    if "layer" in experiment:
        units = [layer.name for layer in layers_of(encoder) if layer.units]
        if experiment["layer"] not in units:
            yield f"config: {key}.layer: {experiment['layer']!r} has no units; take one of {', '.join(units)}"


def _suits(key: str, experiment: Config, encoder: Config, config: Config) -> Iterable[str]:
    """What an experiment asks of an encoder's images, framework and training, and of its own options beside these."""
    entry, dataset, framework = EXPERIMENTS[experiment["kind"]], encoder["dataset"], encoder["framework"]
    if entry.labels and SOURCES[config["datasets"][dataset]["source"]].unlabeled:
        yield f"config: {key}.encoders: {dataset} has no labels, which it asks for; take encoders of another"
    if entry.swapped and "swapped" not in config["datasets"][dataset]:
        yield f"config: {key}.encoders: nothing is swapped into {dataset}; take encoders of a dataset with swapped"
    if entry.losses and not FRAMEWORKS[framework].private:
        able = ", ".join(known for known, other in FRAMEWORKS.items() if other.private)
        yield f"config: {key}.encoders: {framework} has no loss of single images; take encoders of {able}"
    if "rounds" in experiment and encoder["recipe"]["privacy"]:
        kept = "is trained under differential privacy (recipe.privacy), which the retraining would not keep"
        yield f"config: {key}.encoders: one of them {kept}; take another"
    if experiment.get("neighbours", 1) >= experiment.get("public", math.inf):
        few = f"{experiment['neighbours']} of {experiment['public']} public images is no choice"
        yield f"config: {key}.neighbours: {few}; lower it"
    size = config["datasets"][dataset]["image_size"]
    if 3 * experiment.get("patch", 0) > size:
        few = f"images of {size} pixels have fewer than three by three cells of {experiment['patch']}"
        yield f"config: {key}.patch: {few}; lower it"
    if "crop" in experiment and experiment["crop"] * size < CORNER:
        small = f"{experiment['crop']} of {size} pixels is a corner of less than {CORNER}"
        yield f"config: {key}.crop: {small}; raise it"
    matched = [arm for arm in experiment.get("baselines", []) if arm.startswith("matched")]
    if matched and min(experiment["fractions"]) > 1 / 3:
        few = f"matched units are drawn for a third at most, not for {min(experiment['fractions'])}"
        yield f"config: {key}.fractions: {few}; add a smaller one or leave {matched[0]} out of baselines"


def _has_layers(key: str, experiment: Config, encoder: Config) -> Iterable[str]:
    """What an experiment asks of the layers that are measured, by kind and number."""
    entry = EXPERIMENTS[experiment["kind"]]
    measured = {layer.kind for layer in layers_of(encoder)}
    for kind in entry.layers:
        if kind not in measured:
            way = "set measure.sublayers: true" if kind in SUBLAYERS else "name them in measure.layers"
            none = f"no {kind} layer of {encoder['architecture']} is measured"
            yield f"config: {key}.encoders: {none}; {way}, or take another encoder"
    compared = {"attention", "fully-connected", "sum"} <= {*entry.layers} & measured
    if compared and not _whole_blocks(layer.name for layer in layers_of(encoder)):
        way = "name every part of each block in measure.layers, or leave it out"
        yield f"config: {key}.encoders: attention is compared with fully-connected layers in two or more blocks; {way}"
    blocks = [layer.name for layer in layers_of(encoder) if layer.modules]
    if experiment.get("by") == "blocks":
        blocks = list(dict.fromkeys(map(block_of, blocks)))
    if len(blocks) < 3:
        few = f"takes in {len(blocks)} layers with parameters of {encoder['architecture']}, three are needed"
        named = encoder["measure"]["layers"]
        yield f"config: {key}: measure.layers: {named} {few}; name at least three or raise network.depth"
    if max(experiment.get("counts", [0])) >= len(blocks):
        count = max(experiment["counts"])
        yield f"config: {key}.counts: {count} layers by increment among {len(blocks)}, the first has none; lower it"


def _traces(key: str, experiment: Config, name: str, encoder: Config) -> Iterable[str]:
    """What an experiment on views, or on the course of a training, asks of one of its encoders."""
    entry, recipe = EXPERIMENTS[experiment["kind"]], encoder["recipe"]
    if encoder["measure"]["augmentation"] == "none" and POINTS in entry.inputs.values():
        same = f"views of {name} are all the image itself (measure.augmentation: none), so SSLMem is 0"
        yield f"config: {key}.encoders: {same}; take another encoder"
    if not entry.snapshots:
        return
    kept, where, warmup = encoder["snapshots"], f"encoders.{encoder.get('weights', name)}", recipe["warmup_epochs"]
    if sum(epoch < recipe["epochs"] for epoch in kept) < 2:
        few = f"{kept} keep fewer than two epochs before the last, {recipe['epochs']}, for {key}"
        yield f"config: {where}.snapshots: {few}; name more, such as [1, 10]"
    if not 0 < warmup < recipe["epochs"]:
        none = f"{warmup} of {recipe['epochs']} epochs leave nothing before or after it for {key} to compare"
        yield f"config: {where}.recipe.warmup_epochs: {none}; choose one between"
    elif warmup not in kept:
        yield f"config: {where}.snapshots: {kept} lack epoch {warmup}, where warm-up ends, for {key}; add it"


def _whole_blocks(names: Iterable[str]) -> bool:
    """Whether places such as 3.att and 3.res-att make up two or more blocks with the same parts each."""
    parts: dict[str, set[str]] = {}
    for block, dot, part in (name.partition(".") for name in names):
        if dot:
            parts.setdefault(block, set()).add(part)
    return len(parts) > 1 and len({frozenset(found) for found in parts.values()}) == 1
