"""Draw one experiment's figure from its table."""

from memloc import experiments, io, job
from memloc.analysis import plotting, tables
from memloc.errors import AGAIN, InputError


def main(snakemake):
    job.start(snakemake)
    table = tables.load_table(snakemake.input.table)
    images = [io.load_array(path) for path in experiments.as_list(snakemake.input.images)]
    try:
        figure = experiments.module(snakemake.params.kind).draw(table, *images)
    except LookupError as error:
        path, kind = snakemake.input.table, snakemake.params.kind
        raise InputError(f"{path}: has no rows or columns that {kind} draws ({error}); {AGAIN}") from error
    plotting.save(figure, snakemake.output.pdf, snakemake.output.svg, snakemake.output.png)


if "snakemake" in globals():
    main(snakemake)
