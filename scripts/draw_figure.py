"""Draw one experiment's figure from its table."""

from memloc import experiments, io, job, plotting, tables


def main(snakemake):
    job.start(snakemake)
    table = tables.load_table(snakemake.input.table)
    figure = experiments.module(snakemake.params.kind).draw(table, io.load_array(snakemake.input.images))
    plotting.save(figure, snakemake.output.pdf, snakemake.output.png)


if "snakemake" in globals():
    main(snakemake)
