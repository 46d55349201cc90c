"""Train one encoder, or continue a training that was stopped."""

from pathlib import Path

import numpy as np
import torch

from memloc import io, job, provenance
from memloc.data import prepared, splits
from memloc.models import checkpoint, network
from memloc.training import loop, unfinished
from memloc.training.settings import Training


def main(snakemake):
    job.start(snakemake)
    role, seed = snakemake.wildcards.role, int(snakemake.wildcards.seed)
    folder = Path(snakemake.output.weights).parent
    part = prepared.load(Path(snakemake.input.images).parent, "train")
    description = io.load_json(snakemake.input.description)
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
    checkpoint.save(learner.result().state_dict(), {**about, "input": takes}, snakemake.output.weights)
    # What belongs to these weights says so.
    beside = {**about, "weights": checkpoint.stated(snakemake.output.weights)[0]}
    checkpoint.save(learner.additions(), beside, snakemake.output.additions)
    io.save_rows(history, loop.columns(training), snakemake.output.history)
    losses = {"history": provenance.file_sha256(snakemake.output.history)}
    checkpoint.save(snapshots, {**beside, **losses}, snakemake.output.snapshots)
    made_with = provenance.versions("memloc", "torch", "torchvision", "lightly", "timm", "opacus", "numpy")
    facts = {"images": len(np.unique(points)), "dataset": description, "threads": torch.get_num_threads()}
    if len(points) > facts["images"]:
        facts["presentations"] = len(points)
    recipe = {**about, **facts, "code": snakemake.params.code, "made_with": made_with}
    io.save_json(recipe, snakemake.output.recipe)
    unfinished.clear(folder)


if "snakemake" in globals():
    main(snakemake)
