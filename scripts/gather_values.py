"""Join what parts of the learners have to say of an encoder's points to values."""

from memloc import io, job
from memloc.measuring import files as measures
from memloc.streams import stream
from memloc.valuation.points import gathered_points


def main(snakemake):
    job.start(snakemake)
    params, path, parts = snakemake.params, snakemake.output.values, snakemake.input.parts
    record = measures.common_record(path, parts, trainings=params.trainings)
    values = gathered_points(
        [measures.made(part) for part in parts],
        learners=params.learners,
        ratios=params.ratios,
        seed=stream("values", int(snakemake.wildcards.seed)),
    )
    io.save_arrays(values, path, record)


if "snakemake" in globals():
    main(snakemake)
