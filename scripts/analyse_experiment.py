"""Analyse one experiment: its figure's table and its claims."""

from memloc import experiments, job
from memloc.analysis import claims, tables
from memloc.analysis.inputs import Inputs


def main(snakemake):
    job.start(snakemake)
    experiment = experiments.module(snakemake.params.kind)
    files = {name: experiments.as_list(paths) for name, paths in snakemake.input.items()}
    inputs = Inputs([tuple(run) for run in snakemake.params.runs], files, snakemake.params.about)
    table, findings = experiment.analyse(inputs, snakemake.params.options)
    tables.save_table(table, snakemake.output.table)
    rows = claims.tabulate(experiment.CLAIMS, findings, experiment=snakemake.wildcards.experiment)
    tables.save_table(rows, snakemake.output.claims)


if "snakemake" in globals():
    main(snakemake)
