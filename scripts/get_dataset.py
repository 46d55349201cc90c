"""Fetch the missing files of one public dataset."""

from memloc import io, job
from memloc.data.fetching import fetch


def main(snakemake):
    job.start(snakemake)
    io.save_json(fetch(snakemake.wildcards.source), snakemake.output[0])


if "snakemake" in globals():
    main(snakemake)
