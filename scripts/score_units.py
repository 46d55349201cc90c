"""UnitMem and ClassMem of every unit, and their layer means over resampled points."""

from memloc import io, job, provenance
from memloc.analysis import tables
from memloc.measuring.files import of_encoder
from memloc.measuring.resamples import unit_resamples
from memloc.measuring.units import unit_scores
from memloc.streams import stream


def main(snakemake):
    job.start(snakemake)
    params, output = snakemake.params, snakemake.output
    measures = of_encoder(snakemake.input.measures, settings=params.views, trainings=params.trainings)
    made = {"weights": measures.record["weights"], "trainings": params.trainings}
    made["settings"] = {**params.views, "others": params.others}
    options = {"seed": stream("score_units", int(snakemake.wildcards.seed)), "others": params.others}
    table = unit_scores(measures, shuffles=params.shuffles, **options)
    tables.save_table(table, output.units, provenance.record(output.units, **made))
    resamples = unit_resamples(measures, resamples=params.resamples, half=params.half, **options)
    io.save_arrays(resamples, output.resamples, provenance.record(output.resamples, **made))


if "snakemake" in globals():
    main(snakemake)
