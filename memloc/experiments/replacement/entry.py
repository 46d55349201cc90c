"""Replacing layers by those of an encoder trained on other images."""

from __future__ import annotations

from collections.abc import Iterable

from memloc.data.sources import SOURCES
from memloc.experiments.entry import (
    COUNT,
    EVERY_OUTCOME,
    IMAGES,
    NAME,
    POINTS,
    SEVERAL,
    Experiment,
    Job,
    Options,
    array,
    counts_fit,
    described,
    same_images,
)
from memloc.models.architectures import block_of
from memloc.models.layers import layers_of
from memloc.wording import none_of


def faults(experiment: Options, name: str, config: Options) -> Iterable[str]:
    """Base and donor must have the same architecture and seeds and other images, and enough layers to replace."""
    places = [layer.name for layer in layers_of(config["encoders"][name]) if layer.modules]
    if experiment["by"] == "blocks":
        places = list(dict.fromkeys(map(block_of, places)))
        if len(places) < 3:
            few = f"{name} is measured at {len(places)} blocks, but three are needed"
            yield f"by: {few}; name more in measure.layers or raise network.depth"
    yield from counts_fit(experiment["counts"], len(places), experiment["by"])
    yield from _donor_faults(experiment, name, config)


def _donor_faults(experiment: Options, name: str, config: Options) -> Iterable[str]:
    encoders, datasets, donor = config["encoders"], config["datasets"], experiment["donor"]
    if donor not in encoders:
        yield f"donor: {none_of(donor, encoders)}"
        return
    base, other = encoders[name], encoders[donor]
    if other["dataset"] == base["dataset"]:
        yield f"donor: {donor} is trained on {base['dataset']}, as {name} is; name one of another dataset"
    elif same_images(datasets[base["dataset"]], datasets[other["dataset"]]):
        both = f"{other['dataset']} has images of {base['dataset']}"
        yield f"donor: {donor} is trained on the same images as {name}: {both}; name one of other classes"
    for option in ("architecture", "network"):
        if other[option] != base[option]:
            both = f"{option} of {donor} is {other[option]}, of {name} {base[option]}"
            yield f"donor: {both}; only equal ones can exchange layers"
    if lacking := sorted(set(base["seeds"][: experiment.get("first_seeds")]) - set(other["seeds"])):
        yield f"donor: {donor} lacks seeds {lacking} of {name}; add them to encoders.{donor}.seeds"
    for task, role, encoder in zip(experiment["tasks"], (name, donor), (base, other), strict=True):
        own = encoder["dataset"]
        # Images without labels are no task: another dataset stands for them.
        if task != own and not SOURCES[datasets[own]["source"]].unlabeled:
            yield f"tasks: {task}, but {role} is trained on {own}; write the base's dataset, then the donor's"
    sizes = [datasets[encoder["dataset"]]["image_size"] for encoder in (base, other)]
    if sizes[0] != sizes[1]:
        yield f"donor: {donor} takes images of {sizes[1]} pixels, {name} of {sizes[0]}; make them equal"


ENTRY = Experiment(
    order=310,
    theme="layers",
    title="Replacing layers by those of an encoder trained on other images",
    paper="Tables 21 to 25, 30, 32 and 33",
    asks="what replacing memorizing layers, or blocks, by those of another encoder does",
    inputs={"outcomes": EVERY_OUTCOME, "points": POINTS},
    options={
        "donor": described(NAME, "The encoder whose layers are put in."),
        "by": described({"enum": ["layers", "blocks"]}, "What is replaced: single layers or whole blocks."),
        "tasks": described(
            array(NAME) | {"minItems": 2, "maxItems": 2},
            "The base's dataset, then the donor's: probes are fitted on both.",
        ),
        "counts": described(array(COUNT), "How many layers or blocks are replaced at once."),
        "images": IMAGES,
        "tested": described(SEVERAL, "Test images of each task."),
    },
    smallest={
        "encoders": ["simclr"],
        "donor": "unseen",
        "by": "layers",
        "tasks": ["fashion", "fashion-unseen"],
        "counts": [1],
        "images": 40,
        "tested": 40,
    },
    tasks="tasks",
    donor="donor",
    job=Job(options=("by", "counts", "images", "tested"), reads=("donor", "tasks", "layers")),
    faults=faults,
)
