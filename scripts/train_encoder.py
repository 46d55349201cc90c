"""Train one encoder, or those of a pair, or continue what was stopped."""

from pathlib import Path

import numpy as np
import torch

from memloc import experiments, io, job, provenance
from memloc.data import prepared, splits
from memloc.models import checkpoint, network
from memloc.training import loop, unfinished
from memloc.training.settings import Training

FILES = ("weights", "additions", "snapshots", "recipe", "history")


def main(snakemake):
    job.start(snakemake)
    part = prepared.load(Path(snakemake.input.images).parent, "train")
    description = io.load_json(snakemake.input.description)
    roles = snakemake.params.roles
    files = {key: experiments.as_list(snakemake.output[key]) for key in FILES}
    outputs = [{key: files[key][number] for key in FILES} for number in range(len(roles))]
    for role, output in zip(roles, outputs, strict=True):
        if len(roles) > 1:
            job.log.info("%s", role)
        train(snakemake, part, description, role, output)
    # Snakemake removes all that an unfinished job made: until the last one is trained, each can be made again at once.
    for output in outputs:
        unfinished.clear(Path(output["weights"]).parent)


def train(snakemake, part, description, role, output):
    """Train the encoder of one role and write its files."""
    seed, folder = int(snakemake.wildcards.seed), Path(output["weights"]).parent
    points = splits.training_points(splits.load(snakemake.input.split, description), role)
    training = Training.of(snakemake.params.settings)
    data = {"dataset": description["sha256"]["train"], "points": prepared.array_sha256(points)}
    about = {"settings": snakemake.params.settings, **data, "seed": seed, "role": role}
    # What the encoder takes, so that its file is enough to use it anywhere.
    takes = {key: description[key] for key in ("image_size", "channels", "mean", "std")}
    learner, history, snapshots = loop.train(
        part.images,
        part.labels,
        points,
        training=training,
        description=description,
        folder=folder,
        code=snakemake.params.code,
        device=network.device(snakemake.params.device),
        seed=seed,
        role=role,
    )
    checkpoint.save(learner.result().state_dict(), {**about, "input": takes}, output["weights"])
    # What belongs to these weights says so.
    beside = {**about, "weights": checkpoint.stated(output["weights"])[0]}
    checkpoint.save(learner.additions(), beside, output["additions"])
    io.save_rows(history, loop.columns(training), output["history"])
    losses = {"history": provenance.file_sha256(output["history"])}
    checkpoint.save(snapshots, {**beside, **losses}, output["snapshots"])
    made_with = provenance.versions("memloc", "torch", "torchvision", "lightly", "timm", "opacus", "numpy")
    facts = {"images": len(np.unique(points)), "dataset": description, "threads": torch.get_num_threads()}
    if len(points) > facts["images"]:
        facts["presentations"] = len(points)
    recipe = {**about, **facts, "code": snakemake.params.code, "made_with": made_with}
    io.save_json(recipe, output["recipe"])


if "snakemake" in globals():
    main(snakemake)
