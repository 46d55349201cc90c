"""Join the parts of one encoder's measures."""

from memloc import job
from memloc.measuring import files as measures


def main(snakemake):
    job.start(snakemake)
    path, parts = snakemake.output.measures, snakemake.input.parts
    record = measures.common_record(path, parts, trainings=snakemake.params.trainings)
    measures.join(path, parts, common=measures.ABOUT_LAYERS, rows="points", record=record)


if "snakemake" in globals():
    main(snakemake)
