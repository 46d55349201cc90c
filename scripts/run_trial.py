"""One trial of an experiment on valuation: one table, one seed."""

from memloc import experiments, io, job, provenance


def main(snakemake):
    job.start(snakemake)
    run, seed = experiments.module(snakemake.params.kind, "job").run, int(snakemake.wildcards.seed)
    outcomes = run(io.load_made(snakemake.input.table)[0], snakemake.params.options, seed)
    record = provenance.record(snakemake.output.outcomes, settings=snakemake.params.options)
    io.save_arrays(outcomes, snakemake.output.outcomes, record)


if "snakemake" in globals():
    main(snakemake)
