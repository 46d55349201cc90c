"""Join the parts of one encoder's measures."""

from memloc import job
from memloc.measuring import files as measures


def main(snakemake):
    job.start(snakemake)
    measures.join(snakemake.output.measures, snakemake.input.parts, common=measures.ABOUT_LAYERS, rows="points")


if "snakemake" in globals():
    main(snakemake)
