"""Values of an encoder's candidate and external points, by pixels and by features of g (of f as a contrast)."""

from memloc import io, job
from memloc.streams import stream
from memloc.valuation.points import value_points


def main(snakemake):
    job.start(snakemake)
    params = snakemake.params
    values = value_points(
        io.load_array(snakemake.input.images),
        io.load_arrays(snakemake.input.f),
        io.load_arrays(snakemake.input.g),
        io.load_arrays(snakemake.input.swaps) if snakemake.input.swaps else {},
        learners=params.learners,
        ratios=params.ratios,
        patch=params.patch,
        seed=stream("values", int(snakemake.wildcards.seed)),
        workers=snakemake.threads,
    )
    io.save_arrays(values, snakemake.output.values)


if "snakemake" in globals():
    main(snakemake)
