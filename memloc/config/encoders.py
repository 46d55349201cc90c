"""What keys of an encoder say about one another and about its dataset."""

from __future__ import annotations

from collections.abc import Iterable

from memloc.config.schemas import Config
from memloc.data.sources import SOURCES
from memloc.errors import InputError
from memloc.models.architectures import ARCHITECTURES
from memloc.models.frameworks import FRAMEWORKS
from memloc.models.layers import layers_of
from memloc.wording import none_of


def faults(config: Config) -> Iterable[str]:
    """What contradicts itself in encoders, one line each."""
    encoders = config["encoders"]
    for name, encoder in encoders.items():
        if "recipe" in encoder:
            yield from _trains(f"encoders.{name}", name, encoder, config)
            yield from _shares(f"encoders.{name}", encoder, encoders)
        else:
            trained = [other for other, entry in encoders.items() if "weights" not in entry]
            yield f"config: encoders.{name}.weights: {none_of(encoder['weights'], trained)}"
            return


def _trains(key: str, name: str, encoder: Config, config: Config) -> Iterable[str]:
    """What an encoder's framework, architecture and dataset ask of one another."""
    framework, entry, recipe = (
        FRAMEWORKS[encoder["framework"]],
        ARCHITECTURES[encoder["architecture"]],
        encoder["recipe"],
    )
    try:
        layers_of(encoder)
    except InputError as error:
        yield f"config: {key}.{error}"
    if framework.tokens and not entry.tokens:
        able = ", ".join(known for known, other in ARCHITECTURES.items() if other.tokens)
        yield f"config: {key}.architecture: {encoder['framework']} hides patches; take one of {able}"
    elif framework.tokens and recipe["augmentation"] != "masking":
        yield f"config: {key}.recipe.augmentation: {recipe['augmentation']} hides no patches; take masking"
    if recipe["privacy"] and not framework.private:
        able = ", ".join(known for known, other in FRAMEWORKS.items() if other.private)
        yield f"config: {key}.recipe.privacy: not to be had with {encoder['framework']}; take {able}"
    if recipe["privacy"] and not entry.tokens:
        yield f"config: {key}.recipe.privacy: batch normalisation mixes images; take an architecture without, a ViT"
    if recipe["privacy"] and (recipe["clip"] is not None or encoder["hardware"]["precision"] != "32-true"):
        yield f"config: {key}.recipe.privacy: clips each image's gradient itself, in 32-true; leave clip and precision"
    if encoder["dataset"] not in config["datasets"]:
        yield f"config: {key}.dataset: {none_of(encoder['dataset'], config['datasets'])}"
        return
    dataset = config["datasets"][encoder["dataset"]]
    split, size = dataset.get("split"), dataset["image_size"]
    if split is None:
        yield f"config: datasets.{encoder['dataset']}.split: missing; encoder {name} is trained on this dataset"
        return
    if framework.labels and SOURCES[dataset["source"]].unlabeled:
        yield f"config: {key}.dataset: {encoder['dataset']} has no labels, which {encoder['framework']} learns from"
    patch = encoder["network"].get("patch", 1)
    if framework.tokens and (size // patch) ** 2 < 2:
        yield f"config: {key}.network.patch: {patch} pixels make one patch of an image of {size}; lower it"
    width, heads = recipe.get("decoder_dim", 12), recipe.get("decoder_heads", 3)
    if width % heads or width % 4:
        yield f"config: {key}.recipe.decoder_dim: {width} is no multiple of 4 and of decoder_heads, {heads}; change one"
    local = recipe["local_size"] if recipe.get("local_crops") else patch
    for what, pixels in (("image_size", size), ("local_size", local)):
        if pixels % patch:
            yield f"config: {key}.network.patch: {what} {pixels} is no multiple of {patch}; change one of them"
    if local > size:
        yield f"config: {key}.recipe.local_size: {local} is more than the image's {size}; lower it"
    if size < entry.smallest:
        least = f"{encoder['architecture']} takes images from {entry.smallest} pixels"
        yield f"config: datasets.{encoder['dataset']}.image_size: {size}, but {least}; raise it"
    neighbours = config["score"]["neighbours"]
    if neighbours > split["shared"]:
        yield f"config: score.neighbours: {neighbours} asked for among {split['shared']} shared images; lower it"
    batch, processes = recipe["batch_size"], encoder["hardware"]["devices"] * encoder["hardware"]["nodes"]
    if batch > split["shared"] + min(split["candidate"], split["independent"]):
        yield f"config: {key}.recipe.batch_size: {batch} is more than the images of one epoch; lower it"
    if batch % processes:
        yield f"config: {key}.recipe.batch_size: {batch} can't be shared by {processes} devices; take a multiple"
    epochs, warmup = recipe["epochs"], recipe["warmup_epochs"]
    if warmup > epochs:
        yield f"config: {key}.recipe.warmup_epochs: {warmup} is more than the {epochs} epochs; lower it"
    late = [snapshot for snapshot in encoder["snapshots"] if snapshot > epochs]
    if late:
        yield f"config: {key}.snapshots: {late[0]} is more than the {epochs} epochs; leave it out"
    if recipe["optimizer"] == "lars" and not recipe["weight_decay"]:
        yield f"config: {key}.recipe.weight_decay: 0, but lars adapts its steps only where weights decay; raise it"


def _shares(key: str, encoder: Config, encoders: Config) -> Iterable[str]:
    """What an encoder with another's weights may ask for."""
    if "weights" in encoder:
        there = encoders[encoder["weights"]]["seeds"]
        if not set(encoder["seeds"]) <= set(there):
            yield f"config: {key}.seeds: {encoder['seeds']} aren't all trained; {encoder['weights']} has {there}"
