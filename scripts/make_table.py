"""A labelled table: features, classes and, where a row is an image, its shape."""

from memloc import io, job, provenance
from memloc.valuation import loading


def main(snakemake):
    job.start(snakemake)
    images = [io.load_array(path) for path in snakemake.input]
    table = loading.of_images(*images) if images else loading.load(snakemake.wildcards.table)
    io.save_arrays(table, snakemake.output.table, provenance.record(snakemake.output.table))
    job.log.info("%d rows, %d columns, %d classes", *table["x"].shape, table["y"].max() + 1)


if "snakemake" in globals():
    main(snakemake)
