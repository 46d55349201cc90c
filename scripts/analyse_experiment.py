"""Analyse one experiment: its figure's table and its claims."""

from memloc import experiments, job
from memloc.analysis import tables
from memloc.analysis.inputs import Inputs
from memloc.analysis.sheet import Sheet


def main(snakemake):
    job.start(snakemake)
    kind, params = snakemake.params.kind, snakemake.params
    experiment = experiments.module(kind)
    files = {name: experiments.as_list(paths) for name, paths in snakemake.input.items()}
    inputs = Inputs([tuple(run) for run in params.runs], files, params.about, params.roles, params.trainings)
    sheet = Sheet(inputs, params.options, experiment.CLAIMS)
    experiment.analyse(sheet)
    tables.save_table(sheet.table(), snakemake.output.table)
    tables.save_table(sheet.rows(kind=kind, experiment=snakemake.wildcards.experiment), snakemake.output.claims)


if "snakemake" in globals():
    main(snakemake)
