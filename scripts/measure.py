"""Measure every layer of one encoder in one pass."""

from pathlib import Path

from memloc import io, job, measure, network, prepared, splits
from memloc.augment import for_encoder
from memloc.encoders import Layer
from memloc.streams import stream


def main(snakemake):
    job.start(snakemake)
    params, seed = snakemake.params, int(snakemake.wildcards.seed)
    part = prepared.load(Path(snakemake.input.images).parent, "train")
    points, groups = splits.measured_points(io.load_arrays(snakemake.input.split))
    layers = [Layer(**layer) for layer in params.layers]
    encoder, normalise = network.of_job(snakemake, role=snakemake.wildcards.role)
    if snakemake.input.additions:
        network.add_head(encoder, snakemake, role=snakemake.wildcards.role)
    measures = measure.measure(
        encoder,
        part.images[points],
        points,
        layers=layers,
        recipe=for_encoder(measure.VIEWS[params.augmentation], encoder),
        normalise=normalise,
        protocol=measure.Protocol(**params.protocol),
        seed=stream("measure", seed),
        device=network.device(params.device),
    )
    about = {"points": points, "groups": groups, "labels": part.labels[points]}
    io.save_arrays(measure.pack(measures, layers, encoder, **about), snakemake.output.measures)


if "snakemake" in globals():
    main(snakemake)
