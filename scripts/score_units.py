"""UnitMem and ClassMem of every unit of one encoder, or of a pair's, and their layer means over resampled points."""

from memloc import experiments, io, job, provenance
from memloc.analysis import tables
from memloc.measuring.files import of_encoder
from memloc.measuring.resamples import unit_resamples
from memloc.measuring.units import unit_scores
from memloc.streams import stream


def main(snakemake):
    job.start(snakemake)
    output = snakemake.output
    files = map(experiments.as_list, (snakemake.input.measures, output.units, output.resamples))
    for (role, half), *of_role in zip(snakemake.params.halves.items(), *files, strict=True):
        score(snakemake, role, half, *of_role)


def score(snakemake, role, half, path, table_path, resamples_path):
    """Score the units of one role."""
    params, trainings = snakemake.params, {role: snakemake.params.trainings[role]}
    measures = of_encoder(path, settings=params.views, trainings=trainings)
    made = {"weights": measures.record["weights"], "trainings": trainings}
    made["settings"] = {**params.views, "others": params.others}
    options = {"seed": stream("score_units", int(snakemake.wildcards.seed)), "others": params.others}
    table = unit_scores(measures, shuffles=params.shuffles, **options)
    tables.save_table(table, table_path, provenance.record(table_path, **made))
    resamples = unit_resamples(measures, resamples=params.resamples, half=half, **options)
    io.save_arrays(resamples, resamples_path, provenance.record(resamples_path, **made))


if "snakemake" in globals():
    main(snakemake)
