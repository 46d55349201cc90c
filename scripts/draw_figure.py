"""Draw one experiment's figure from its table."""

from memloc import experiments, io, job
from memloc.analysis import plotting, tables


def main(snakemake):
    job.start(snakemake)
    table = tables.load_table(snakemake.input.table)
    images = [io.load_array(path) for path in experiments.as_list(snakemake.input.images)]
    figure = experiments.module(snakemake.params.kind).draw(table, *images)
    plotting.save(figure, snakemake.output.pdf, snakemake.output.png)


if "snakemake" in globals():
    main(snakemake)
