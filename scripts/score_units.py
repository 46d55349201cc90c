"""UnitMem and ClassMem of every unit, and their layer means over resampled points."""

from memloc import io, job
from memloc.analysis import tables
from memloc.measuring.files import Arrays
from memloc.measuring.resamples import unit_resamples
from memloc.measuring.units import unit_scores
from memloc.streams import stream


def main(snakemake):
    job.start(snakemake)
    measures = Arrays(snakemake.input.measures)
    seed = stream("score_units", int(snakemake.wildcards.seed))
    options = {"seed": seed, "others": snakemake.params.others}
    table = unit_scores(measures, shuffles=snakemake.params.shuffles, **options)
    tables.save_table(table, snakemake.output.units)
    resamples = unit_resamples(measures, resamples=snakemake.params.resamples, **options)
    io.save_arrays(resamples, snakemake.output.resamples)


if "snakemake" in globals():
    main(snakemake)
