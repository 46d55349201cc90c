"""Train one encoder, or continue a training that was stopped."""

from pathlib import Path

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
    points = splits.training_points(io.load_arrays(snakemake.input.split), role)
    training = Training.of(snakemake.params.settings)
    about = {"settings": snakemake.params.settings, "seed": seed, "role": role}
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
    checkpoint.save(learner.additions(), about, snakemake.output.additions)
    checkpoint.save(snapshots, about, snakemake.output.snapshots)
    made_with = provenance.versions("memloc", "torch", "torchvision", "lightly", "timm", "opacus", "numpy")
    facts = {"images": len(points), "dataset": description, "threads": torch.get_num_threads()}
    io.save_json({**about, **facts, "code": snakemake.params.code, "made_with": made_with}, snakemake.output.recipe)
    io.save_rows(history, loop.columns(training), snakemake.output.history)
    unfinished.clear(folder)


if "snakemake" in globals():
    main(snakemake)
