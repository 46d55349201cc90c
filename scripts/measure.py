"""Measure every layer of one encoder in one pass, on all points or on a part of them."""

from memloc import io, job
from memloc.data import splits
from memloc.data.augment import for_encoder
from memloc.measuring import files as measures
from memloc.measuring import measure
from memloc.models import network
from memloc.models.architectures import Layer
from memloc.streams import stream


def main(snakemake):
    job.start(snakemake)
    params, names, seed = snakemake.params, snakemake.wildcards, int(snakemake.wildcards.seed)
    points, groups = splits.measured_points(io.load_arrays(snakemake.input.split))
    mine = measure.shard(len(points), number=int(names.get("number", 1)), of=int(names.get("of", 1)))
    points, groups = points[mine], groups[mine]
    layers = [Layer(**layer) for layer in params.layers]
    encoder, normalise = network.of_job(snakemake, role=names.role)
    if snakemake.input.additions:
        network.add_head(encoder, snakemake, role=names.role)
    device = network.device(params.device)
    about = {"points": points, "groups": groups, "labels": io.load_array(snakemake.input.labels)[points]}
    batches = measure.measured(
        encoder,
        measure.windows(snakemake.input.images, points, device=device),
        layers=layers,
        recipe=for_encoder(measure.VIEWS[params.augmentation], encoder),
        normalise=normalise,
        protocol=measure.Protocol(**params.protocol),
        seed=stream("measure", seed),
        device=device,
    )
    made = map(measure.by_point, batches)
    measures.save(snakemake.output.measures, about | measure.described(layers, encoder), made)


if "snakemake" in globals():
    main(snakemake)
