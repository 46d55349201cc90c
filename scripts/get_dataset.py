"""Get the files of one public dataset, those that aren't there yet."""

from memloc import io, job
from memloc.data import sources as datasets


def main(snakemake):
    job.start(snakemake)
    io.save_json(datasets.fetch(snakemake.wildcards.source), snakemake.output[0])


if "snakemake" in globals():
    main(snakemake)
