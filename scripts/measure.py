"""Measure every layer of one encoder in one pass."""

from pathlib import Path

from memloc import io, job, measure, network, prepared, splits
from memloc.augment import RECIPES
from memloc.encoders import choose_layers
from memloc.streams import stream


def main(snakemake):
    job.start(snakemake)
    params, seed = snakemake.params, int(snakemake.wildcards.seed)
    part = prepared.load(Path(snakemake.input.images).parent, "train")
    points, groups = splits.measured_points(io.load_arrays(snakemake.input.split))
    layers = choose_layers(params.architecture, params.layers)
    measures = measure.measure(
        network.load(
            params.architecture, params.width, snakemake.input.weights, seed=seed, role=snakemake.wildcards.role
        ),
        part.images[points],
        points,
        layers=layers,
        recipe=RECIPES[params.augmentation],
        normalise=network.Normalise(io.load_json(snakemake.input.description)),
        protocol=measure.Protocol(**params.protocol),
        seed=stream("measure", seed),
        device=network.device(params.device),
    )
    about = {"points": points, "groups": groups, "labels": part.labels[points]}
    io.save_arrays(measure.pack(measures, layers, **about), snakemake.output.measures)


if "snakemake" in globals():
    main(snakemake)
