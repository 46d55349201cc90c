"""Train one encoder, or go on with one that was stopped."""

from pathlib import Path

import torch

from memloc import io, job, provenance
from memloc.data import prepared, splits
from memloc.models import checkpoint, network
from memloc.training import loop as train


def main(snakemake):
    job.start(snakemake)
    role, seed = snakemake.wildcards.role, int(snakemake.wildcards.seed)
    folder = Path(snakemake.output.weights).parent
    part = prepared.load(Path(snakemake.input.images).parent, "train")
    description = io.load_json(snakemake.input.description)
    points = splits.training_points(io.load_arrays(snakemake.input.split), role)
    about = {"settings": snakemake.params.settings, "seed": seed, "role": role}
    # What the encoder wants to see, so that its file is enough to use it anywhere.
    wanted = {key: description[key] for key in ("image_size", "channels", "mean", "std")}
    learner, history, snapshots = train.train(
        part.images,
        part.labels,
        points,
        description=description,
        folder=folder,
        code=snakemake.params.code,
        device=network.device(snakemake.params.device),
        **about,
    )
    checkpoint.save(learner.result().state_dict(), {**about, "input": wanted}, snakemake.output.weights)
    checkpoint.save(learner.additions(), about, snakemake.output.additions)
    checkpoint.save(snapshots, about, snakemake.output.snapshots)
    made_with = provenance.versions("memloc", "torch", "torchvision", "lightly", "timm", "opacus", "numpy")
    trained = {"images": len(points), "dataset": description, "threads": torch.get_num_threads()}
    io.save_json({**about, **trained, "code": snakemake.params.code, "made_with": made_with}, snakemake.output.recipe)
    io.save_rows(history, train.columns(snakemake.params.settings), snakemake.output.history)
    train.clear(folder)


if "snakemake" in globals():
    main(snakemake)
