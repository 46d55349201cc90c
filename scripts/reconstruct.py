"""Paint the hidden patches of every point with the encoder and decoder of one training."""

from pathlib import Path

from memloc import io, job
from memloc.data import prepared, splits
from memloc.experiments.reconstruction import job as reconstruction
from memloc.models import network
from memloc.streams import stream


def main(snakemake):
    job.start(snakemake)
    params, seed = snakemake.params, int(snakemake.wildcards.seed)
    part = prepared.load(Path(snakemake.input.images).parent, "train")
    points, groups = splits.measured_points(io.load_arrays(snakemake.input.split))
    rows = groups != "shared"
    points, groups = points[rows], groups[rows]
    encoder, normalise = network.of_job(snakemake, role=snakemake.wildcards.role)
    losses = reconstruction.losses(
        network.learner_of_job(encoder, snakemake, role=snakemake.wildcards.role),
        part.images[points],
        points,
        draws=params.draws,
        normalise=normalise,
        seed=stream("reconstruct", seed),
        device=network.device(params.device),
    )
    io.save_arrays({"points": points, "groups": groups, "losses": losses}, snakemake.output.witness)


if "snakemake" in globals():
    main(snakemake)
