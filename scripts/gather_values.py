"""Join what parts of the learners have to say of an encoder's points to values."""

from memloc import io, job
from memloc.measuring import files as measures
from memloc.streams import stream
from memloc.valuation.points import gathered_points


def main(snakemake):
    job.start(snakemake)
    params = snakemake.params
    values = gathered_points(
        [measures.made(path) for path in snakemake.input.parts],
        learners=params.learners,
        ratios=params.ratios,
        seed=stream("values", int(snakemake.wildcards.seed)),
    )
    io.save_arrays(
        values, snakemake.output.values, measures.common_record(snakemake.output.values, snakemake.input.parts)
    )


if "snakemake" in globals():
    main(snakemake)
