"""A labelled table: features, classes and, where a row is an image, its shape."""

from pathlib import Path

from memloc import io, job, provenance
from memloc.data import prepared
from memloc.valuation import loading


def main(snakemake):
    job.start(snakemake)
    if snakemake.input:
        part = prepared.load(Path(snakemake.input[0]).parent, "train")
        table = loading.of_images(part.images, part.labels)
    else:
        table = loading.load(snakemake.wildcards.table, snakemake.params.openml)
    io.save_arrays(table, snakemake.output.table, provenance.record(snakemake.output.table))
    job.log.info("%d rows, %d columns, %d classes", *table["x"].shape, table["y"].max() + 1)


if "snakemake" in globals():
    main(snakemake)
