"""Infer labels of points from the corners of their images."""

from pathlib import Path

import numpy as np

from memloc import io, job
from memloc.data import prepared, splits
from memloc.experiments.dejavu import job as dejavu
from memloc.models import network, probe


def main(snakemake):
    job.start(snakemake)
    params, seed = snakemake.params, int(snakemake.wildcards.seed)
    part = prepared.load(Path(snakemake.input.images).parent, "train")
    split = probe.in_split(snakemake.input.split)
    points, groups = splits.measured_points(split)
    rows = groups != "shared"
    points, groups = points[rows], groups[rows]
    # Public images are labelled ones that neither f nor g was trained on.
    public = probe.draw_training(
        part, images=params.public, exclude=np.concatenate([*split.values()]), dataset=params.dataset, seed=seed
    )
    labels = part.labels[points]
    encoder, normalise = network.of_job(snakemake, role=snakemake.wildcards.role)
    votes, correct = dejavu.infer(
        encoder,
        part.images[points],
        labels,
        public,
        crop=params.crop,
        neighbours=params.neighbours,
        normalise=normalise,
        device=network.device(params.device),
    )
    chance = (public.labels == labels[:, None]).mean(axis=1)
    about = {"points": points, "groups": groups, "labels": labels, "chance": chance}
    io.save_arrays({**about, "votes": votes, "correct": correct}, snakemake.output.witness)


if "snakemake" in globals():
    main(snakemake)
