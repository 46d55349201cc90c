"""One trial of an experiment on valuation: one table, one seed."""

from memloc import experiments, io, job


def main(snakemake):
    job.start(snakemake)
    run, seed = experiments.module(snakemake.params.kind, "job").run, int(snakemake.wildcards.seed)
    outcomes = run(io.load_arrays(snakemake.input.table), snakemake.params.options, seed)
    io.save_arrays(outcomes, snakemake.output.outcomes)


if "snakemake" in globals():
    main(snakemake)
