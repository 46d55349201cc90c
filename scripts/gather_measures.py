"""Join the parts of one encoder's measures."""

from memloc import job, measure, measures


def main(snakemake):
    job.start(snakemake)
    measures.join(snakemake.output.measures, snakemake.input.parts, common=measure.DESCRIBED, rows="points")


if "snakemake" in globals():
    main(snakemake)
