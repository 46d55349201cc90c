"""One trial of an experiment on valuation."""

from memloc import io, job
from memloc.valuation import trials


def main(snakemake):
    job.start(snakemake)
    trial, options = trials.TRIALS[snakemake.params.kind], snakemake.params.options
    outcomes = trial(io.load_arrays(snakemake.input.table), options, int(snakemake.wildcards.seed))
    io.save_arrays(outcomes, snakemake.output.outcomes)


if "snakemake" in globals():
    main(snakemake)
