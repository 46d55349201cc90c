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
        if "recipe" not in encoder:
            trained = [other for other, entry in encoders.items() if "weights" not in entry]
            yield f"config: encoders.{name}.weights: {none_of(encoder['weights'], trained)}"
            return
        try:
            layers_of(encoder)
        except InputError as error:
            yield f"config: encoders.{name}.{error}"
        for check in (_architecture, _privacy, _dataset, _patches, _batches, _epochs, _seeds):
            for fault in check(name, encoder, config):
                # A fault of the encoder's dataset, or of the scores, is none of its own keys.
                outer = fault.startswith(("datasets.", "score."))
                yield f"config: {fault}" if outer else f"config: encoders.{name}.{fault}"


def _architecture(name: str, encoder: Config, config: Config) -> Iterable[str]:
    """A framework that hides patches needs an architecture of patches, and views with hidden ones."""
    framework, augmentation = encoder["framework"], encoder["recipe"]["augmentation"]
    if not FRAMEWORKS[framework].tokens:
        return
    if not ARCHITECTURES[encoder["architecture"]].tokens:
        able = ", ".join(other for other, entry in ARCHITECTURES.items() if entry.tokens)
        yield f"architecture: {framework} hides patches; use one of {able}"
    elif augmentation != "masking":
        yield f"recipe.augmentation: {augmentation} hides no patches, which {framework} needs; use masking"


def _privacy(name: str, encoder: Config, config: Config) -> Iterable[str]:
    """Differential privacy needs a loss and a normalisation of single images, and clips by itself."""
    recipe, framework = encoder["recipe"], encoder["framework"]
    if not recipe["privacy"]:
        return
    if not FRAMEWORKS[framework].image_losses:
        able = ", ".join(other for other, entry in FRAMEWORKS.items() if entry.image_losses)
        yield f"recipe.privacy: {framework} does not support differential privacy; use {able}"
    if not ARCHITECTURES[encoder["architecture"]].tokens:
        yield "recipe.privacy: batch normalisation mixes images; use an architecture without it, a ViT"
    if recipe["clip"] is not None or encoder["hardware"]["precision"] != "32-true":
        yield "recipe.privacy: privacy clips each image's gradient itself, in 32-true; leave clip and precision out"


def _dataset(name: str, encoder: Config, config: Config) -> Iterable[str]:
    """The dataset must be there, with a split, with labels where they are learnt from, and images of enough pixels."""
    known, entry = encoder["dataset"], ARCHITECTURES[encoder["architecture"]]
    if known not in config["datasets"]:
        yield f"dataset: {none_of(known, config['datasets'])}"
        return
    dataset = config["datasets"][known]
    if "split" not in dataset:
        yield f"datasets.{known}.split: missing; encoder {name} is trained on this dataset"
        return
    if FRAMEWORKS[encoder["framework"]].labels and SOURCES[dataset["source"]].unlabeled:
        yield f"dataset: {known} has no labels, which {encoder['framework']} learns from; use another"
    if dataset["image_size"] < entry.smallest:
        least = f"{encoder['architecture']} takes images from {entry.smallest} pixels"
        yield f"datasets.{known}.image_size: {dataset['image_size']}, but {least}; raise it"
    neighbours, split = config["score"]["neighbours"], dataset["split"]
    seen = "independent" if "pool" in split else "shared"
    if neighbours > split[seen]:
        yield f"score.neighbours: {neighbours} must be at most the number of {seen} points, {split[seen]}; lower it"


def _patches(name: str, encoder: Config, config: Config) -> Iterable[str]:
    """Patches must fill images and local views, and leave several where some are hidden."""
    recipe, size = encoder["recipe"], config["datasets"][encoder["dataset"]]["image_size"]
    patch = encoder["network"].get("patch", 1)
    if FRAMEWORKS[encoder["framework"]].tokens and (size // patch) ** 2 < 2:
        yield f"network.patch: {patch} pixels make one patch of an image of {size}; lower it"
    width, heads = recipe.get("decoder_dim", 12), recipe.get("decoder_heads", 3)
    if width % heads or width % 4:
        yield f"recipe.decoder_dim: {width} must be a multiple of 4 and of decoder_heads, {heads}; change one of them"
    local = recipe["local_size"] if recipe.get("local_crops") else patch
    for key, pixels in (("image_size", size), ("local_size", local)):
        if pixels % patch:
            yield f"network.patch: {key} {pixels} is no multiple of {patch}; change one of them"
    if local > size:
        yield f"recipe.local_size: {local} must be at most the image's size, {size}; lower it"


def _batches(name: str, encoder: Config, config: Config) -> Iterable[str]:
    """A batch must fit into an epoch of f and of g, and be shared evenly by all devices."""
    split, batch = config["datasets"][encoder["dataset"]]["split"], encoder["recipe"]["batch_size"]
    epoch = split["shared"] + min(split["candidate"], split["independent"])
    if "dose" in split:
        epoch += split["dose"]["images"] * sum(times - 1 for times in split["dose"]["times"])
        highest = max(split["dose"]["times"])
        if batch <= epoch < highest * batch:
            few = f"{batch} makes {epoch // batch} batches of an epoch's {epoch} presentations"
            dose = f"datasets.{encoder['dataset']}.split.dose has images that stand {highest} times, never twice in one"
            yield f"recipe.batch_size: {few}, but {dose}; lower it to at most {epoch // highest}"
        if encoder["recipe"]["privacy"]:
            dose = f"datasets.{encoder['dataset']}.split.dose"
            yield f"recipe.privacy: draws batches in which copies of {dose} may meet; leave one of the two out"
    processes = encoder["hardware"]["devices"] * encoder["hardware"]["nodes"]
    if batch > epoch:
        yield f"recipe.batch_size: {batch} must be at most the number of images in an epoch, {epoch}; lower it"
    if batch % processes:
        yield f"recipe.batch_size: {batch} must be a multiple of the number of devices, {processes}; change one of them"


def _epochs(name: str, encoder: Config, config: Config) -> Iterable[str]:
    """Warm-up and snapshots must lie within the training."""
    recipe = encoder["recipe"]
    epochs, warmup = recipe["epochs"], recipe["warmup_epochs"]
    if warmup > epochs:
        yield f"recipe.warmup_epochs: {warmup} must be at most epochs, {epochs}; lower it"
    late = [snapshot for snapshot in encoder["snapshots"] if snapshot > epochs]
    if late:
        yield f"snapshots: {late[0]} must be at most epochs, {epochs}; leave it out"
    if recipe["optimizer"] == "lars" and not recipe["weight_decay"]:
        yield "recipe.weight_decay: 0, but lars adapts its steps only where weights decay; raise it"


def _seeds(name: str, encoder: Config, config: Config) -> Iterable[str]:
    """An encoder with another's weights can have that one's seeds alone."""
    if "weights" not in encoder:
        return
    trained = config["encoders"][encoder["weights"]]["seeds"]
    if missing := sorted(set(encoder["seeds"]) - set(trained)):
        yield f"seeds: {missing} aren't trained; {encoder['weights']} has {trained}"
